"""Results as libpq makes them, without a server."""

from __future__ import annotations

from db_pool_rs_balanced import ffi, lib

from db_pool_rs.balanced.libpq import PGresult

TUPLES_OK = 2


class Session:
    """What a plan asks of a connection."""

    def __init__(self, zone: bytes | None = None) -> None:
        self.zone = zone

    def parameter_status(self, name: bytes) -> bytes | None:
        return self.zone if name == b"TimeZone" else None


def result_of(oids: list[int], rows: list[list[bytes | None]], format: int = 1) -> PGresult:
    """A result with these columns, all called `c`, and the values in these rows."""
    ptr = lib.PQmakeEmptyPGresult(ffi.NULL, TUPLES_OK)
    name = ffi.new("char[]", b"c")
    columns = ffi.new("PGresAttDesc[]", [{"name": name, "format": format, "typid": oid} for oid in oids])
    assert lib.PQsetResultAttrs(ptr, len(oids), columns)
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            data, size = (ffi.NULL, -1) if value is None else (ffi.new("char[]", value), len(value))
            assert lib.PQsetvalue(ptr, number, column, data, size)
    return PGresult(ptr)
