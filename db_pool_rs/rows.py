"""Rows as the program wants them: what the argument and the pool's option `row` stand for.

    users = await pool.fetch("SELECT id, name FROM users", row=User)

- a class (a dataclass, NamedTuple, attrs class, pydantic model, or any other whose parameters have names) is called
  with each row's values by keyword: the columns are the parameters. A TypedDict makes dicts of its keys.
- `dict` and `tuple` give plain ones, `Record` a :class:`~db_pool_rs.record.Record`, which is also what None means where
  the pool has no `row` of its own.
- any other callable is called with each Record.

A column that the class has no parameter for, a parameter without a column and without a default, and two columns of one
name are an InterfaceError. That takes a row to be seen, so the statement was executed; without rows there is none.
What the class itself raises is raised.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import repeat, takewhile
from typing import Any, NamedTuple, TypeVar, get_origin

from .errors import InterfaceError
from .record import Record

T = TypeVar("T")
#: What `row` may be where the result has rows of type T.
Row = type[T] | Callable[[Record], T]
#: Makes a program's rows of the Records of one result; the list is used up.
Make = Callable[[list[Record]], list[T]]
#: An engine's own way to objects that have nothing but their fields: of a class, the names of its fields in order, each
#: with the number of its column, and Records, whose places they take in the list.
Fill = Callable[[type, Sequence[tuple[str, int]], list[Record]], list[Any]]


def maker(row: Row[T] | None, fill: Fill | None = None) -> Make[T]:
    """What makes the rows that `row` asks for; InterfaceError if it cannot be used."""
    if row is None or row is Record:
        return _as_they_are
    wanted: Any = get_origin(row) or row
    if wanted is tuple or not isinstance(wanted, type):
        if not callable(wanted):
            raise InterfaceError(f"row: a class, dict, tuple or a callable that takes a Record expected, got {row!r}")
        return partial(_each, wanted)
    _fields(wanted)
    return partial(_built, wanted, fill)


def _as_they_are(records: list[Record]) -> list[Any]:
    return records


def _each(make: Callable[[Record], T], records: list[Record]) -> list[T]:
    return list(map(make, records))


def _built(kind: Any, fill: Fill | None, records: list[Record]) -> list[Any]:
    return _builder(kind, records[0].keys(), fill)(records) if records else []


class Fields(NamedTuple):
    """What a class takes: the names, those that it cannot do without, and whether it takes any others too.

    `ordered` are those of the names that may be given by their position.
    """

    names: tuple[str, ...]
    required: frozenset[str]
    others: bool
    ordered: tuple[str, ...] = ()


def _is_dict(kind: type) -> bool:
    """Whether it is `dict` or a TypedDict."""
    return kind is dict or (issubclass(kind, dict) and hasattr(kind, "__required_keys__"))


@lru_cache(maxsize=1024)
def _fields(kind: type) -> Fields:
    """The parameters of a class; InterfaceError if it cannot be called by keyword."""
    if kind is dict:
        return Fields((), frozenset(), True)
    if _is_dict(kind):
        keys: Any = kind
        return Fields((*keys.__annotations__,), keys.__required_keys__, False)
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except ValueError:  # of built-in classes
        parameters = []
    named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    others = any(one.kind is one.VAR_KEYWORD for one in parameters)
    unnamed = any(one.kind is one.POSITIONAL_ONLY and one.default is one.empty for one in parameters)
    if unnamed or not (named or others):
        raise InterfaceError(f"row={kind.__name__}: it cannot be made of named columns, since it takes none by keyword")
    return Fields(
        names=tuple(one.name for one in named),
        required=frozenset(one.name for one in named if one.default is one.empty),
        others=others,
        ordered=tuple(one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD),
    )


@lru_cache(maxsize=1024)
def _builder(kind: type, columns: tuple[str, ...], fill: Fill | None) -> Make[Any]:
    """Makes the objects of one class from the Records of one shape, by code that is compiled for them."""
    fields = _fields(kind)
    _check(kind, fields, columns)
    values = {name: f"_{number}" for number, name in enumerate(columns)}
    target = f"({''.join(f'{value}, ' for value in values.values())})"
    if _is_dict(kind):
        body = (
            f"return [{{{', '.join(f'{name!r}: {value}' for name, value in values.items())}}} for {target} in records]"
        )
    elif {*columns} == {*fields.names} and (only := _only_sets(kind)):
        if fill is not None:
            return partial(fill, kind, [(name, columns.index(name)) for name in only])
        body = f"""made = list(map(new, repeat(kind, len(records))))
    for one, {target} in zip(made, records):
        {_assignments(kind, [(name, values[name]) for name in only])}
    return made"""
    else:
        body = f"return [kind({', '.join(_arguments(fields, values))}) for {target} in records]"
    names: dict[str, Any] = {"kind": kind, "new": object.__new__, "put": object.__setattr__, "repeat": repeat}
    exec(f"def make(records):\n    {body}", names)
    make: Make[Any] = names["make"]
    return make


def _only_sets(kind: type) -> tuple[str, ...]:
    """The fields of a class if all that its call does is to set them, one after the other; else nothing."""
    parameters: Any = kind.__dict__.get("__dataclass_params__")
    if parameters is None or not _inherits(kind, "__new__") or type(kind).__call__ is not type.__call__:
        return ()
    fields = dataclasses.fields(kind)
    if not all(field.init for field in fields) or len(fields) != len(_fields(kind).names):
        return ()  # there are fields that are no parameters, or parameters that are no fields
    if not parameters.frozen and not _inherits(kind, "__setattr__"):
        return ()
    same = _code(kind) == _code(_twin(fields, parameters.frozen))
    return tuple(field.name for field in fields) if same else ()


def _twin(fields: Sequence[dataclasses.Field[Any]], frozen: bool) -> type:
    """A dataclass with these fields whose `__init__` was surely not written by hand."""
    own: list[tuple[str, Any, Any]] = [(one.name, Any, _like(one)) for one in fields]
    return dataclasses.make_dataclass("Twin", own, frozen=frozen)


def _like(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=list, kw_only=field.kw_only)
    default = dataclasses.MISSING if field.default is dataclasses.MISSING else None
    return dataclasses.field(default=default, kw_only=field.kw_only)


def _code(kind: type) -> tuple[Any, ...] | None:
    """What its `__init__` does."""
    code = getattr(kind.__dict__.get("__init__"), "__code__", None)
    return code and (code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_freevars)


def _inherits(kind: type, *names: str) -> bool:
    """Whether these methods are those of every object."""
    return all(getattr(kind, name) is getattr(object, name) for name in names)


def _assignments(kind: Any, values: Sequence[tuple[str, str]]) -> str:
    """What sets the attributes of `one`, also of an object that is frozen, as the `__init__` of such a class does."""
    if kind.__dataclass_params__.frozen:
        return "; ".join(f"put(one, {name!r}, {value})" for name, value in values)
    return "; ".join(f"one.{name} = {value}" for name, value in values)


def _arguments(fields: Fields, values: dict[str, str]) -> list[str]:
    """The arguments of the call. What can be is given by position, which costs half of what keywords cost."""
    first = list(takewhile(values.__contains__, fields.ordered))
    given = [values[name] for name in first]
    for name, value in values.items():
        if name not in first:  # one that is no parameter's name may be no identifier either
            given.append(f"{name}={value}" if name in fields.names else f"**{{{name!r}: {value}}}")
    return given


def _check(kind: type, fields: Fields, columns: tuple[str, ...]) -> None:
    """InterfaceError if rows with these columns do not fit the class."""
    twice = next((name for number, name in enumerate(columns) if name in columns[:number]), None)
    if twice is not None:
        raise _unfit(kind, f"two columns are named {twice!r}: give one another name with AS")
    if not fields.others and (strange := [name for name in columns if name not in fields.names]):
        raise _unfit(kind, f"there is no field for the column {strange[0]!r}; fields: {', '.join(fields.names)}")
    if missing := [name for name in fields.names if name in fields.required and name not in columns]:
        raise _unfit(kind, f"there is no column for the field {missing[0]!r}; columns: {', '.join(columns)}")


def _unfit(kind: type, why: str) -> InterfaceError:
    return InterfaceError(f"row={kind.__name__}: {why} (the statement was executed)")
