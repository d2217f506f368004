"""Values of PostgreSQL's types through the dialect, also where tables change while it runs."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import json
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db_pool_rs import Codec


class Mood(enum.Enum):
    """A native enum on PostgreSQL."""

    sad = "sad"
    glad = "glad"


class Base(DeclarativeBase):
    """The tables of these tests."""


class Document(Base):
    """Has values that can be changed in place."""

    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[Any] = mapped_column(MutableDict.as_mutable(pg.HSTORE))
    data: Mapped[Any] = mapped_column(MutableDict.as_mutable(pg.JSONB))


async def test_values_of_postgresql(make: Any, pg_database: str) -> None:
    db = make(pg_database)
    columns: list[tuple[Any, Any]] = [
        (sa.Numeric(10, 2), decimal.Decimal("1.50")),
        (sa.Float(), 2.5),
        (sa.DateTime(timezone=True), datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)),
        (sa.Interval(), datetime.timedelta(days=1, seconds=2)),
        (sa.Enum(Mood, name="mood"), Mood.glad),
        (sa.JSON(), {"a": [1, None, "x"]}),
        (pg.JSONB(), "text"),
        (pg.ARRAY(sa.Integer), [1, 2, 3]),
        (pg.ARRAY(sa.Text), ["a", None]),
        (sa.LargeBinary(), b"\0\1"),
        (sa.Uuid(), None),
        (pg.INT4RANGE(), pg.Range(1, 5)),
        (pg.TSTZMULTIRANGE(), [pg.Range(datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), None)]),
    ]
    table = sa.Table("v", sa.MetaData(), *(sa.Column(f"c{at}", kind) for at, (kind, _) in enumerate(columns)))
    values = {f"c{at}": value for at, (_, value) in enumerate(columns)}
    async with db.begin() as connection:
        await connection.run_sync(table.create)
        await connection.execute(sa.insert(table), values)
        assert (await connection.execute(sa.select(table))).mappings().one() == values
        found = await connection.execute(sa.select(table.c.c2).where(table.c.c7.contains([2])))
        assert found.scalar_one() == values["c2"]


async def test_dates_and_times_stand_for_each_other(make: Any, pg_database: str) -> None:
    db, table = make(pg_database), sa.Table("t", sa.MetaData(), sa.Column("day", sa.Date), sa.Column("at", sa.DateTime))
    day, at = datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4)
    async with db.begin() as connection:
        await connection.run_sync(table.create)
        await connection.execute(
            sa.insert(table), [{"day": at, "at": day}, {"day": day, "at": at}, dict.fromkeys(("day", "at"))]
        )
        rows = (await connection.execute(sa.select(table))).all()
    assert rows == [(day, datetime.datetime(2026, 1, 2)), (day, at), (None, None)]


async def test_serializers_of_json(make: Any, pg_database: str) -> None:
    db = make(
        pg_database,
        json_serializer=lambda value: json.dumps({"wrapped": value}),
        json_deserializer=lambda text: json.loads(text, parse_float=decimal.Decimal)["wrapped"],
    )
    table = sa.Table("j", sa.MetaData(), sa.Column("a", sa.JSON), sa.Column("b", pg.JSONB))
    async with db.begin() as connection:
        await connection.run_sync(table.create)
        await connection.execute(sa.insert(table), {"a": [1.25], "b": {"x": 1.25}})
        assert (await connection.execute(sa.select(table))).one() == (
            [decimal.Decimal("1.25")],
            {"x": decimal.Decimal("1.25")},
        )
        raw = await connection.exec_driver_sql("SELECT a::text, b FROM j")  # the driver's own, as with asyncpg
        assert raw.one() == ('{"wrapped": [1.25]}', {"x": decimal.Decimal("1.25")})


async def test_hstore_is_a_dict(make: Any, pg_database: str) -> None:
    db = make(pg_database)
    async with db.begin() as connection:
        await connection.execute(sa.text("CREATE EXTENSION hstore"))
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(db, expire_on_commit=False) as session:
        session.add_all([Document(tags={"a": "1", "b": None}, data={"n": 1}), Document(tags={}, data={})])
        await session.commit()  # many rows with RETURNING: the VALUES of insertmanyvalues
        first, second = (await session.scalars(sa.select(Document).order_by(Document.id))).all()
        assert (first.tags, second.tags, first.data) == ({"a": "1", "b": None}, {}, {"n": 1})
        second.tags["new"] = 'with "quotes"'
        first.data["n"] = [2, {"deep": None}]
        await session.commit()
        assert await session.scalar(sa.select(Document.tags["new"]).where(Document.id == second.id)) == 'with "quotes"'
        assert await session.scalar(sa.select(Document.data["n", 1]).where(Document.id == first.id)) == {"deep": None}
        assert await session.scalar(sa.select(pg.array([Document.tags]))) == [{"a": "1", "b": None}]


async def test_arrays_of_what_is_not_plain(make: Any, pg_database: str) -> None:
    db = make(pg_database)
    values: list[tuple[Any, list[Any]]] = [
        (sa.JSON(), [1, {"a": 3}, ["d"], "text"]),
        (pg.JSONB(), [{"struct": True, "none": None}]),
        (pg.HSTORE(), [{"a": "1"}, {}]),
        (sa.Enum(Mood, name="mood"), [Mood.glad, Mood.sad]),
        (pg.MONEY(), ["$1.50"]),
        (pg.INT4RANGE(), [pg.Range(1, 5), pg.Range(empty=True)]),
    ]
    columns = (sa.Column(f"c{at}", pg.ARRAY(kind)) for at, (kind, _) in enumerate(values))
    table = sa.Table("arrays", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), *columns)
    row = {f"c{at}": value for at, (_, value) in enumerate(values)}
    async with db.begin() as connection:
        await connection.execute(sa.text("CREATE EXTENSION hstore"))
        await connection.run_sync(table.create)
        await connection.execute(sa.insert(table).returning(table.c.id), [row, row])
        for found in (await connection.execute(sa.select(table).order_by(table.c.id))).mappings():
            assert {name: found[name] for name in row} == row
        changed = sa.update(table).values({table.c.c0[1:2]: [{"x": 1}, None]}).returning(table.c.c0)
        assert (await connection.execute(changed.where(table.c.id == 1))).scalar_one() == [
            {"x": 1},
            None,
            ["d"],
            "text",
        ]


async def test_addresses_of_the_network(make: Any, pg_database: str) -> None:
    table = sa.Table(
        "hosts", sa.MetaData(), sa.Column("a", pg.INET), sa.Column("b", pg.CIDR), sa.Column("c", pg.MACADDR)
    )
    texts = ("127.0.0.1", "192.168.100.128/25", "08:00:2b:01:02:03")
    objects = (ipaddress.ip_address(texts[0]), ipaddress.ip_network(texts[1]), texts[2])
    for native, expected in ((None, objects), (False, texts)):
        db = make(pg_database, **({} if native is None else {"native_inet_types": native}))
        async with db.connect() as connection:
            await connection.run_sync(lambda sync: table.create(sync, checkfirst=False))
            await connection.execute(sa.insert(table), dict(zip("abc", expected, strict=True)))
            assert (await connection.execute(sa.select(table))).one() == expected
            assert (await connection.execute(sa.select(table.c.c).where(table.c.a == expected[0]))).scalar() == texts[2]


async def test_codecs_of_the_program(make: Any, pg_database: str) -> None:
    """They are used beside those that SQLAlchemy's JSON needs, and before them."""
    mood = Codec("mood", encoder=lambda value: value.value, decoder=Mood)
    db = make(pg_database, connect_args={"codecs": [mood, Codec("jsonb", decoder=lambda text: f"jsonb {text}")]})
    async with db.begin() as connection:
        await connection.execute(sa.text("CREATE TYPE mood AS ENUM ('sad', 'glad')"))
        await connection.execute(sa.text("CREATE TABLE t (a mood, b json, c jsonb)"))
        await connection.exec_driver_sql("INSERT INTO t VALUES ($1, $2, '[1]')", (Mood.glad, {"x": 1}))
        assert (await connection.execute(sa.text("SELECT * FROM t"))).one() == (Mood.glad, {"x": 1}, "jsonb [1]")


@pytest.mark.parametrize("isolation", [None, "AUTOCOMMIT"])
async def test_tables_made_anew_with_other_types(make: Any, pg_database: str, isolation: str | None) -> None:
    """The same texts, in transactions: an error of what is out of date could not be mended there."""
    db = make(pg_database, **({} if isolation is None else {"isolation_level": isolation}))
    kinds = ((sa.Integer, 7), (pg.MONEY, "$7.00"), (pg.CIDR, ipaddress.ip_network("10.0.0.0/8")), (pg.JSONB, {"a": 7}))
    for kind, value in kinds:
        table = sa.Table("again", sa.MetaData(), sa.Column("a", kind))
        async with db.begin() as connection:
            await connection.run_sync(table.create)
            await connection.exec_driver_sql("INSERT INTO again VALUES ($1)", (value,))
            assert (await connection.execute(sa.select(table.c.a))).scalar() == value
        async with db.begin() as connection:
            await connection.exec_driver_sql("INSERT INTO again VALUES ($1)", (value,))
            assert (await connection.execute(sa.select(table.c.a))).scalars().all() == [value, value]
            await connection.run_sync(table.drop)
