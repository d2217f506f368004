"""The dialect `sqlite+db_pool_rs`: what programs rely on that were made for Python's own driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc


class Tables:
    """A parent and its children."""

    metadata = sa.MetaData()
    parents = sa.Table("parents", metadata, sa.Column("id", sa.Integer, primary_key=True))
    children = sa.Table("children", metadata, sa.Column("id", sa.ForeignKey("parents.id"), primary_key=True))


@pytest.fixture(params=[False, True], ids=["ordinary", "grouped"])
def opened(request: pytest.FixtureRequest, make: Any, tmp_path: Path) -> Callable[..., Any]:
    """Factory of engines of both kinds on one file."""

    def create(query: str = "", **options: Any) -> Any:
        return make(f"sqlite:///{tmp_path / 'test.db'}{query}", grouped=request.param, **options)

    return create


async def orphan(db: Any) -> None:
    """A child without a parent."""
    async with db.begin() as connection:
        await connection.run_sync(Tables.metadata.create_all)
    async with db.begin() as connection:
        await connection.execute(sa.insert(Tables.children), {"id": 1})


async def test_foreign_keys_are_off_as_ever(opened: Any) -> None:
    await orphan(opened())


@pytest.mark.parametrize("way", ["option", "url"])
async def test_foreign_keys_are_on_where_asked_for(opened: Any, way: str) -> None:
    db = opened(connect_args={"foreign_keys": True}) if way == "option" else opened("?foreign_keys=on")
    with pytest.raises(exc.IntegrityError):
        await orphan(db)


async def test_the_recipe_for_foreign_keys(make: Any, tmp_path: Path) -> None:
    db = make(f"sqlite:///{tmp_path / 'test.db'}")

    @event.listens_for(db.sync_engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    for _ in range(2):
        with pytest.raises(exc.IntegrityError):
            await orphan(db)


async def test_the_recipe_for_savepoints(opened: Any) -> None:
    """Programs begin transactions themselves: sqlite3 begins none before a SAVEPOINT."""
    db = opened()

    @event.listens_for(db.sync_engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(db.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    parents = Tables.parents
    async with db.begin() as connection:
        await connection.run_sync(Tables.metadata.create_all)
    async with db.connect() as connection:
        transaction = await connection.begin()
        await connection.execute(sa.insert(parents), {"id": 1})
        nested = await connection.begin_nested()
        await connection.execute(sa.insert(parents), {"id": 2})
        await nested.rollback()
        async with connection.begin_nested():
            await connection.execute(sa.insert(parents), {"id": 3})
        await transaction.commit()
        assert (await connection.scalars(sa.select(parents.c.id).order_by(parents.c.id))).all() == [1, 3]
        await connection.rollback()
        async with connection.begin() as undone:
            await connection.execute(sa.delete(parents))
            await undone.rollback()
        assert await connection.scalar(sa.select(sa.func.count()).select_from(parents)) == 2


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM nowhere", exc.OperationalError),
        ("SELEC 1", exc.OperationalError),
        ("INSERT INTO parents VALUES (1), (1)", exc.IntegrityError),
        ("INSERT INTO parents VALUES ('text')", exc.IntegrityError),
        ("INSERT INTO refused VALUES (1)", exc.IntegrityError),
    ],
)
async def test_errors_have_the_classes_of_sqlite3(opened: Any, sql: str, expected: type[Exception]) -> None:
    db = opened()
    refuse = "CREATE TRIGGER no BEFORE INSERT ON refused BEGIN SELECT RAISE(ABORT, 'no'); END"
    async with db.begin() as connection:
        await connection.run_sync(Tables.metadata.create_all)
        await connection.exec_driver_sql("CREATE TABLE refused (a integer)")
        await connection.exec_driver_sql(refuse)
    async with db.connect() as connection:
        with pytest.raises(exc.DBAPIError) as caught:
            await connection.exec_driver_sql(sql)
        assert type(caught.value) is expected
