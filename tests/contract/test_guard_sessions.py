"""What texts kept alone by the guard leave on their session, and which groups check deferred keys (rule 8.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.contract.guarding import QUICK, at_rest, guarded, script

#: Something that stays on the session, done by a function: statements, and a query that tells whether it is there.
LASTING = {
    "a setting": ("PERFORM set_config('own.tenant', 'a', false);", "SELECT current_setting('own.tenant', true) = 'a'"),
    "SET": ("SET own.tenant = 'a';", "SELECT current_setting('own.tenant', true) = 'a'"),
    "dynamic SQL": ("EXECUTE 'SET own.tenant = ''a''';", "SELECT current_setting('own.tenant', true) = 'a'"),
    "a temporary table": (
        "CREATE TEMP TABLE IF NOT EXISTS own (a int);",
        "SELECT to_regclass('pg_temp.own') IS NOT NULL",
    ),
    "a lock": (
        "PERFORM pg_advisory_lock(1);",
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    ),
    "LISTEN": ("LISTEN own;", "SELECT EXISTS (SELECT pg_listening_channels())"),
}  # fmt: skip
#: A function that does it, reached by a statement.
REACHED = {
    "trigger": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$;"
        "CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "INSERT INTO t VALUES ($1)",
    ),
    "CHECK": (
        "CREATE FUNCTION f(a int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN {} RETURN true; END $$;"
        "ALTER TABLE t ADD CHECK (f(id))",
        "INSERT INTO t VALUES ($1)",
    ),
    "default": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {} RETURN 1; END $$;"
        "ALTER TABLE t ALTER v SET DEFAULT f()",
        "INSERT INTO t VALUES ($1)",
    ),
    "function": (
        "CREATE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN {} RETURN a; END $$",
        "SELECT f($1)",
    ),
    "function, row locked": (
        "CREATE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN {} RETURN a; END $$",
        "SELECT f($1) FROM t FOR UPDATE",
    ),
}


# rule 8.2
@pytest.mark.parametrize("way", REACHED)
@pytest.mark.parametrize("effect", LASTING)
async def test_what_the_guard_keeps_alone_leaves_its_session_clean(
    open_pool: Any, pg_database: str, effect: str, way: str
) -> None:
    """For the pool's own statements and for sessions, before the catalogue is known and afterwards."""
    (body, looks), (setup, sql) = LASTING[effect], REACHED[way]
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(pool, "CREATE TABLE t (id int, v int); INSERT INTO t VALUES (0, 0);" + setup.format(body))
    await pool.fetch(sql, 1)
    assert await pool.fetchval(looks) in (None, False)
    await pool.fetch("SELECT 1")  # a text that may be grouped: with it the guard begins
    await guarded(pool, sql)
    for number in range(5):
        await pool.fetch(sql, number)
        assert await pool.fetchval(looks) in (None, False)
    async with pool.acquire() as connection:
        await connection.fetch(sql, 1)
        assert await connection.fetchval(looks) is True, "the test shows nothing"
    assert await pool.fetchval(looks) in (None, False)


async def test_what_ends_with_the_transaction_costs_no_reset(open_pool: Any, pg_database: str) -> None:
    """A trigger that notifies is kept alone, and its session with everything that is prepared on it stays."""
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(pool, "CREATE TABLE t (id int, v int);" + REACHED["trigger"][0].format("NOTIFY own, 'x';"))
    insert = "INSERT INTO t VALUES ($1)"
    assert (await guarded(pool, insert)).reason == "INSERT INTO t: trigger r -> function f(): NOTIFY"
    for _ in range(3):
        await pool.execute(insert, 1)
    prepared = "SELECT prepare_time FROM pg_prepared_statements WHERE statement = $1"
    found = await pool.fetch(prepared, insert)
    for _ in range(3):
        await pool.execute(insert, 1)
    assert await pool.fetch(prepared, insert) == found != []


# rule 8.3
async def test_only_groups_that_may_reach_deferred_keys_check_them(open_pool: Any, pg_database: str) -> None:
    """The way there is a table's own key, one that refers to it, a cascade, a view, a trigger, or a function."""
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(
        pool,
        "CREATE TABLE author (id int PRIMARY KEY); CREATE TABLE plain (id int); CREATE TABLE noted (id int);"
        "CREATE TABLE book (id int PRIMARY KEY, author int REFERENCES author DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TABLE shelf (id int PRIMARY KEY, book int UNIQUE REFERENCES book ON DELETE CASCADE);"
        "CREATE TABLE room (id int PRIMARY KEY); ALTER TABLE book ADD room int REFERENCES room ON DELETE CASCADE;"
        "CREATE VIEW books AS SELECT id FROM book;"
        "CREATE FUNCTION adds(a int) RETURNS void LANGUAGE sql AS 'INSERT INTO book (id) VALUES (a)';"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO book (id) VALUES (NEW.id); RETURN NEW; END $$;"
        "CREATE TRIGGER noted AFTER INSERT ON noted FOR EACH ROW EXECUTE FUNCTION note()",
    )
    texts = {
        "INSERT INTO plain VALUES ($1)": False,
        "INSERT INTO shelf (id) VALUES ($1)": False,  # its own keys are checked at once
        "INSERT INTO book (id) VALUES ($1)": True,
        "DELETE FROM author WHERE id = $1": True,
        "DELETE FROM room WHERE id = $1": True,
        "INSERT INTO books VALUES ($1)": True,
        "INSERT INTO noted VALUES ($1)": True,
        "SELECT adds($1)": True,
        "SELECT id FROM book WHERE id = $1": False,
    }
    await guarded(pool, "INSERT INTO plain VALUES ($1)")
    await pool.fetch("SELECT 1")
    await guarded(pool, "INSERT INTO book (id) VALUES ($1)")
    assert {sql: _keys(pool, sql) for sql in texts} == texts


