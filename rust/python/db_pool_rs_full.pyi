"""The Rust engine of db_pool_rs, mode full. Its only user is db_pool_rs.full."""

__version__: str
