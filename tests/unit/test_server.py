"""The servers of the tests, tested: what a fault test relies on must be true."""

from __future__ import annotations

import pytest

from tests.plugins.postgresql import OwnServer, emptied
from tests.plugins.server import PostgresServer, ServerError


def test_sql_returns_rows_as_text(pg_server: PostgresServer) -> None:
    assert pg_server.sql("SELECT 1, NULL, 'a'") == [("1", None, "a")]
    with pytest.raises(ServerError, match="nonsense"):
        pg_server.sql("SELECT nonsense")


def test_a_database_for_one_test(pg_database: str, pg_dsn: str) -> None:
    assert pg_database != pg_dsn
    assert pg_database.startswith("postgresql://postgres@127.0.0.1:")


def test_a_database_that_is_emptied_keeps_nothing(pg_server: PostgresServer) -> None:
    empty = emptied(pg_server, "emptied")
    available = "SELECT name FROM pg_available_extensions WHERE name IN ('hstore', 'plpgsql') ORDER BY name"
    ((name, *_), *_) = pg_server.sql(available)
    made = "CREATE SCHEMA other; CREATE TABLE other.t (); CREATE TABLE t (); CREATE TYPE kind AS ENUM ()"
    pg_server.sql(f"{made}; CREATE EXTENSION IF NOT EXISTS {name} SCHEMA other", "emptied")
    empty()
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY nspname"
    assert pg_server.sql(schemas, "emptied") == [("information_schema",), ("public",)]
    assert pg_server.sql("SELECT extname FROM pg_extension", "emptied") == [("plpgsql",)]
    assert pg_server.sql("SELECT FROM pg_class WHERE relname = 't'", "emptied") == []
    pg_server.sql("DROP DATABASE emptied WITH (FORCE)")


def test_fsync_is_on_unless_switched_off(pg_server: PostgresServer) -> None:
    assert pg_server.sql("SHOW fsync") == [("on",)]


@pytest.mark.parametrize("end", ["fast", "immediate", "kill"])
def test_committed_rows_survive_every_end(own_server: OwnServer, end: str) -> None:
    server = own_server(conf={"max_connections": "7"})
    server.sql("CREATE TABLE kept AS SELECT 1 AS n")
    port = server.port
    if end == "kill":
        server.kill()
        assert not server.running
        server.start()
    else:
        server.restart(end)
    assert server.port == port
    assert server.sql("SELECT n FROM kept") == [("1",)]
    assert server.sql("SHOW max_connections") == [("7",)]


def test_hba_lines_and_reload(own_server: OwnServer) -> None:
    from psycopg import pq

    server = own_server(hba=["host all all 127.0.0.1/32 reject"])

    def logs_in() -> bool:
        connection = pq.PGconn.connect(server.dsn().encode())
        connected = connection.status == pq.ConnStatus.OK
        connection.finish()
        return connected

    assert not logs_in()
    server.hba = ["host all all 127.0.0.1/32 trust"]
    server.reload()
    assert logs_in()


def test_a_server_that_cannot_start_shows_its_log(own_server: OwnServer) -> None:
    with pytest.raises(ServerError, match="no_such_setting"):
        own_server(conf={"no_such_setting": "1"})
