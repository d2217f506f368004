"""What a text does behind its words (triggers, functions, constraints) is not changed by company.

Each test here has the database do something that a statement in a group would notice, and compares with what the same
statement does alone. All of them fail if texts are grouped by their words only.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import CheckViolation, DatabaseError, RaiseException, UniqueViolation

from .guarding import QUICK, guarded, script
from .waiting import until, until_async

ROUNDS = 4


async def _all(*calls: Any) -> list[Any]:
    return list(await asyncio.gather(*calls, return_exceptions=True))


# rule 8.3
async def test_two_strangers_do_not_swap_a_deferred_key(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(
        pool,
        "CREATE TABLE seat (id int PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO seat VALUES (1, 1), (2, 2), (3, 3)",
    )
    move = "UPDATE seat SET place = $2 WHERE id = $1"
    assert (await guarded(pool, move)).reason is None
    for _ in range(4):
        await pool.execute(move, 3, 3)
    for _ in range(ROUNDS):
        results = await _all(pool.execute(move, 1, 2), pool.execute(move, 2, 1))
        assert [type(one) for one in results] == [UniqueViolation, UniqueViolation]
        await asyncio.sleep(0)
        for _ in range(4):  # until the text, which has failed, may be grouped again, the rounds show nothing
            await pool.execute(move, 3, 3)
        await until(lambda: pool.explain(move).grouped)
    assert await pool.fetch("SELECT place FROM seat ORDER BY id") == [(1,), (2,), (3,)]


LEDGER = """
CREATE TABLE entry (transfer int, amount int);
CREATE FUNCTION balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount) FROM entry WHERE transfer = NEW.transfer) <> 0 THEN
        RAISE EXCEPTION 'transfer % is one-sided', NEW.transfer;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_balanced AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION balanced();
