"""`rows`: what rows are made into, without a database."""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypedDict, TypeVar

import pytest

from db_pool_rs.errors import InterfaceError
from db_pool_rs.record import Record, record_class
from db_pool_rs.rows import maker

T = TypeVar("T")


@dataclass
class User:
    id: int
    name: str
    age: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keywords:
    name: str
    id: int


@dataclass
class Wired:
    """A field that is no parameter, and a parameter that is no field."""

    id: int
    scale: InitVar[int]
    twice: int = field(init=False)

    def __post_init__(self, scale: int) -> None:
        self.twice = 2 * self.id * scale


class Pair(NamedTuple):
    id: int
    name: str = "?"


class Plain:
    def __init__(self, name: str, id: int) -> None:
        self.was = (name, id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and self.was == other.was

    __hash__ = None  # type: ignore[assignment]


class Anything:
    def __init__(self, **given: Any) -> None:
        self.given = given


class Keys(TypedDict):
    id: int
    name: str


class Some(Keys, total=False):
    age: int


@dataclass
class Counted:
    """One whose making does more than to set the fields."""

    id: int
    name: str
    made: ClassVar[int] = 0

    def __post_init__(self) -> None:
        Counted.made += 1


@dataclass
class Own:
    """One with an `__init__` of its own, which a dataclass leaves as it is."""

    id: int
    name: str

    def __init__(self, id: int, name: str) -> None:
        self.id, self.name = -id, name


@dataclass
class Guarded:
    id: int
    name: str

    def __setattr__(self, key: str, value: Any) -> None:
        object.__setattr__(self, key, value * 2)


class Heir(User):
    """No dataclass itself."""

    def __init__(self, id: int, name: str) -> None:
        super().__init__(id, name, 99)


@dataclass
class Listing:
    id: int
    name: str
    tags: list[str] = field(default_factory=list)


@dataclass
class Box(Generic[T]):
    id: T
    name: str


def rows(*columns: str, values: Any = ((1, "a"), (2, "b"))) -> list[Record]:
    made = record_class(columns)
    return [made(one) for one in values]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (User, [User(1, "a"), User(2, "b")]),
        (Keywords, [Keywords(id=1, name="a"), Keywords(id=2, name="b")]),
        (Pair, [Pair(1, "a"), Pair(2, "b")]),
        (Plain, [Plain("a", 1), Plain("b", 2)]),
        (Keys, [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]),
        (Some, [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]),
        (Box[int], [Box(1, "a"), Box(2, "b")]),
        (dict, [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]),
        (dict[str, Any], [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]),
        (tuple, [(1, "a"), (2, "b")]),
        (lambda record: record["name"].upper(), ["A", "B"]),
        (Record, [(1, "a"), (2, "b")]),
        (None, [(1, "a"), (2, "b")]),
    ],
)
def test_what_rows_are_made_into(row: Any, expected: list[Any]) -> None:
    made = maker(row)(rows("id", "name"))
    assert made == expected
    kind = Record if row in (Record, None) else type(expected[0])
    assert all(isinstance(one, kind) for one in made)
    assert row is not tuple or type(made[0]) is tuple
    assert maker(row)([]) == []


def test_columns_come_in_any_order_and_defaults_stand_for_those_that_do_not() -> None:
    assert maker(User)(rows("age", "name", "id", values=[(7, "a", 1)])) == [User(1, "a", 7)]
    assert maker(User)(rows("name", "id", values=[("a", 1)])) == [User(1, "a", 0)]
    assert maker(Pair)(rows("id", values=[(1,)])) == [Pair(1, "?")]
    assert maker(Some)(rows("name", "id", "age", values=[("a", 1, 3)])) == [{"id": 1, "name": "a", "age": 3}]
    made = maker(Wired)(rows("scale", "id", values=[(10, 2)]))
    assert made[0].twice == 40


def test_a_dataclass_is_made_as_its_call_makes_it() -> None:
    records = rows("name", "id", values=[("a", 1), ("b", 2)])
    for kind in (Counted, Own, Guarded, Heir, Listing, Keywords, Box, User):
        assert maker(kind)(records) == [kind(id=1, name="a"), kind(id=2, name="b")]
    assert Counted.made == 4
    first, second = maker(Listing)(records)
    assert first.tags is not second.tags
    assert maker(Listing)(rows("name", "id", "tags", values=[("a", 1, ["x"])])) == [Listing(1, "a", ["x"])]


def test_columns_that_are_no_identifiers() -> None:
    columns = ("?column?", "two words", "class", "__debug__", "it's", "a\\b\n", "_0", "kind")
    values = tuple(range(len(columns)))
    expected = dict(zip(columns, values, strict=True))
    assert maker(dict)(rows(*columns, values=[values])) == [expected]
    assert maker(Anything)(rows(*columns, values=[values]))[0].given == expected


def test_a_row_without_columns() -> None:
    assert maker(dict)(rows(values=[(), ()])) == [{}, {}]
    assert maker(tuple)(rows(values=[()])) == [()]


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        (User, ("id", "name", "mail"), "row=User: there is no field for the column 'mail'; fields: id, name, age"),
        (User, ("id", "age"), "row=User: there is no column for the field 'name'; columns: id, age"),
        (User, ("id", "name", "id"), "row=User: two columns are named 'id': give one another name with AS"),
        (dict, ("id", "id"), "row=dict: two columns are named 'id': give one another name with AS"),
        (Wired, ("id", "scale", "twice"), "there is no field for the column 'twice'; fields: id, scale"),
        (Keys, ("id",), "there is no column for the field 'name'; columns: id"),
        (Keys, ("id", "name", "age"), "there is no field for the column 'age'; fields: id, name"),
        (Pair, ("name",), "there is no column for the field 'id'; columns: name"),
    ],
)
def test_columns_that_do_not_fit(row: Any, columns: tuple[str, ...], message: str) -> None:
    make = maker(row)
    assert make([]) == []
    with pytest.raises(InterfaceError) as caught:
        make(rows(*columns, values=[tuple(range(len(columns)))]))
    assert message in str(caught.value)
    assert "(the statement was executed)" in str(caught.value)


class Unnamed:
    def __init__(self, record: Any, /) -> None: ...


@pytest.mark.parametrize("row", [int, str, object, Unnamed, collections.OrderedDict, 7, "User"])
def test_what_cannot_be_made_of_columns(row: Any) -> None:
    with pytest.raises(InterfaceError, match=r"^row"):
        maker(row)


def test_what_the_class_raises_is_raised() -> None:
    def refuse(record: Record) -> Any:
        raise KeyError("mine")

    make: Callable[[list[Record]], list[Any]] = maker(refuse)
    with pytest.raises(KeyError, match="mine"):
        make(rows("id", "name"))
