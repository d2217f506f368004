"""Arguments by name: one mapping for a text with `:name`."""

from __future__ import annotations

from collections import ChainMap, defaultdict
from types import MappingProxyType
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, InterfaceError

SQL = "SELECT id, name FROM item WHERE id >= :low AND id <= :high ORDER BY id"


@pytest.fixture(params=["pool", "connection", "transaction"])
async def queries(pool: Any, request: pytest.FixtureRequest) -> Any:
    """Each thing that runs statements, on a table with three rows."""
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    await pool.executemany("INSERT INTO item VALUES ($1, $2)", [(1, "a"), (2, "b"), (3, "c")])
    if request.param == "pool":
        yield pool
    elif request.param == "connection":
        async with pool.acquire() as connection:
            yield connection
    else:
        async with pool.transaction() as connection:
            yield connection


async def test_every_call_takes_a_mapping(queries: Any) -> None:
    for low in (1, 2, 3, 2):  # the text is new once
        given = {"low": low, "high": 3}
        assert [row["id"] for row in await queries.fetch(SQL, given)] == list(range(low, 4))
        assert (await queries.fetchrow(SQL, given))["id"] == low
        assert await queries.fetchval(SQL, given, column=1) == "?abc"[low]
        assert await queries.execute(SQL, given) == f"SELECT {4 - low}"
        assert await queries.fetch(SQL, given, row=tuple) == [(n, "?abc"[n]) for n in range(low, 4)]


async def test_a_name_may_be_used_many_times_and_need_not_come_first(queries: Any) -> None:
    sql = "SELECT name FROM item WHERE (id = :b OR id = :a) AND id <> :b + :a ORDER BY id"
    assert await queries.fetch(sql, {"a": 1, "b": 2}) == [("a",), ("b",)]


@pytest.mark.parametrize("make", [dict, MappingProxyType, ChainMap, lambda given: defaultdict(int, given)])
async def test_any_mapping(queries: Any, make: Any) -> None:
    assert await queries.fetchval(SQL, make({"high": 2, "low": 2})) == 2


async def test_quotes_comments_and_casts_have_no_names(queries: Any) -> None:
    sql = "SELECT ':low' AS \"a:b\" /* :high */, CAST(:low AS int) -- :high\n"
    assert await queries.fetchrow(sql, {"low": 1}) == (":low", 1)


async def test_executemany_takes_mappings(queries: Any) -> None:
    insert = "INSERT INTO item VALUES (:id, :name)"
    for first in (10, 2000):
        await queries.executemany(insert, ({"id": first + n, "name": f"n{n}"} for n in range(1200)))
    assert await queries.fetchval("SELECT count(*) FROM item") == 2403
    assert await queries.fetchval("SELECT name FROM item WHERE id = :id", {"id": 2007}) == "n7"
    await queries.executemany(insert, [])


async def test_executemany_tells_which_element_does_not_fit(queries: Any) -> None:
    insert = "INSERT INTO item VALUES (:id, :name)"
    rows: list[Any] = [{"id": 10 + n, "name": "x"} for n in range(800)]
    for wrong, message in (
        ({"id": 1}, "element 700: there is no value for :name; the mapping has 'id'"),
        ((1, "x"), "element 700: a text with the parameters :id, :name takes one mapping"),
    ):
        with pytest.raises(ArgumentError, match=message):
            await queries.executemany(insert, [*rows[:700], wrong, *rows[700:]])
    assert await queries.fetchval("SELECT count(*) FROM item") == 3