def _keys(pool: Any, sql: str) -> bool:
    return bool(pool._context.queries.peek(sql).keys)


async def test_a_schema_like_that_of_the_servers_benchmark_keeps_nothing_alone(
    open_pool: Any, pg_database: str
) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(
        pool,
        "CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));"
        "CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));"
        "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));"
        "CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
    )
    texts = [
        "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
        "SELECT abalance FROM pgbench_accounts WHERE aid = $1",
        "UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2",
        "UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)",
    ]
    await pool.fetch("SELECT 1")
    await guarded(pool, texts[0])
    assert [(pool.explain(sql).reason, _keys(pool, sql)) for sql in texts] == [(None, False)] * len(texts)


async def test_a_schema_whose_every_key_is_deferred_is_grouped(open_pool: Any, pg_database: str) -> None:
    """The way of some frameworks: swaps and violations end as they do alone."""
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(
        pool,
        "CREATE TABLE auth_user (id serial PRIMARY KEY, username varchar(150) NOT NULL UNIQUE);"
        "CREATE TABLE blog_post (id serial PRIMARY KEY, title text, author_id int NOT NULL,"
        " CONSTRAINT author FOREIGN KEY (author_id) REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO auth_user (username) SELECT i::text FROM generate_series(1, 9) i",
    )
    insert = "INSERT INTO blog_post (title, author_id) VALUES ($1, $2) RETURNING author_id"
    await pool.fetch("SELECT 1")
    assert (await guarded(pool, insert)).reason is None
    for number in range(4):
        await pool.fetchval(insert, "first", 1 + number)
    before = pool.stats()
    assert await asyncio.gather(*[pool.fetchval(insert, "more", 1 + i % 9) for i in range(40)]) == [
        1 + i % 9 for i in range(40)
    ]
    after = pool.stats()
    assert after.groups - before.groups < after.statements - before.statements


#: Ways of a session to reach the trigger of REACHED.
USES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "fetch": lambda connection: connection.fetch("INSERT INTO t VALUES ($1)", 1),
    "a script": lambda connection: connection.execute("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)"),
    "executemany": lambda connection: connection.executemany("INSERT INTO t VALUES ($1)", [(1,), (2,)]),
    "COPY": lambda connection: connection.copy_records_to_table("t", records=[(1, 2)]),
    "TRUNCATE": lambda connection: connection.execute("TRUNCATE t"),
}


# rule 8.4
@pytest.mark.parametrize(
    "options",
    [{}, {"pipelining": "off"}, {"server_settings": {"default_transaction_isolation": "serializable"}}],
    ids=["sessions only", "pipelining off", "serializable"],
)
@pytest.mark.parametrize("use", USES)
async def test_sessions_are_clean_where_nothing_is_grouped(
    open_pool: Any, pg_database: str, pg_server: Any, use: str, options: dict[str, Any]
) -> None:
    """Before the catalogue is known and afterwards, and again when others have changed it."""
    body, looks = LASTING["a setting"]
    setup = REACHED["trigger"][0].format(body).replace("AFTER INSERT", "AFTER INSERT OR TRUNCATE")
    setup = setup.replace("FOR EACH ROW", "FOR EACH STATEMENT")
    pg_server.sql("CREATE TABLE t (id int, v int); " + setup, "contract")
    pool = await open_pool(pg_database, max_size=1, guard_refresh=0.05, **options)

    async def look() -> Any:
        async with pool.acquire() as connection:
            return await connection.fetchval(looks)

    for known in (False, True):
        for _ in range(3):
            async with pool.acquire() as connection:
                await USES[use](connection)
                assert await connection.fetchval(looks) is True, "the test shows nothing"
            assert await look() in (None, False)
        if not known:
            await guarded(pool, "INSERT INTO t VALUES (1)")
    if options:
        await pool.execute("INSERT INTO t VALUES (1)")
        assert await look() in (None, False)


async def test_a_clean_session_costs_no_reset(open_pool: Any, pg_database: str, pg_server: Any) -> None:
    """Of a pool that is used through sessions only; what is prepared stays."""
    pg_server.sql("CREATE TABLE t (id int)", "contract")
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    insert, prepared = "INSERT INTO t VALUES ($1)", "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1"
    for known in (False, True):
        async with pool.acquire() as connection:
            await connection.execute(insert, 1)
        if not known:
            await at_rest(pool)
    async with pool.acquire() as connection:
        assert await connection.fetchval(prepared, insert) == 1


async def test_a_pool_that_hands_its_sessions_on_is_guarded(open_pool: Any, pg_database: str, pg_server: Any) -> None:
    """All its connections are held whenever the guard looks for a free one, but never by one caller for long."""
    pg_server.sql("CREATE TABLE t (id int)", "contract")
    pool = await open_pool(pg_database, max_size=1, **QUICK)

    async def work() -> None:
        while not pool.explain("INSERT INTO t VALUES (1)").guarded:
            async with pool.acquire() as connection:
                await connection.execute("INSERT INTO t VALUES (1)")
                assert pool.stats().sessions == 1

    await asyncio.gather(*(work() for _ in range(4)))
