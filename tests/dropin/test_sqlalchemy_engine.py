"""Engines of SQLAlchemy: events, options of the URL, two-phase transactions, raw connections, `run_sync`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import create_async_engine

from tests.contract.waiting import until
from tests.dropin import compliance

ONE = sa.text("SELECT 1")


@pytest.fixture(params=[False, True], ids=["ordinary", "grouped"])
def grouped(request: pytest.FixtureRequest) -> bool:
    """Whether sessions are held for transactions only."""
    return bool(request.param)


async def test_events_of_the_pool(make: Any, backend: Any, grouped: bool) -> None:
    db = make(backend.dsn, grouped=grouped, pool_size=2, max_overflow=0)
    seen: Counter[str] = Counter()
    for name in ("connect", "first_connect", "checkout", "checkin", "reset", "close", "invalidate"):
        event.listen(db.sync_engine.pool, name, lambda *_, name=name: seen.update([name]))
    for _ in range(3):
        async with db.connect() as connection:
            assert (await connection.execute(ONE)).scalar() == 1
    once = {"first_connect": 1}
    assert seen == {**dict.fromkeys(("connect", "checkout", "checkin", "reset", "close"), 3), **once}
    async with db.connect() as connection:
        await connection.execute(ONE)
        await connection.invalidate()
    assert seen["invalidate"] == 1
    async with db.connect() as connection:  # the session that was ended is replaced
        assert (await connection.execute(ONE)).scalar() == 1


async def test_a_listener_makes_the_connection(make: Any, backend: Any) -> None:
    """The recipe for passwords that are valid for a short time: it may change what the connection is made with."""
    db = make(backend.dsn)
    made = []

    @event.listens_for(db.sync_engine, "do_connect")
    def connect(dialect: Any, record: Any, args: Any, options: Any) -> Any:
        options["max_waiting"] = 77
        made.append(dialect.dbapi.connect(*args, **options))
        return made[-1]

    async with db.connect() as connection:
        assert (await connection.execute(ONE)).scalar() == 1
    assert len(made) == 1
    assert (await db.dialect.pools.get("")).config.max_waiting == 77


async def test_listeners_prepare_a_connection(make: Any, pg_database: str) -> None:
    """The recipe for `search_path` and the like: a cursor of the driver's in an event `connect`."""
    db = make(pg_database)

    @event.listens_for(db.sync_engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        before, connection.autocommit = connection.autocommit, True
        cursor = connection.cursor()
        cursor.execute("SET SESSION search_path TO other, public")
        cursor.close()
        connection.autocommit = before

    for _ in range(2):
        async with db.connect() as connection:
            assert (await connection.execute(sa.text("SHOW search_path"))).scalar() == "other, public"


async def test_the_url_says_how(engine: Any, pg_database: str) -> None:
    url = compliance.url(pg_database, engine.name)
    for more, busy in (("", "busy: 1"), ("&grouped=true", "busy: 0")):
        db = create_async_engine(url + more, pool_size=1, max_overflow=0)
        async with db.connect() as connection:
            await until(lambda db=db, busy=busy: busy in db.pool.status())
            assert (await connection.execute(ONE)).scalar() == 1
            assert (await db.dialect.pools.get("")).mode == engine.name
        await db.dispose()
        assert db.pool.status() == "SharedPool, not open"


async def test_mode_that_there_is_not(pg_database: str) -> None:
    db = create_async_engine(compliance.url(pg_database, "fast"))
    with pytest.raises(Exception, match="fast"):
        await db.connect()
    await db.dispose()


async def test_a_creator_is_refused(backend: Any, engine: Any) -> None:
    async def creator() -> Any:
        raise AssertionError

    db = create_async_engine(compliance.url(backend.dsn, engine.name), async_creator=creator)
    with pytest.raises(NotImplementedError, match="connect_args"):
        await db.connect()
    await db.dispose()


async def test_two_phases(make: Any, own_server: Any, grouped: bool) -> None:
    server = await asyncio.to_thread(own_server, conf={"max_prepared_transactions": "5"})
    db = make(server.dsn(), grouped=grouped, pool_size=2)
    async with db.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE two (a integer)"))

    def work(connection: sa.Connection) -> list[Any]:
        kept = connection.begin_twophase("kept")
        connection.execute(sa.text("INSERT INTO two VALUES (1)"))
        kept.prepare()
        prepared = connection.execute(sa.text("SELECT gid FROM pg_prepared_xacts")).scalars().all()
        kept.commit()
        undone = connection.begin_twophase()
        connection.execute(sa.text("INSERT INTO two VALUES (2)"))
        undone.prepare()
        undone.rollback()
        with connection.begin_twophase():
            connection.execute(sa.text("INSERT INTO two VALUES (3)"))
        abandoned = connection.begin_twophase("abandoned")
        connection.execute(sa.text("INSERT INTO two VALUES (4)"))
        abandoned.prepare()
        return list(prepared)

    async with db.connect() as connection:
        assert await connection.run_sync(work) == ["kept"]
        await connection.invalidate()  # its session is lost: the transaction is for another one to end

    def recover(connection: sa.Connection) -> list[Any]:
        found = connection.recover_twophase()
        connection.rollback()
        connection.commit_prepared("abandoned", recover=True)
        connection.rollback()
        return found

    async with db.connect() as connection:
        assert await connection.run_sync(recover) == ["abandoned"]
        assert (await connection.execute(sa.text("SELECT a FROM two ORDER BY a"))).scalars().all() == [1, 3, 4]


async def test_the_connection_of_this_package(make: Any, backend: Any) -> None:
    """What SQLAlchemy has no word for, such as COPY and LISTEN, is asked of the connection itself."""
    db = make(backend.dsn)
    async with db.connect() as connection:
        raw = await connection.get_raw_connection()
        own = raw.driver_connection
        assert own is raw.dbapi_connection._connection
        assert await own.fetchval("SELECT 7") == 7


async def test_an_engine_is_used_again_after_dispose(make: Any, backend: Any, grouped: bool) -> None:
    db = make(backend.dsn, grouped=grouped)
    for _ in range(2):
        async with db.connect() as connection:
            assert (await connection.execute(ONE)).scalar() == 1
        await db.dispose()
        assert db.pool.status() == "SharedPool, not open"


async def test_streamed_rows_come_a_few_at_a_time(make: Any, pg_database: str, grouped: bool) -> None:
    db = make(pg_database, grouped=grouped)
    query = sa.text("SELECT i, pg_advisory_xact_lock_shared(i)::text FROM generate_series(1, 5000) AS i")
    async with db.connect() as connection:
        result = await connection.stream(query.execution_options(yield_per=10))
        assert (await result.fetchone())[0] == 1
        locked = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert (await connection.execute(locked)).scalar() < 5000  # so many rows have been made so far
        await result.close()
        result = await connection.stream_scalars(sa.text("SELECT i FROM generate_series(1, 105) AS i"))
        assert [len(part) async for part in result.partitions(50)] == [50, 50, 5]
        with pytest.raises(exc.DBAPIError):
            await connection.stream(sa.text("SELECT 1/0"))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO streamed VALUES (1), (2) RETURNING i", [1, 2]),
        ("WITH made AS (INSERT INTO streamed VALUES (5) RETURNING i) SELECT i FROM made", [5]),
        ("SHOW server_encoding", ["UTF8"]),
        ("UPDATE streamed SET i = 1", None),
    ],
)
async def test_what_can_have_no_cursor_is_streamed(
    make: Any, pg_database: str, grouped: bool, sql: str, expected: list[Any] | None
) -> None:
    async with make(pg_database, grouped=grouped).connect() as connection:
        await connection.execute(sa.text("CREATE TABLE streamed (i int)"))
        result = await connection.stream(sa.text(sql))
        assert (await result.scalars().all() if expected else result._real_result.returns_rows) == (expected or False)


