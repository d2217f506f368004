"""The Rust engine of db_pool_rs, mode full. Its only user is db_pool_rs.full."""

from collections.abc import Sequence

from db_pool_rs.record import Record

__version__: str

def _encode(sql: str, oids: Sequence[int], args: tuple[object, ...]) -> list[tuple[int, bytes | None]]: ...
def _decode(
    columns: Sequence[tuple[str, int]],
    rows: Sequence[Sequence[bytes | None]],
    format: int | None,
    settings: tuple[str, str, str],
) -> list[Record]: ...
def _decode_raw(columns: Sequence[tuple[str, int]], data: bytes, count: int) -> list[Record]: ...
