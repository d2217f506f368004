"""A database connection pool for asyncio: many tasks, few connections, statements sent in groups."""

__version__ = "0.1.0"

__all__ = ["__version__"]
