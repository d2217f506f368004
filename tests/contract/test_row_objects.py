"""`row=` of a dataclass: its objects are what its call makes, whatever the class, and in whatever way they are made."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import MISSING, InitVar, dataclass, field, fields, make_dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.record import record_class
from db_pool_rs.rows import maker

NAMES = ("id", "name", "self", "_0", "one", "kind", "put", "Größe")
Make = Callable[[Any], Callable[[Any], Any]]


@pytest.fixture
async def make(open_pool: Any, backend: Any) -> Make:
    """`make(row)` is the engine's way from Records to objects."""
    pool = await open_pool(backend.dsn, max_size=1)
    return lambda row: maker(row, pool._context.database.fill_objects)


@st.composite
def kinds(draw: st.DrawFn) -> Any:
    """A dataclass, with the names of its fields: slots, frozen, keywords only, defaults, factories, inheritance."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    frozen, slots, kw_only, heir = (draw(st.booleans()) for _ in range(4))
    own: list[Any] = []
    late = False
    for name in names:
        default = draw(st.sampled_from([MISSING, 7, list] if not late or kw_only else [7, list]))
        late = late or default is not MISSING
        given = {} if default is MISSING else {"default_factory": list} if default is list else {"default": default}
        own.append((name, Any, field(**given)))
    cut = draw(st.integers(0, len(own))) if heir else 0
    options: Any = {"frozen": frozen, "slots": slots, "kw_only": kw_only}
    bases = (make_dataclass("Base", own[:cut], **options),) if cut else ()
    return make_dataclass("Kind", own[cut:], bases=bases, **options), [name for name, *_ in own]


def state(one: Any) -> Any:
    """All that can be seen of an object: its attributes in the order in which they were set, and what is in slots."""
    return type(one), list(getattr(one, "__dict__", {}).items()), [getattr(one, part.name) for part in fields(one)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_an_object_is_what_the_call_makes(make: Make, data: st.DataObject) -> None:
    kind, names = data.draw(kinds())
    columns = tuple(data.draw(st.permutations(names)))
    values = data.draw(st.lists(st.tuples(*[st.integers() | st.text() | st.none() for _ in columns]), max_size=3))
    made = make(kind)([record_class(columns)(one) for one in values])
    expected = [kind(**dict(zip(columns, one, strict=True))) for one in values]
    assert made == expected
    assert [state(one) for one in made] == [state(one) for one in expected]


class Told:
    """A descriptor that has its say in what is set."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __get__(self, instance: Any, owner: Any) -> Any:
        return 1 if instance is None else instance.__dict__["told"]

    def __set__(self, instance: Any, value: Any) -> None:
        self.heard.append((list(instance.__dict__), value))
        instance.__dict__["told"] = -value


# Classes that look like plain ones.


@dataclass
class Counted:
    id: int
    name: str

    def __post_init__(self) -> None:
        self.name = self.name * 2


@dataclass
class Wired:
    id: int
    name: InitVar[str]

    def __post_init__(self, name: str) -> None:
        self.given = name


@dataclass
class Guarded:
    id: int
    name: str

    def __setattr__(self, key: str, value: Any) -> None:
        object.__setattr__(self, key, value * 2)


@dataclass
class Born:
    id: int
    name: str

    def __new__(cls, *args: Any, **given: Any) -> Any:
        one = object.__new__(cls)
        one.__dict__["born"] = True
        return one


class Meta(type):
    def __call__(cls, *args: Any, **given: Any) -> Any:
        one = super().__call__(*args, **given)
        one.meta = True
        return one


@dataclass
class Called(metaclass=Meta):
    id: int
    name: str


@dataclass
class Replaced:
    id: int
    name: str


def _init(self: Any, id: int, name: str) -> None:
    self.id, self.name = -id, name


Replaced.__init__ = _init  # type: ignore[method-assign, assignment]


def _by_exec(options: str) -> Any:
    """Written by hand in a file that has the name that dataclasses gives to its own functions."""
    names: dict[str, Any] = {"dataclass": dataclass}
    body = "object.__setattr__(self, 'name', name); object.__setattr__(self, 'id', -id)"
    source = f"@dataclass({options})\nclass Own:\n  id: int\n  name: str\n  def __init__(self, id, name): {body}"
    exec(compile(source, "<string>", "exec"), names)
    return names["Own"]


AWKWARD = [Counted, Wired, Guarded, Born, Called, Replaced, *map(_by_exec, ("", "frozen=True"))]


@pytest.mark.parametrize("kind", AWKWARD, ids=lambda kind: kind.__name__)
async def test_what_is_more_than_its_fields_is_called(make: Make, kind: Any) -> None:
    columns = record_class(("name", "id"))
    made, expected = make(kind)([columns(("a", 1)), columns(("b", 2))]), [kind(id=1, name="a"), kind(id=2, name="b")]
    assert [vars(one) for one in made] == [vars(one) for one in expected]


async def test_a_descriptor_has_its_say(make: Make) -> None:
    told = Told()
    kind = make_dataclass("Kind", ["id", ("told", int, told)])
    made = make(kind)([record_class(("told", "id"))((5, 1))])
    expected = kind(1, 5)
    assert vars(made[0]) == vars(expected)
    assert told.heard[0] == told.heard[1] == (["id"], 5)


async def test_a_field_that_refuses_its_value(make: Make) -> None:
    class Refusing(Told):
        def __set__(self, instance: Any, value: Any) -> None:
            raise KeyError("mine")

    kind = make_dataclass("Kind", ["id", ("told", int, Refusing())])
    with pytest.raises(KeyError, match="mine"):
        make(kind)([record_class(("id", "told"))((1, 2))])


async def test_many(make: Make) -> None:
    """So many that the garbage collector pauses; nothing is kept alive."""
    kind, value = make_dataclass("Kind", ["id", "value"], frozen=True, slots=True), object()
    held = sys.getrefcount(value)
    made = make(kind)([record_class(("value", "id"))((value, number)) for number in range(5000)])
    assert [one.id for one in made] == list(range(5000))
    assert {one.value for one in made} == {value}
    assert dataclasses.astuple(dataclasses.replace(made[7], value=None)) == (7, None)
    del made
    assert sys.getrefcount(value) == held
