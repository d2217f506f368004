"""What can be said about decoding without a server: the choice of the format, and results without rows."""

from __future__ import annotations

import pytest
from psycopg import DataError, adapters, pq

from db_pool_rs.errors import DecodeError
from db_pool_rs.types import oids
from db_pool_rs.types.decode import RowDecoder
from db_pool_rs.types.loaders import value_loader
from db_pool_rs.types.oids import reads_faster_in_text, result_format

BINARY = [
    *(oids.BOOL, oids.INT2, oids.INT4, oids.INT8, oids.OID, oids.FLOAT4, oids.FLOAT8, oids.NUMERIC),
    *(oids.TEXT, oids.VARCHAR, oids.BPCHAR, oids.NAME, oids.BYTEA, oids.UUID, oids.JSON, oids.JSONB),
    *(oids.DATE, oids.TIME, oids.TIMETZ, oids.TIMESTAMP, oids.TIMESTAMPTZ, oids.INTERVAL),
    *(oids.INET, oids.CIDR, oids.TSTZRANGE, oids.TSTZMULTIRANGE),
]
MONEY, ENUM = 790, 16_999
TEXT_ONLY = [oids.CHAR.oid, oids.RECORD.oid, oids.XML.oid, oids.UNKNOWN.oid, MONEY, ENUM]


@pytest.mark.parametrize("row", BINARY, ids=lambda row: row.name)
def test_known_types_are_read_in_binary(row: oids.PgType) -> None:
    assert result_format((row.oid, row.array_oid)) == 1


@pytest.mark.parametrize("oid", TEXT_ONLY)
def test_one_column_without_binary_loader_makes_the_statement_text(oid: int) -> None:
    assert result_format((oids.INT4.oid, oid)) == 0
    if oid in oids.SCALARS and oids.SCALARS[oid].array_oid:
        assert result_format((oids.SCALARS[oid].array_oid,)) == 0


@pytest.mark.parametrize("row", oids.BUILTIN, ids=lambda row: row.name)
def test_psycopg_reads_in_binary_what_is_asked_for_in_binary(row: oids.PgType) -> None:
    differs = row in (oids.CHAR, oids.RECORD)  # in binary a zero byte is '\0', and fields have types of their own
    loader = adapters.get_loader(row.oid, pq.Format.BINARY)
    assert row.binary is (loader is not None and not differs)


@pytest.mark.parametrize("row", [oids.BOOL, oids.INT2, oids.INT4, oids.INT8, oids.OID, oids.NUMERIC], ids=str)
def test_what_is_walked_in_binary_is_read_in_text_beside_columns_that_are_fast_there(row: oids.PgType) -> None:
    for fast in (row, oids.TEXT, oids.VARCHAR, oids.NAME, oids.JSON, oids.JSONB):
        assert reads_faster_in_text((row.oid, fast.oid))
    depends_on_settings = (oids.FLOAT4, oids.FLOAT8, oids.TIMESTAMPTZ, oids.INTERVAL, oids.DATE, oids.BYTEA)
    for other in (*(other.oid for other in (*depends_on_settings, oids.UUID)), row.array_oid, ENUM):
        assert not reads_faster_in_text((row.oid, other))


def test_without_a_walk_binary_is_as_fast() -> None:
    assert not reads_faster_in_text((oids.TEXT.oid, oids.JSONB.oid))
    assert not reads_faster_in_text(())


def test_a_statement_without_columns_is_binary() -> None:
    assert result_format(()) == 1


def test_results_without_rows() -> None:
    connection = pq.PGconn.connect_start(b"host=/nonexistent")
    result = connection.make_empty_result(pq.ExecStatus.TUPLES_OK)
    assert RowDecoder((), (), 1).decode(result) == []
    connection.finish()


def test_other_columns_than_described() -> None:
    connection = pq.PGconn.connect_start(b"host=/nonexistent")
    result = connection.make_empty_result(pq.ExecStatus.TUPLES_OK)
    connection.finish()
    with pytest.raises(DecodeError, match="0 columns where it had described 1"):
        RowDecoder(("a",), (oids.INT4.oid,), 1).decode(result)


def test_fits_any_session_when_no_setting_matters() -> None:
    connection = pq.PGconn.connect_start(b"host=/nonexistent")
    assert RowDecoder(("a",), (oids.INT4.oid,), 1, connection).fits(connection)
    connection.finish()
    assert RowDecoder(("a",), (oids.INT4.oid,), 1).fits(connection)


@pytest.mark.parametrize("text", [b"infinity", b"-infinity"])
def test_an_infinite_interval_is_not_taken_for_one_without_length(text: bytes) -> None:
    for settings in ({}, {b"IntervalStyle": b"postgres"}):
        with pytest.raises(DataError, match="can't parse interval"):
            value_loader(oids.INTERVAL.oid, 0, settings)(text)
