"""The dialects `postgresql+db_pool_rs` and `sqlite+db_pool_rs`: Core, ORM, types, transactions, groups, migrations.

SQLAlchemy's own compliance suite is run by `nox -s sqlalchemy`.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from sqlalchemy.pool import AsyncAdaptedQueuePool

from db_pool_rs.sqlalchemy.testing import rolled_back_session
from tests.contract.guarding import at_rest
from tests.dropin import compliance
from tests.meta.source import ROOT


class Base(DeclarativeBase):
    """The tables of these tests."""


class User(Base):
    """Has addresses."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    addresses: Mapped[list[Address]] = relationship(back_populates="user")


class Address(Base):
    """Has a user."""

    __tablename__ = "addresses"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    email: Mapped[str]
    user: Mapped[User] = relationship(back_populates="addresses")


@pytest.fixture(params=[False, True], ids=["ordinary", "grouped"])
async def db(request: pytest.FixtureRequest, make: Any, backend: Any) -> Any:
    """An engine with the tables, once of each kind."""
    one = make(backend.dsn, grouped=request.param)
    async with one.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return one


async def test_orm(db: Any) -> None:
    async with AsyncSession(db, expire_on_commit=False) as session:
        session.add_all([User(name=f"u{number}", addresses=[Address(email=f"{number}@x")]) for number in range(20)])
        await session.commit()
        found = (await session.scalars(sa.select(User).options(selectinload(User.addresses)).order_by(User.id))).all()
        assert [(user.name, user.addresses[0].email) for user in found][7] == ("u7", "7@x")
        found[0].name = "new"
        await session.delete(found[1].addresses[0])
        await session.flush()
        await session.rollback()
    async with AsyncSession(db) as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(Address)) == 20
        session.add(User(name="u3"))
        with pytest.raises(exc.IntegrityError) as caught:
            await session.commit()
        assert caught.value.orig.sqlstate == "23505"
        await session.rollback()
        async with session.begin_nested():
            session.add(User(name="nested"))
        await session.commit()
        assert await session.scalar(sa.select(User.id).where(User.name == "nested")) is not None


async def test_core(db: Any) -> None:
    users = User.__table__
    async with db.begin() as connection:
        assert (await connection.execute(sa.insert(users).values(name="a").returning(users.c.id))).scalar_one()
        await connection.execute(sa.insert(users), [{"name": "b"}, {"name": "c"}])
        changed = await connection.execute(sa.update(users).values(name=users.c.name + "!"))
        assert changed.rowcount == 3
        empty = await connection.execute(sa.select(users).where(users.c.id < 0))
        assert (list(empty.keys()), empty.all()) == (["id", "name"], [])
        nested = await connection.begin_nested()
        await connection.execute(sa.delete(users))
        await nested.rollback()
        streamed = await connection.stream(sa.select(users.c.name).order_by(users.c.id))
        assert [row.name async for row in streamed] == ["a!", "b!", "c!"]
    with pytest.raises(exc.ProgrammingError if db.dialect.name == "postgresql" else exc.OperationalError):
        async with db.connect() as connection:
            await connection.execute(sa.text("SELECT nonsense FROM users"))

    async def fail() -> None:
        async with db.begin() as connection:
            await connection.execute(sa.delete(users))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with db.connect() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(users))).scalar() == 3


async def test_statements_outside_transactions_travel_in_groups(make: Any, pg_database: str) -> None:
    db = make(pg_database, grouped=True, isolation_level="AUTOCOMMIT", connect_args={"max_size": 3})
    query = sa.select(sa.literal(1) + sa.bindparam("number", type_=sa.Integer))

    async def ask(number: int) -> int:
        async with db.connect() as connection:
            return int((await connection.execute(query, {"number": number})).scalar_one())

    for _ in range(4):  # until the text counts as fast
        assert await ask(1) == 2
    pool = await db.dialect.pools.get("")
    await at_rest(pool)
    before = pool.stats()
    assert await asyncio.gather(*map(ask, range(100))) == [number + 1 for number in range(100)]
    after = pool.stats()
    assert after.statements - before.statements == 100
    assert after.groups - before.groups < 100  # how many fewer is a matter of the machine's load
    assert after.size <= 3


async def test_a_session_is_held_for_transactions_only(make: Any, pg_database: str) -> None:
    db = make(pg_database, grouped=True, connect_args={"max_size": 1, "min_size": 1})
    async with db.connect() as one, db.connect() as other:  # two connections, one session
        assert (await one.execute(sa.text("SELECT 1"))).scalar() == 1
        assert "busy: 1" in db.pool.status()
        await one.commit()
        assert (await other.execute(sa.text("SELECT 2"))).scalar() == 2


async def test_many_tasks_on_a_small_pool(make: Any, pg_database: str) -> None:
    db = make(pg_database, pool_size=2, max_overflow=1, pool_timeout=30)

    async def ask(number: int) -> int:
        async with AsyncSession(db) as session:
            return int(await session.scalar(sa.select(sa.literal(number))) or 0)

    assert await asyncio.gather(*map(ask, range(30))) == list(range(30))
    assert (await db.dialect.pools.get("")).config.max_size == 3