async def test_many_rows_are_inserted_by_a_session_that_streams(make: Any, pg_database: str, grouped: bool) -> None:
    async with make(pg_database, grouped=grouped).connect() as connection:
        await connection.execute(sa.text("CREATE TABLE streamed (i int)"))
        streaming = await connection.execution_options(stream_results=True)
        insert = sa.insert(sa.table("streamed", sa.column("i", sa.Integer)))
        await streaming.run_sync(lambda sync: sync.execute(insert, [{"i": 1}, {"i": 2}]))
        result = await streaming.stream_scalars(sa.text("SELECT i FROM streamed"))
        assert await result.all() == [1, 2]


async def test_rows_of_a_stream_end_with_the_transaction(
    make: Any, pg_database: str, grouped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """They are not those of a later one; and closing what has ended is no error in the log."""
    numbers = sa.text("SELECT generate_series(1, 1000)")
    async with make(pg_database, grouped=grouped).connect() as connection:
        first = await connection.stream(numbers)
        await first.fetchone()
        await connection.commit()
        second = await connection.stream(numbers)
        await second.fetchone()
        with pytest.raises(exc.DBAPIError, match=r"has ended|given back"):
            await first.all()
        assert len(await second.all()) == 999
        third = await connection.stream(numbers)
        with pytest.raises(exc.ProgrammingError):
            await connection.execute(sa.text("SELECT nonsense"))
        await third.close()
    assert not caplog.records


async def test_numbers_of_the_pool(make: Any, backend: Any) -> None:
    db = make(backend.dsn, pool_size=2, max_overflow=1)
    pool = db.pool
    assert (pool.size(), pool.overflow(), pool.checkedout(), pool.checkedin()) == (3, -3, 0, 0)
    async with db.connect() as connection:
        await connection.execute(ONE)
        assert (pool.checkedout(), pool.overflow() < 0) == (1, True)
    await until(lambda: (pool.checkedout(), pool.checkedin() > 0) == (0, True))


async def test_insertmanyvalues(make: Any, backend: Any, grouped: bool) -> None:
    """Rows of a few statements; on PostgreSQL in the order in which they were given."""
    db = make(backend.dsn, grouped=grouped, insertmanyvalues_page_size=40)
    table = sa.Table("many", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.Integer))
    statements: list[str] = []
    event.listen(db.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    async with db.begin() as connection:
        await connection.run_sync(table.create)
        insert = sa.insert(table).returning(table.c.v, sort_by_parameter_order=db.dialect.name == "postgresql")
        made = await connection.execute(insert, [{"v": value} for value in range(100)])
        values = made.scalars().all()
        assert (values if db.dialect.name == "postgresql" else sorted(values)) == list(range(100))
    assert sum(text.startswith("INSERT") for text in statements) == 3
