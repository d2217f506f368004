"""Statements that share a transaction behave exactly as if each had one of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import DatabaseError, sqlite_error
from db_pool_rs.sql import split_statements
from tests.sqlite.harness import ENDLESS, Harness, by_number, harness, outside

SCHEMA = """
CREATE TABLE item (id INTEGER PRIMARY KEY, v INT NOT NULL CHECK (v >= 0), u INT UNIQUE);
CREATE TABLE stern (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, u INT UNIQUE ON CONFLICT FAIL);
CREATE TABLE parent (id INTEGER PRIMARY KEY, partner INT REFERENCES parent {when});
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent ON DELETE CASCADE {when});
CREATE TABLE log (n INT, what TEXT);
CREATE TRIGGER watch AFTER INSERT ON log BEGIN
    SELECT RAISE(ABORT, 'aborted') WHERE NEW.n = 1;
    SELECT RAISE(FAIL, 'failed') WHERE NEW.n = 2;
    SELECT RAISE(ROLLBACK, 'rolled back') WHERE NEW.n = 3;
    SELECT RAISE(IGNORE) WHERE NEW.n = 4;
    INSERT INTO item VALUES (NULL, NEW.n, NULL);
END;
"""
TABLES = ("item", "stern", "parent", "child", "log")

small, bit = st.integers(0, 4), st.integers(0, 1)
conflict = st.sampled_from(["", " OR ABORT", " OR FAIL", " OR IGNORE", " OR REPLACE", " OR ROLLBACK"])
writes = st.one_of(
    st.tuples(conflict.map(lambda c: f"INSERT{c} INTO item VALUES ($1, $2, $3)"), small, st.integers(-1, 2), small),
    st.tuples(conflict.map(lambda c: f"INSERT{c} INTO item VALUES (10, $1, 10), ($2, 1, $3)"), small, small, small),
    st.tuples(conflict.map(lambda c: f"UPDATE{c} item SET u = u + $1, v = v - $2"), bit, bit),
    st.tuples(conflict.map(lambda c: f"INSERT{c} INTO stern VALUES ($1, $2), (NULL, $3)"), small, small, small),
    st.tuples(st.just("INSERT INTO stern VALUES ($1, $2)"), small, small),
    st.tuples(st.just("INSERT INTO parent VALUES ($1, $2)"), small, st.none() | small),
    st.tuples(st.just("DELETE FROM parent WHERE id = $1"), small),
    st.tuples(st.just("UPDATE parent SET id = id + $1"), small),
    st.tuples(st.just("INSERT INTO child VALUES (NULL, $1) RETURNING id, parent"), st.none() | small),
    st.tuples(st.just("INSERT INTO log VALUES (0, 'a'), ($1, 'b'), (5, 'c')"), small),
    st.tuples(st.just("WITH x(n) AS (SELECT $1) DELETE FROM log WHERE n IN (SELECT n FROM x)"), small),
    st.tuples(st.just("DELETE FROM item WHERE id > $1"), small),
    st.tuples(st.just("INSERT INTO missing VALUES ($1)"), small),
)
reads = st.one_of(
    st.tuples(st.just("SELECT * FROM item WHERE id >= $1"), small),
    st.tuples(st.just("SELECT count(*) AS n, max(v) FROM item")),
    st.tuples(st.just("SELECT abs(-9223372036854775807 - $1)"), st.integers(0, 1)),
    st.tuples(st.just("SELECT * FROM missing")),
    st.tuples(st.just("SELECT CAST(x'ff' AS TEXT)")),
)
groups = st.lists(st.lists(writes, min_size=1, max_size=12) | st.lists(reads, min_size=1, max_size=6), max_size=6)


async def send(desk: Harness, link: Any, group: list[Any], want: bool) -> list[Any]:
    """What the scheduler does: all together; if that does not count, each alone."""
    sent = desk.pool(link, *group, want=want)
    outcomes = await sent.outcomes()
    if len(group) > 1 and not await sent.ok:
        outcomes = [(await desk.pool(link, call, want=want).outcomes())[0] for call in group]
    return [comparable(outcome) for outcome in outcomes]


def comparable(outcome: Any) -> Any:
    if isinstance(outcome, DatabaseError):
        return type(outcome), outcome.sqlstate, outcome.message, outcome.table, outcome.column
    if isinstance(outcome, Exception):
        return type(outcome)
    return str(outcome) if isinstance(outcome, str) else [tuple(row) for row in outcome]


def plainly(connection: sqlite3.Connection, call: Any, want: bool) -> Any:
    """The same statement on a plain connection in auto-commit mode."""
    sql, *args = call
    try:
        cursor = connection.execute(sql.replace("$", "?"), by_number(args))
        rows = cursor.fetchall()
        changed = connection.execute("SELECT changes()").fetchone()[0]
    except sqlite3.Error as error:
        return comparable(sqlite_error(error, sql))
    if want:
        return rows
    verb = "DELETE" if sql.startswith("WITH") else sql.split()[0]
    return {"INSERT": f"INSERT 0 {changed}", "SELECT": f"SELECT {len(rows)}"}.get(verb, f"{verb} {changed}")


# rule 7.2
@pytest.mark.parametrize("when", ["", "DEFERRABLE INITIALLY DEFERRED"], ids=["immediate", "deferred"])
@pytest.mark.parametrize("place", ["file", "memory"])
@settings(max_examples=60)
@given(program=groups, want=st.booleans())
async def test_random_groups_equal_statements_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, place: str, when: str, program: Any, want: bool
) -> None:
    folder: Path = tmp_path_factory.mktemp("groups")
    schema = SCHEMA.format(when=when)
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.executescript("PRAGMA foreign_keys = ON; PRAGMA synchronous = OFF;" + schema)
    dsn = "sqlite://" if place == "memory" else f"sqlite:///{folder}/grouped.db?synchronous=normal"
    async with harness(dsn) as desk:
        link = await desk.connect()
        await desk.do(link, *[f"{one};" for one in _statements(schema)])
        for group in program:
            assert await send(desk, link, group, want) == [plainly(plain, call, want) for call in group]
        for table in TABLES:
            sql = f"SELECT * FROM {table} ORDER BY 1, 2"
            assert await desk.fetch(link, sql) == plain.execute(sql).fetchall()
    plain.close()


def _statements(schema: str) -> list[str]:
    return split_statements(schema, "sqlite")


# -- the cases by name -------------------------------------------------------------------------------------------------


async def _link(desk: Harness, schema: str) -> Any:
    link = await desk.connect()
    await desk.do(link, *_statements(schema))
    return link


# rule 7.2
async def test_a_group_is_one_commit(tmp_path: Path) -> None:
    async with harness(f"sqlite:///{tmp_path}/a.db") as desk:
        link = await _link(desk, "CREATE TABLE t (a)")
        before = await desk.fetch(link, "PRAGMA data_version")
        other = await desk.connect()
        version = (await desk.fetch(other, "PRAGMA data_version"))[0][0]
        outcomes = await desk.pool(link, *[("INSERT INTO t VALUES ($1)", i) for i in range(10)]).outcomes()
        assert outcomes == ["INSERT 0 1"] * 10
        assert (await desk.fetch(other, "PRAGMA data_version"))[0][0] == version + 1
        assert await desk.fetch(link, "PRAGMA data_version") == before, "it was not another connection"


async def test_a_failing_statement_has_its_error_and_the_others_count() -> None:
    async with harness("sqlite://") as desk:
        link = await _link(desk, "CREATE TABLE t (a UNIQUE)")
        group = desk.pool(link, *[("INSERT INTO t VALUES ($1)", i) for i in (1, 2, 1, 3)])
        assert await group.ok
        outcomes = await group.outcomes()
        assert [getattr(one, "sqlstate", one) for one in outcomes] == ["INSERT 0 1"] * 2 + ["23505", "INSERT 0 1"]
        assert await desk.fetch(link, "SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]


async def test_deferred_violation_is_not_cured_by_a_neighbour() -> None:
    async with harness("sqlite://") as desk:
        link = await _link(desk, SCHEMA.format(when="DEFERRABLE INITIALLY DEFERRED"))
        pair = [("INSERT INTO parent VALUES (1, 2)",), ("INSERT INTO parent VALUES (2, 1)",)]
        group = desk.pool(link, *pair)
        assert not await group.ok
        assert not group.statements[0].query.groupable, "not tried again with every group"
        assert desk.statement(pair[0]).query.groupable is False
        outcomes = [(await desk.pool(link, call).outcomes())[0] for call in pair]
        assert [one.sqlstate for one in outcomes] == ["23503", "23503"]
        assert await desk.fetch(link, "SELECT * FROM parent") == []


async def test_deferred_keys_do_not_matter_where_they_are_not_enforced() -> None:
    async with harness("sqlite://?foreign_keys=off") as desk:
        link = await _link(desk, SCHEMA.format(when="DEFERRABLE INITIALLY DEFERRED"))
        group = desk.pool(link, ("INSERT INTO parent VALUES (1, 2)",), ("INSERT INTO parent VALUES (2, 1)",))
        assert await group.ok
        assert await desk.fetch(link, "SELECT count(*) FROM parent") == [(2,)]


async def test_a_schema_that_changes_is_looked_at_again() -> None:
    async with harness("sqlite://") as desk:
        link, other = await _link(desk, "CREATE TABLE p (id INTEGER PRIMARY KEY)"), await desk.connect()
        pair = [("INSERT INTO p VALUES (NULL)",), ("INSERT INTO p VALUES (NULL)",)]
        assert await desk.pool(link, *pair).ok
        await desk.do(other, "CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
        assert not await desk.pool(link, *pair).ok


async def test_attached_databases_are_not_trusted(tmp_path: Path) -> None:
    async with harness("sqlite://") as desk:
        link = await _link(desk, "CREATE TABLE t (a)")
        await desk.do(link, f"ATTACH '{tmp_path}/other.db' AS other")
        assert not await desk.pool(link, ("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (2)",)).ok


@pytest.mark.parametrize("last", ["INSERT OR ROLLBACK INTO item VALUES (1, 1, 1)", "INSERT INTO log VALUES (3, 'x')"])
async def test_a_statement_that_rolls_everything_back_is_sent_alone(last: str) -> None:
    async with harness("sqlite://") as desk:
        link = await _link(desk, SCHEMA.format(when=""))
        await desk.do(link, "INSERT INTO item VALUES (1, 0, 0)")
        group = desk.pool(link, ("INSERT INTO item VALUES (2, 0, 2)",), (last,), ("INSERT INTO item VALUES (3, 0, 3)",))
        assert not await group.ok
        assert await desk.fetch(link, "SELECT id FROM item") == [(1,)]
        (outcome,) = await desk.pool(link, (last,)).outcomes()
        assert isinstance(outcome, DatabaseError)


async def test_a_commit_that_fails_undoes_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    async with harness("sqlite://") as desk:
        link = await _link(desk, SCHEMA.format(when="DEFERRABLE INITIALLY DEFERRED"))
        monkeypatch.setattr(link._database, "defers", lambda: False)
        group = desk.pool(link, ("INSERT INTO parent VALUES (1, NULL)",), ("INSERT INTO parent VALUES (2, 9)",))
        assert not await group.ok
        assert await desk.fetch(link, "SELECT * FROM parent") == []
        (outcome,) = await desk.pool(link, ("INSERT INTO parent VALUES (2, 9)",)).outcomes()
        assert outcome.sqlstate == "23503"


# rule 7.1
async def test_reads_of_a_group_see_one_state(tmp_path: Path) -> None:
    async with harness(f"sqlite:///{tmp_path}/a.db") as desk:
        link = await _link(desk, "CREATE TABLE t (a); INSERT INTO t VALUES (0)")
        plain = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)

        def write() -> int:
            plain.execute("UPDATE t SET a = a + 1")
            return 0

        link._database.connection.create_function("write", 0, write)
        first, _, last = await desk.pool(
            link, ("SELECT a FROM t",), ("SELECT write()",), ("SELECT a FROM t",), want=True
        ).outcomes()
        assert first == last == [(0,)]
        assert await desk.fetch(link, "SELECT a FROM t") == [(1,)]
        plain.close()


async def test_read_only_database_tells_each_its_own_reason(tmp_path: Path) -> None:
    outside(tmp_path / "a.db", "CREATE TABLE t (a)")
    async with harness(f"sqlite:///{tmp_path}/a.db?mode=ro") as desk:
        link = await desk.connect()
        calls = [("INSERT INTO t VALUES (1)",), ("INSERT INTO missing VALUES (1)",)]
        outcomes = await desk.pool(link, *calls).outcomes()
        assert [one.sqlstate for one in outcomes] == ["25006", "42P01"]


async def test_where_no_transaction_can_begin_each_is_sent_alone() -> None:
    async with harness("sqlite://") as desk:
        link = await _link(desk, "CREATE TABLE t (a)")

        def refuse(action: int, *about: Any) -> int:
            return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK

        link._database.connection.set_authorizer(refuse)
        assert not await desk.pool(link, ("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (2)",)).ok
        assert await desk.pool(link, ("INSERT INTO t VALUES (1)",)).outcomes() == ["INSERT 0 1"]


async def test_what_stalls_is_broken_up() -> None:
    """A slow statement is not let loose on its neighbours: all are sent again alone."""
    async with harness("sqlite://", stall_ms=1) as desk:
        link = await _link(desk, "CREATE TABLE t (a)")
        assert not await desk.pool(link, ("SELECT 1",), (ENDLESS,), ("SELECT 2",)).ok
        slow = f"INSERT INTO t SELECT * FROM ({ENDLESS})"
        assert not await desk.pool(link, ("INSERT INTO t VALUES (1)",), (slow,)).ok
        assert await desk.fetch(link, "SELECT * FROM t") == []
        alone = desk.pool(link, (ENDLESS,))
        assert await link.cancel(5)
        assert (await alone.outcomes())[0].sqlstate == "57014"