async def test_waiting_in_vain(make: Any, pg_database: str) -> None:
    db = make(pg_database, pool_size=1, max_overflow=0, pool_timeout=2)
    async with db.connect():
        with pytest.raises(exc.TimeoutError):
            await db.connect()


async def test_isolation_and_execution_options(make: Any, pg_database: str) -> None:
    db = make(pg_database, isolation_level="REPEATABLE READ")
    async with db.connect() as connection:
        show = sa.text("SHOW transaction_isolation")
        assert (await connection.execute(show)).scalar() == "repeatable read"
        await connection.rollback()
        await connection.execution_options(isolation_level="SERIALIZABLE", postgresql_readonly=True)
        assert (await connection.execute(show)).scalar() == "serializable"
        assert (await connection.execute(sa.text("SHOW transaction_read_only"))).scalar() == "on"
    async with db.connect() as connection:
        assert (await connection.execute(show)).scalar() == "repeatable read"


async def test_a_lost_connection_is_told(make: Any, pg_database: str, pg_server: Any) -> None:
    db = make(pg_database)
    async with db.connect() as connection:
        pid = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar()
        pg_server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
        with pytest.raises(exc.DBAPIError) as caught:
            await connection.execute(sa.text("SELECT 1"))
        assert caught.value.connection_invalidated
    async with db.connect() as connection:
        assert (await connection.execute(sa.text("SELECT 1"))).scalar() == 1


async def test_pools_of_sqlalchemy_work_above_it(make: Any, pg_database: str) -> None:
    db = make(pg_database, poolclass=AsyncAdaptedQueuePool, pool_size=2, pool_pre_ping=True)
    for _ in range(3):
        async with db.connect() as connection:
            assert (await connection.execute(sa.text("SELECT 1"))).scalar() == 1


async def test_a_session_of_which_nothing_stays(db: Any) -> None:
    """Its commits are savepoints: an expected error undoes what came since the last."""
    async with rolled_back_session(db, expire_on_commit=False) as session:
        session.add(User(name="x"))
        await session.commit()
        session.add_all([User(name="y"), User(name="x")])
        with pytest.raises(exc.IntegrityError):
            await session.commit()
        await session.rollback()
        assert (await session.scalars(sa.select(User.name))).all() == ["x"]
        async with session.begin_nested():
            session.add(User(name="z"))
        await session.commit()
        assert await session.scalar(sa.select(sa.func.count()).select_from(User)) == 2
    async with AsyncSession(db) as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(User)) == 0


def test_entry_points_name_the_dialects() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for name, cls in (("postgresql", "PostgresDialect"), ("sqlite", "SqliteDialect")):
        assert f'"{name}.db_pool_rs" = "db_pool_rs.sqlalchemy.{name}:{cls}"' in text
        assert getattr(import_module(f"db_pool_rs.sqlalchemy.{name}"), cls).driver == "db_pool_rs"


#: Of SQLAlchemy's compliance suite: what uses most of a driver.
PART = "RowFetchTest and not Future"


@pytest.mark.timeout(240)
def test_a_part_of_the_compliance_suite(engine: Any, backend: Any) -> None:
    done = compliance.run(compliance.url(backend.dsn, engine.name), "-k", PART, timeout=200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


ALEMBIC_ENV = """
import asyncio
from alembic import context
from sqlalchemy import MetaData, Table, Column, Integer, String, Index, Boolean
from sqlalchemy.dialects import registry
from sqlalchemy.ext.asyncio import create_async_engine

registry.register("postgresql.db_pool_rs", "db_pool_rs.sqlalchemy.postgresql", "PostgresDialect")
registry.register("sqlite.db_pool_rs", "db_pool_rs.sqlalchemy.sqlite", "SqliteDialect")
metadata = MetaData()
Table("people", metadata, Column("id", Integer, primary_key=True), Column("name", String(50), nullable=False),
      Column("more", Boolean), Index("by_name", "name"))

def work(connection):
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()

async def online():
    engine = create_async_engine(context.config.get_main_option("sqlalchemy.url"))
    async with engine.connect() as connection:
        await connection.run_sync(work)
    await engine.dispose()

if context.is_offline_mode():
    url = context.config.get_main_option("sqlalchemy.url")
    context.configure(url=url, target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(online())
"""
MAKO = '''"""${message}"""
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
from alembic import op
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

def upgrade():
    ${upgrades if upgrades else "pass"}

def downgrade():
    ${downgrades if downgrades else "pass"}
'''


def test_migrations_of_alembic(engine: Any, backend: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Autogenerate, upgrade, check, downgrade, and the SQL of it."""
    (tmp_path / "env.py").write_text(ALEMBIC_ENV)
    (tmp_path / "script.py.mako").write_text(MAKO)
    (tmp_path / "versions").mkdir()
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("sqlalchemy.url", compliance.url(backend.dsn, engine.name).replace("%", "%%"))
    command.revision(config, "first", autogenerate=True)
    (made,) = (tmp_path / "versions").glob("*.py")
    assert "create_table('people'" in made.read_text()
    assert "by_name" in made.read_text()
    command.upgrade(config, "head")
    command.check(config)
    command.upgrade(config, "head", sql=True)
    assert "CREATE TABLE people" in capsys.readouterr().out
    command.downgrade(config, "base")
    command.upgrade(config, "head")
