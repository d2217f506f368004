"""A session on SQLite: transactions as PostgreSQL has them, scripts, and a clean connection for the next borrower."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, DatabaseError, InterfaceError
from tests.sqlite.harness import harness, outside


@pytest.fixture(params=["file", "memory"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with WAL, and one without."""
    return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/a.db"


@pytest.mark.parametrize("name", [None, "serializable", "read_committed", "REPEATABLE READ", "read_uncommitted"])
async def test_every_isolation_level_is_serializable(name: str | None) -> None:
    async with harness("sqlite://") as desk:
        assert desk.driver.begin(name, False, False) == "BEGIN IMMEDIATE"
        assert desk.driver.begin(name, True, True) == "BEGIN READ ONLY"


@pytest.mark.parametrize("name", ["snapshot", "", 3])
async def test_unknown_isolation_level_names_the_known(name: Any) -> None:
    async with harness("sqlite://") as desk:
        with pytest.raises(InterfaceError, match="read_uncommitted, read_committed, repeatable_read, serializable"):
            desk.driver.begin(name, False, False)


async def _write_in(transaction: Any) -> None:
    async with transaction as conn:
        assert await conn.fetchval("SELECT count(*) FROM t") == 0
        await conn.execute("INSERT INTO t VALUES (1)")


async def test_read_only_transaction_refuses_writes_and_ends(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.acquire() as conn:
            for _ in range(2):
                with pytest.raises(DatabaseError) as caught:
                    await _write_in(conn.transaction(readonly=True))
                assert caught.value.sqlstate == "25006"
            async with conn.transaction(readonly=True):
                with pytest.raises(DatabaseError, match="readonly"):
                    await conn.execute("CREATE TEMP TABLE u (a)")
            assert await conn.execute("INSERT INTO t VALUES (1)") == "INSERT 0 1"
        assert await pool.fetchval("SELECT count(*) FROM t") == 1


async def test_read_only_transaction_sees_one_state(tmp_path: Path, create_pool: Any) -> None:
    async with create_pool(f"sqlite:///{tmp_path}/a.db") as pool:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.transaction(readonly=True) as conn:
            assert await conn.fetchval("SELECT count(*) FROM t") == 0
            await pool.execute("INSERT INTO t VALUES (1)")
            assert await conn.fetchval("SELECT count(*) FROM t") == 0
        assert await pool.fetchval("SELECT count(*) FROM t") == 1


async def test_savepoints(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.transaction() as conn:
            await conn.execute("INSERT INTO t VALUES (1)")
            with contextlib.suppress(ZeroDivisionError):
                async with conn.transaction():
                    await conn.execute("INSERT INTO t VALUES (2)")
                    raise ZeroDivisionError
            async with conn.transaction():
                await conn.execute("INSERT INTO t VALUES (3)")
        assert [row[0] for row in await pool.fetch("SELECT a FROM t")] == [1, 3]


async def test_a_failed_statement_leaves_the_transaction_usable(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool:
        await pool.execute("CREATE TABLE t (a UNIQUE)")
        async with pool.transaction() as conn:
            await conn.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(DatabaseError) as caught:
                await conn.execute("INSERT INTO t VALUES (1)")
            assert caught.value.sqlstate == "23505"
            await conn.execute("INSERT INTO t VALUES (2)")
        assert await pool.fetchval("SELECT count(*) FROM t") == 2


async def _roll_back_and_go_on(conn: Any) -> None:
    async with conn.transaction():
        await conn.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(DatabaseError):
            await conn.execute("INSERT OR ROLLBACK INTO t VALUES (1)")
        assert conn.is_in_transaction()
        for sql in ("INSERT INTO t VALUES (2)", "SELECT 1", "SAVEPOINT x", "PRAGMA cache_size"):
            with pytest.raises(DatabaseError) as caught:
                await conn.execute(sql)
            assert caught.value.sqlstate == "25P02"


async def test_what_sqlite_rolled_back_is_a_failed_block(dsn: str, create_pool: Any) -> None:
    """Else the statements after it would be committed one by one."""
    async with create_pool(dsn) as pool:
        await pool.execute("CREATE TABLE t (a UNIQUE)")
        async with pool.acquire() as conn:
            with pytest.raises(DatabaseError) as ended:
                await _roll_back_and_go_on(conn)
            assert ended.value.sqlstate == "25P02", "the block ended normally, but nothing was committed"
            assert not conn.is_in_transaction()
            assert await conn.execute("INSERT INTO t VALUES (3)") == "INSERT 0 1"
        assert [row[0] for row in await pool.fetch("SELECT a FROM t")] == [3]


async def test_a_commit_that_fails_ends_the_block(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool, pool.acquire() as conn:
        await conn.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
        await conn.execute("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
        with pytest.raises(DatabaseError) as caught:
            async with conn.transaction():
                await conn.execute("INSERT INTO c VALUES (1)")
        assert caught.value.sqlstate == "23503"
        assert not conn.is_in_transaction()
        assert await conn.fetchval("SELECT count(*) FROM c") == 0


async def test_commit_and_rollback_outside_a_block_are_a_warning() -> None:
    async with harness("sqlite://") as desk:
        link = await desk.connect()
        assert await desk.do(link, "COMMIT") == "COMMIT"
        assert await desk.do(link, "ROLLBACK") == "ROLLBACK"
        assert [(one.severity, one.sqlstate) for one in desk.listener.notices] == [("WARNING", "25P01")] * 2
        assert await desk.do(link, "BEGIN", "END") == "COMMIT"
        assert len(desk.listener.notices) == 2


async def test_raw_transaction_control(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.acquire() as conn:
            assert await conn.execute("BEGIN") == "BEGIN"
            assert await conn.fetchval("SELECT count(*) FROM t") == 0
            assert await conn.execute("INSERT INTO t VALUES (1)") == "INSERT 0 1"
            assert conn.is_in_transaction()
            assert await conn.execute("ROLLBACK") == "ROLLBACK"
            await conn.execute("SAVEPOINT s")
            await conn.execute("INSERT INTO t VALUES (2)")
            assert await conn.execute("RELEASE s") == "RELEASE"
            assert not conn.is_in_transaction()
        assert await pool.fetchval("SELECT a FROM t") == 2


async def test_nothing_follows_a_begin_that_failed() -> None:
    async with harness("sqlite://") as desk:
        link = await desk.connect()
        await desk.do(link, "CREATE TABLE t (a)", "BEGIN")
        outcomes = await desk.session(link, ("BEGIN IMMEDIATE",), ("INSERT INTO t VALUES (1)",)).outcomes()
        assert outcomes[0].sqlstate == "25001"
        assert outcomes[1] is None
        await desk.do(link, "ROLLBACK")
        assert await desk.fetch(link, "SELECT * FROM t") == []


# -- scripts -----------------------------------------------------------------------------------------------------------


async def test_a_script_is_one_transaction(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool, pool.acquire() as conn:
        script = "CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1), (2); UPDATE t SET a = a + 10;"
        assert await conn.execute(script) == "UPDATE 2"
        with pytest.raises(DatabaseError):
            await conn.execute("INSERT INTO t VALUES (3); INSERT INTO t VALUES (3); INSERT INTO t VALUES (4)")
        with pytest.raises(DatabaseError):
            await conn.execute("INSERT INTO t VALUES (3); INSERT OR ROLLBACK INTO t VALUES (11)")
        assert not conn.is_in_transaction()
        assert [row[0] for row in await conn.fetch("SELECT a FROM t")] == [11, 12]


async def test_a_script_controls_transactions_itself_or_sets_pragmas(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.acquire() as conn:
            await conn.execute("BEGIN; INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2)")
            with pytest.raises(DatabaseError):
                await conn.execute(
                    "INSERT INTO t VALUES (3); BEGIN; INSERT INTO t VALUES (4); INSERT INTO missing VALUES (5)"
                )
            assert conn.is_in_transaction()
            await conn.execute("ROLLBACK")
            assert [row[0] for row in await conn.fetch("SELECT a FROM t")] == [1, 2, 3]
            await conn.execute(
                "PRAGMA foreign_keys = OFF; CREATE TABLE u (a)"
            )  # within a transaction it would do nothing
            assert await conn.fetchval("PRAGMA foreign_keys") == 0


async def test_a_script_takes_no_arguments(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool, pool.acquire() as conn:
        for script in ("CREATE TABLE t (a); INSERT INTO t VALUES ($1)", "SELECT $1; CREATE TABLE t (a)"):
            with pytest.raises(ArgumentError):
                await conn.execute(script)
        assert await conn.fetchval("SELECT count(*) FROM sqlite_master") == 0


async def test_a_trigger_is_one_statement(create_pool: Any) -> None:
    async with create_pool("sqlite://") as pool, pool.acquire() as conn:
        await conn.execute(
            "CREATE TABLE t (a); CREATE TABLE u (a);"
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (NEW.a); INSERT INTO u VALUES (0); END;"
            "INSERT INTO t VALUES (7)"
        )
        assert [row[0] for row in await conn.fetch("SELECT a FROM u")] == [7, 0]


async def test_executemany_is_all_or_nothing(dsn: str, create_pool: Any) -> None:
    async with create_pool(dsn) as pool:
        await pool.execute("CREATE TABLE t (a UNIQUE)")
        await pool.executemany("INSERT INTO t VALUES ($1)", [(i,) for i in range(1201)])
        assert await pool.fetchval("SELECT count(*) FROM t") == 1201
        with pytest.raises(DatabaseError):
            await pool.executemany("INSERT INTO t VALUES ($1)", [(i,) for i in range(2000, 3000)] + [(5,)])
        assert await pool.fetchval("SELECT count(*) FROM t") == 1201


# -- what is left behind -----------------------------------------------------------------------------------------------


async def test_the_next_borrower_finds_a_new_session(dsn: str, tmp_path: Path, create_pool: Any) -> None:
    outside(tmp_path / "other.db", "CREATE TABLE secret (a)")
    async with create_pool(dsn, max_size=1) as pool:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.acquire() as conn:
            await conn.execute("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; PRAGMA case_sensitive_like = ON")
            await conn.execute("CREATE TEMP TABLE t (mine)")
            await conn.execute(f"ATTACH '{tmp_path}/other.db' AS other")
            await conn.execute("PRAGMA query_only = ON")
        async with pool.acquire() as conn:
            assert await conn.fetchval("PRAGMA foreign_keys") == 1
            assert await conn.fetchval("PRAGMA synchronous") == 2
            assert await conn.fetchval("SELECT 'A' LIKE 'a'") == 1
            assert [row["name"] for row in await conn.fetch("PRAGMA database_list")] == ["main"]
            assert await conn.fetchval("SELECT count(*) FROM sqlite_temp_master") == 0
            await conn.execute("INSERT INTO t VALUES (1)")


async def test_a_clean_session_keeps_its_connection() -> None:
    async with harness("sqlite://") as desk:
        link = await desk.connect()
        before = link._database.connection
        await desk.do(link, "SELECT 1")
        assert link._database.connection is before
        (reset,) = link.reset_statements()
        await desk.do(link, "BEGIN", reset)
        link.after_reset()
        assert link._database.connection is not before
        assert not link.in_transaction()


async def test_init_prepares_every_connection(tmp_path: Path, create_pool: Any) -> None:
    async def init(conn: Any) -> None:
        await conn.execute("PRAGMA cache_size = -1234")

    async with create_pool(f"sqlite:///{tmp_path}/a.db", init=init, max_size=2) as pool, pool.transaction() as conn:
        await conn.execute("CREATE TABLE t (a)")
        for _ in range(2):
            async with pool.acquire() as other:  # opened, and then reset, while another connection writes
                assert await other.fetchval("PRAGMA cache_size") == -1234
                await other.execute("PRAGMA cache_size = -1")


async def test_a_reset_that_fails_costs_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, create_pool: Any
) -> None:
    async with create_pool(f"sqlite:///{tmp_path}/a.db", max_size=1) as pool:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.acquire() as conn:
            await conn.execute("PRAGMA cache_size = -1")
            (tmp_path / "a.db").rename(tmp_path / "away.db")
            (tmp_path / "a.db").mkdir()
        with pytest.raises(Exception, match="it is a directory"):
            await pool.fetch("SELECT 1")
        (tmp_path / "a.db").rmdir()
        assert await pool.fetchval("SELECT 1") == 1
