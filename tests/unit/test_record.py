"""Record: a tuple that knows column names. Status: a command tag that knows its numbers."""

from __future__ import annotations

import copy
import enum
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.record import Record, Status, record_class

values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
columns = st.lists(st.tuples(st.text(max_size=8), values), max_size=8)


def row(**fields: object) -> Record:
    return record_class(tuple(fields))(fields.values())


def test_a_column_by_name_and_by_position() -> None:
    record = row(id=7, name="x")
    assert (record["id"], record["name"]) == (7, "x")
    assert (record[0], record[1], record[-1]) == (7, "x", "x")
    assert record.get("name") == "x"
    assert record.get("age") is None
    assert record.get("age", 3) == 3
    first, second = record
    assert (first, second) == (7, "x")


def test_a_name_may_be_a_str_of_another_class() -> None:
    class Column(str, enum.Enum):
        ID = "id"

    assert row(id=7)[Column.ID] == 7


def test_a_slice_is_a_plain_tuple() -> None:
    assert type(row(a=1, b=2, c=3)[1:]) is tuple
    assert row(a=1, b=2, c=3)[1:] == (2, 3)


def test_an_unknown_name_lists_the_columns() -> None:
    with pytest.raises(KeyError, match="no column 'nmae'; columns: id, name"):
        row(id=7, name="x")["nmae"]
    with pytest.raises(KeyError, match="columns: none"):
        row()["id"]


def test_a_position_outside_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        row(id=7)[1]


def test_in_asks_for_a_column_name() -> None:
    record = row(id=7, name="x")
    assert "id" in record
    assert "x" not in record
    assert 7 not in record
    assert [] not in record.values()


def test_columns_of_one_name_mean_the_last() -> None:
    record = record_class(("n", "n", "m"))((1, 2, 3))
    assert record["n"] == 2
    assert record.get("n") == 2
    assert dict(record) == {"n": 2, "m": 3}
    assert record.items() == (("n", 1), ("n", 2), ("m", 3))


def test_columns_are_not_attributes() -> None:
    record = row(id=7, count=3)
    assert not hasattr(record, "id")
    assert record["count"] == 3
    assert record.count(3) == 1
    with pytest.raises(AttributeError):
        record.id = 8  # type: ignore[attr-defined]


def test_the_repr_shows_names_and_values() -> None:
    assert repr(row(id=1, name="x")) == "<Record id=1 name='x'>"
    assert repr(row()) == "<Record>"


def test_rows_of_one_shape_share_a_class() -> None:
    assert record_class(("a", "b")) is record_class(("a", "b"))
    assert record_class(("a", "b")) is not record_class(("b", "a"))
    assert issubclass(record_class(("a",)), Record)


def test_nothing_depends_on_the_class_being_cached() -> None:
    before = row(id=1)
    text = pickle.dumps(before)
    record_class.cache_clear()
    after = row(id=1)
    assert type(after) is not type(before)
    assert after == before == pickle.loads(text)
    assert hash(after) == hash(before)


@given(columns)
def test_a_record_equals_the_tuple_of_its_values(pairs: list[tuple[str, object]]) -> None:
    names, expected = tuple(name for name, _ in pairs), tuple(value for _, value in pairs)
    record = record_class(names)(expected)
    assert record == expected
    assert expected == record
    assert (record != expected) is False
    assert tuple(record) == record.values() == expected
    assert record.keys() == names
    assert record.items() == tuple(pairs)
    assert dict(record) == dict(pairs)
    assert all(record[name] == dict(pairs)[name] for name in names)


@given(columns.filter(lambda pairs: not any(isinstance(value, list) for _, value in pairs)))
def test_a_record_hashes_as_the_tuple(pairs: list[tuple[str, object]]) -> None:
    expected = tuple(value for _, value in pairs)
    assert hash(record_class(tuple(name for name, _ in pairs))(expected)) == hash(expected)


@given(columns, st.sampled_from(range(pickle.HIGHEST_PROTOCOL + 1)))
def test_a_record_survives_pickle_and_copy(pairs: list[tuple[str, object]], protocol: int) -> None:
    record = record_class(tuple(name for name, _ in pairs))(value for _, value in pairs)
    for other in (pickle.loads(pickle.dumps(record, protocol)), copy.copy(record), copy.deepcopy(record)):
        assert isinstance(other, Record)
        assert other == record
        assert other.items() == record.items()


@pytest.mark.parametrize(
    ("tag", "command", "rows"),
    [
        ("INSERT 0 3", "INSERT", 3),
        ("UPDATE 3", "UPDATE", 3),
        ("SELECT 12", "SELECT", 12),
        ("DELETE 0", "DELETE", 0),
        ("CREATE TABLE", "CREATE TABLE", 0),
        ("BEGIN", "BEGIN", 0),
        ("COPY 5", "COPY", 5),
        ("", "", 0),
        ("UPDATE ²", "UPDATE ²", 0),
    ],
)
def test_status(tag: str, command: str, rows: int) -> None:
    status = Status(tag)
    assert status == tag
    assert (status.command, status.rows) == (command, rows)
    assert isinstance(status, str)


def test_status_survives_pickle_and_copy() -> None:
    status = Status("UPDATE 3")
    for other in (pickle.loads(pickle.dumps(status)), copy.deepcopy(status)):
        assert type(other) is Status
        assert other.rows == 3