"""


# rule 8.3
async def test_a_strangers_row_does_not_cure_a_deferred_check(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(pool, LEDGER)
    enter = "INSERT INTO entry VALUES ($1, $2)"
    explained = await guarded(pool, enter)
    assert explained.reason == "INSERT INTO entry: deferred constraint trigger entry_balanced"
    for number in range(4):
        await pool.execute(enter, -1 - number, 0)
    for number in range(ROUNDS):
        results = await _all(pool.execute(enter, number, 5), pool.execute(enter, number, -5))
        assert [type(one) for one in results] == [RaiseException, RaiseException]
    assert await pool.fetchval("SELECT count(*) FROM entry WHERE amount <> 0") == 0


NOTIFYING = """
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE quiet (id int PRIMARY KEY);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('orders', TG_OP); RETURN NULL; END $$;
CREATE TRIGGER orders_audit AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION audit();
"""


# rule 8.2
async def test_every_notification_of_a_trigger_arrives(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=3, **QUICK)
    await script(pool, NOTIFYING)
    insert = "INSERT INTO orders VALUES ($1)"
    explained = await guarded(pool, insert)
    assert explained.reason == "INSERT INTO orders: trigger orders_audit -> function audit(): pg_notify"
    assert not explained.grouped
    for number in range(4):
        await pool.execute(insert, -1 - number)
    heard: list[str] = []
    async with pool.acquire() as conn:
        await conn.add_listener("orders", lambda *event: heard.append(event[-1]))
        await asyncio.gather(*(pool.execute(insert, number) for number in range(200)))
        await until(lambda: len(heard) >= 200)
        await conn.fetch("SELECT 1")
    assert len(heard) == 200


# rule 8.1
async def test_only_the_tables_with_a_reason_run_alone(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, **QUICK)
    await script(pool, NOTIFYING)
    assert (await guarded(pool, "INSERT INTO quiet VALUES ($1)")).reason is None
    assert pool.explain("SELECT id FROM orders").reason is None, "a plain SELECT fires no trigger"
    assert pool.explain("SELECT id FROM orders").kind == "read"
    for number in range(4):
        await pool.execute("INSERT INTO quiet VALUES ($1)", number)
        await pool.execute("INSERT INTO orders VALUES ($1)", number)
    assert pool.explain("INSERT INTO quiet VALUES ($1)").grouped
    assert pool.stats().ran_alone["guard"] == 4


TENANTS = """
CREATE TABLE document (id int, tenant text);
INSERT INTO document VALUES (1, 'a'), (2, 'b');
CREATE VIEW visible AS SELECT * FROM document WHERE tenant = current_setting('app.tenant', true);
CREATE FUNCTION enter(name text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.tenant', name, true) $$;
CREATE FUNCTION work() RETURNS int LANGUAGE plpgsql AS $$
BEGIN CREATE TEMP TABLE scratch (n int) ON COMMIT DROP; INSERT INTO scratch VALUES (1); RETURN 1; END $$;
CREATE FUNCTION scratches() RETURNS bool LANGUAGE sql STABLE AS $$ SELECT to_regclass('scratch') IS NOT NULL $$;
"""


async def test_a_strangers_setting_is_not_seen(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(pool, TENANTS)
    enter = "WITH x AS (INSERT INTO document VALUES (3, $1) RETURNING 1) SELECT enter($1) FROM x"
    see = "WITH x AS (INSERT INTO document VALUES (4, 'c') RETURNING 1) SELECT (SELECT count(*) FROM visible) FROM x"
    assert (await guarded(pool, enter)).reason == "enter(): set_config"
    for _ in range(4):
        await pool.fetch(enter, "a")
        await pool.fetch(see)
    results = await asyncio.gather(*([pool.fetchval(enter, "a"), pool.fetchval(see)] * 5))
    assert results[1::2] == [0] * 5


async def test_a_strangers_temporary_table_is_not_seen(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(pool, TENANTS)
    assert (await guarded(pool, "SELECT work()")).reason == "work(): TEMP"
    assert (await guarded(pool, "SELECT scratches()")).kind == "read"
    for _ in range(4):
        await pool.fetch("SELECT work()")
        await pool.fetch("SELECT scratches()")
    results = await asyncio.gather(
        *(pool.fetchval("SELECT work()" if number % 2 else "SELECT scratches()") for number in range(20))
    )
    assert results == [False, 1] * 10


VERSIONS = """
CREATE TABLE row_version (id int PRIMARY KEY, n int);
INSERT INTO row_version SELECT i, 0 FROM generate_series(1, 8) i;
CREATE VIEW versioned AS SELECT id, n, xmin::text::bigint AS version FROM row_version;
CREATE FUNCTION bump(which int) RETURNS bigint LANGUAGE sql AS
    $$ UPDATE row_version SET n = n + 1 WHERE id = which RETURNING xmin::text::bigint $$;
"""


@pytest.mark.parametrize(
    "sql", ["SELECT bump($1)", "UPDATE versioned SET n = n + 1 WHERE id = $1 RETURNING (SELECT version)"]
)
async def test_a_version_token_fits_one_change_only(open_pool: Any, pg_database: str, sql: str) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(pool, VERSIONS)
    assert "xmin" in str((await guarded(pool, sql)).reason)
    for _ in range(4):
        await pool.fetchval(sql, 1)
    tokens = await asyncio.gather(*(pool.fetchval(sql, number) for number in range(1, 9)))
    assert len(set(tokens)) == 8


# rule 8.2
async def test_a_select_that_may_write_is_a_write(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, **QUICK)
    await script(
        pool,
        "CREATE TABLE log (n int); CREATE FUNCTION note() RETURNS int LANGUAGE sql AS"
        " $$ INSERT INTO log VALUES (1) RETURNING 1 $$; CREATE VIEW noting AS SELECT note() AS n;"
        "CREATE FUNCTION pure(n int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT n + 1 $$;",
    )
    assert (await guarded(pool, "SELECT note()")).kind == "write"
    assert pool.explain("SELECT n FROM noting").kind == "write"
    assert pool.explain("SELECT pure($1)").kind == "read"
    for _ in range(4):
        await pool.fetch("SELECT note()")
    assert pool.explain("SELECT note()").grouped
    await asyncio.gather(*(pool.fetch("SELECT note()") for _ in range(20)))
    assert await pool.fetchval("SELECT count(*) FROM log") == 24


# rule 8.4
async def test_what_is_made_later_is_guarded_too(open_pool: Any, pg_database: str) -> None:
    """DDL through the pool makes it read the catalogue again, and nothing that may write is grouped until it has."""
    pool = await open_pool(pg_database, max_size=2, guard_refresh=3600, **QUICK)
    await script(pool, "CREATE TABLE orders (id int PRIMARY KEY)")
    insert = "INSERT INTO orders VALUES ($1)"
    assert (await guarded(pool, insert)).reason is None
    for number in range(4):
        await pool.execute(insert, number)
    assert pool.explain(insert).grouped
    await pool.execute(
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_notify('orders', TG_OP); RETURN NULL; END $$"
    )
    await pool.execute("CREATE TRIGGER orders_audit AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION audit()")
    assert not pool.explain(insert).grouped
    assert "orders_audit" in str((await guarded(pool, insert)).reason)


#: DDL that no command tag tells of, on the pool and on a session.
_HIDDEN = {"DO": "DO $do$ BEGIN EXECUTE $x$ {} $x$; END $do$", "a procedure": "CALL make()"}


# rule 8.4
@pytest.mark.parametrize("on", ["pool", "session", "transaction"])
@pytest.mark.parametrize("hidden", _HIDDEN)
async def test_what_blocks_and_procedures_make_is_guarded(
    open_pool: Any, pg_database: str, hidden: str, on: str
) -> None:
    """Of DO at once, as after DDL; of CALL soon, by the fingerprint."""
    pool = await open_pool(pg_database, max_size=2, guard_refresh=3600, **QUICK)
    trigger = "CREATE TRIGGER orders_audit AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION audit()"
    await script(
        pool,
        "CREATE TABLE orders (id int PRIMARY KEY); CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_notify('orders', TG_OP); RETURN NULL; END $$;"
        f"CREATE PROCEDURE make() LANGUAGE plpgsql AS $$ BEGIN {trigger}; END $$",
    )
    insert = "INSERT INTO orders VALUES ($1)"
    assert (await guarded(pool, insert)).reason is None
    for number in range(4):
        await pool.execute(insert, number)
    assert pool.explain(insert).grouped
    sql = _HIDDEN[hidden].format(trigger)
    if on == "pool":
        await pool.execute(sql)
    else:
        async with pool.acquire() if on == "session" else pool.transaction() as connection:
            await connection.execute(sql)
    assert hidden != "DO" or not pool.explain(insert).grouped
    await until(lambda: "orders_audit" in str(pool.explain(insert).reason))


# rule 8.4
async def test_what_others_make_is_guarded_in_time(open_pool: Any, pg_database: str, pg_server: Any) -> None:
    pool = await open_pool(pg_database, max_size=2, guard_refresh=0.05)
    insert = "INSERT INTO orders VALUES ($1)"
    pg_server.sql("CREATE TABLE orders (id int PRIMARY KEY)", "contract")
    assert (await guarded(pool, insert)).reason is None
    pg_server.sql("DROP TABLE orders;" + NOTIFYING, "contract")

    async def noticed() -> bool:
        await pool.fetchval("SELECT 1")  # a pool that is not used does not look
        return "orders_audit" in str(pool.explain(insert).reason)

    await until_async(noticed)


# rule 8.5
async def test_functions_named_in_options(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, alone_functions=["mine"], shared_functions=["audit"])
    await script(pool, NOTIFYING + "CREATE FUNCTION mine() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'")
    assert (await guarded(pool, "INSERT INTO orders VALUES ($1)")).reason is None
    assert pool.explain("SELECT mine()").reason == "mine(): named in alone_functions"


# rule 8.7
async def test_isolation_set_by_init_counts(open_pool: Any, pg_database: str) -> None:
    async def init(conn: Any) -> None:
        await conn.execute("SET default_transaction_isolation = 'serializable'")

    pool = await open_pool(pg_database, max_size=1, init=init)
    for _ in range(5):
        await pool.fetchval("SELECT 1")
    assert not pool.explain("SELECT 1").grouped
    assert pool.explain("SELECT 1").reason == "transactions are not READ COMMITTED"


# rule 8.6
async def test_a_catalogue_that_cannot_be_read(open_pool: Any, pg_database: str, pg_server: Any, caplog: Any) -> None:
    """Then only READs are grouped that call no function of the user's, and the log says so once."""
    pg_server.sql(
        "DROP ROLE IF EXISTS blind; CREATE ROLE blind LOGIN; REVOKE SELECT ON pg_proc FROM public", "contract"
    )
    try:
        pool = await open_pool(pg_database, max_size=1, user="blind", guard_refresh=0.05)
        await pool.fetch("SELECT 1")
        await until(lambda: "catalogue" in caplog.text)
        await pool.fetch("SELECT 1")
        assert pool.explain("SELECT lower($1)").reason is None
        assert "catalogue" in str(pool.explain("SELECT mine($1)").reason)
        assert "catalogue" in str(pool.explain("INSERT INTO t VALUES ($1)").reason)
        assert caplog.text.count("the catalogue cannot be read") == 1
    finally:
        pg_server.sql("GRANT SELECT ON pg_proc TO public", "contract")
        await pool.close()
        pg_server.sql("DROP ROLE blind", "contract")


# rule 8.3
async def test_deferred_keys_do_not_keep_writes_alone(open_pool: Any, pg_database: str) -> None:
    """A schema whose every key is deferred is grouped, and the server's log stays quiet."""
    pool = await open_pool(pg_database, max_size=2, **QUICK)
    await script(
        pool,
        "CREATE TABLE author (id int PRIMARY KEY); INSERT INTO author VALUES (1);"
        "CREATE TABLE book (id int PRIMARY KEY, author int REFERENCES author DEFERRABLE INITIALLY DEFERRED)",
    )
    insert = "INSERT INTO book VALUES ($1, $2) RETURNING id"
    await guarded(pool, insert)
    for number in range(4):
        await pool.fetch(insert, -1 - number, 1)
    before = pool.stats()
    calls = [pool.fetch(insert, number, 2 if number == 77 else 1) for number in range(200)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [one if isinstance(one, Exception) else one[0][0] for one in results[:5]] == [0, 1, 2, 3, 4]
    assert isinstance(results[77], DatabaseError)
    assert results[77].sqlstate == "23503"
    assert sum(isinstance(one, Exception) for one in results) == 1
    after = pool.stats()
    assert after.groups - before.groups < after.statements - before.statements
    assert await pool.fetchval("SELECT count(*) FROM book") == 203


async def test_a_check_that_fails_in_a_group_is_reported_as_alone(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await script(pool, "CREATE TABLE t (id int CHECK (id > 0), k int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    insert = "INSERT INTO t VALUES ($1, $2)"
    await guarded(pool, insert)
    for number in range(4):
        await pool.execute(insert, 1, number)
    results = await _all(*(pool.execute(insert, number - 1, 100 + number) for number in range(4)))
    assert [type(one).__name__ for one in results] == [CheckViolation.__name__] * 2 + ["Status"] * 2