@pytest.mark.parametrize("call", ["executemany", "fetchmany"])
async def test_a_mapping_is_no_sequence_of_values(queries: Any, call: str) -> None:
    many, insert = getattr(queries, call), "INSERT INTO item VALUES (4, $1)"
    for rows, at in (([{"k": "v"}], 0), ([("x",)] * 700 + [{"k": "v"}], 700)):
        with pytest.raises(ArgumentError, match=f"element {at}: values in the order of .* got a mapping"):
            await many(insert.replace("4,", "4 + (SELECT count(*) FROM item),"), rows)
    with pytest.raises(ArgumentError, match=r"element 0: values .* got a mapping"):
        await many("", [{"k": "v"}])
    assert await queries.fetchval("SELECT count(*) FROM item") == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (({"low": 1},), "there is no value for :high; the mapping has 'low'"),
        (({},), "there is no value for :low, :high; the mapping has nothing"),
        (({"low": 1, "high": 2, "size": 3, 4: 5},), "the text has no parameter for 'size', 4; it has :low, :high"),
        ((defaultdict(int),), "there is no value for :low, :high"),
        ((), r"parameters :low, :high takes one mapping: \{\"low\": ..., \"high\": ...\}"),
        ((1, 2), "parameters :low, :high takes one mapping"),
        (({"low": 1, "high": 2}, 3), "parameters :low, :high takes one mapping"),
        ((None,), "parameters :low, :high takes one mapping"),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_sent(queries: Any, args: Any, message: str) -> None:
    for _ in range(2):
        with pytest.raises(ArgumentError, match=message):
            await queries.fetch(SQL, *args)
        with pytest.raises(ArgumentError, match=message):
            await queries.execute(SQL, *args)
    assert await queries.fetchval(SQL, {"low": 1, "high": 3}) == 1  # in the same transaction


async def test_numbers_and_names_do_not_mix(queries: Any) -> None:
    with pytest.raises(ArgumentError, match=r"numbers \(\$1\) or names, not both: the text has :low too"):
        await queries.fetch("SELECT $1, :low", {"low": 1})


async def test_cursors_prepared_statements_and_explain(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    await pool.executemany("INSERT INTO item VALUES (:id, 'x')", [{"id": n} for n in range(20)])
    async with pool.transaction() as connection:
        rows = [row["id"] async for row in connection.cursor(SQL, {"low": 3, "high": 17}, prefetch=4)]
        assert rows == list(range(3, 18))
        statement = await connection.prepare(SQL)
        assert statement.query == SQL
        for low in (1, 5):
            assert (await statement.fetchrow({"low": low, "high": 9}))["id"] == low
        assert [row["id"] async for row in statement.cursor({"low": 1, "high": 2})] == [1, 2]
        await (await connection.prepare("DELETE FROM item WHERE id = :id")).executemany([{"id": 1}, {"id": 2}])
        with pytest.raises(ArgumentError, match=":low, :high"):
            connection.cursor(SQL, 1, 2)
    assert await pool.fetchval("SELECT count(*) FROM item") == 18
    assert pool.explain(SQL).kind == "read"


async def test_a_text_on_the_pool_stays_one_statement_without_transaction_control(pool: Any) -> None:
    with pytest.raises(InterfaceError, match="one statement at a time"):
        await pool.execute("DELETE FROM a WHERE id = :id; DELETE FROM b WHERE id = :id", {"id": 1})


async def test_a_mapping_for_a_number_is_a_value(pg_pool: Any) -> None:
    async with pg_pool.acquire() as connection:
        for queries in (pg_pool, connection):
            for _ in range(3):
                assert await queries.fetchval("SELECT $1::jsonb", {"low": 1}) == {"low": 1}
                assert await queries.fetchval("SELECT :v::jsonb", {"v": {"low": 1}}) == {"low": 1}
            sql = "SELECT (ARRAY[1, 2, 3])[low:high] FROM (VALUES (1, 2)) AS v (low, high) WHERE low = :low"
            assert await queries.fetchval(sql, {"low": 1}) == [1, 2]


async def test_copy_from_a_query_with_names(pg_pool: Any) -> None:
    data = bytearray()

    async def take(piece: bytes) -> None:
        data.extend(piece)

    async with pg_pool.acquire() as connection:
        await connection.copy_from_query("SELECT :a::int, :b::text", {"a": 1, "b": "x"}, output=take)
    assert bytes(data) == b"1\tx\n"
