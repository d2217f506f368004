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
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import repeat, takewhile
from typing import Any, NamedTuple, TypeVar, get_origin

from .errors import InterfaceError
from .record import Record

T = TypeVar("T")
#: What `row` may be where the result has rows of type T.
Row = type[T] | Callable[[Record], T]
#: Makes a program's rows of the Records of one result.
Make = Callable[[list[Record]], list[T]]


def maker(row: Row[T] | None) -> Make[T]:
    """What makes the rows that `row` asks for; InterfaceError if it cannot be used."""
    if row is None or row is Record:
        return _as_they_are
    wanted: Any = get_origin(row) or row
    if wanted is tuple or not isinstance(wanted, type):
        if not callable(wanted):
            raise InterfaceError(f"row: a class, dict, tuple or a callable that takes a Record expected, got {row!r}")
        return partial(_each, wanted)
    _fields(wanted)
    return partial(_built, wanted)


def _as_they_are(records: list[Record]) -> list[Any]:
    return records


def _each(make: Callable[[Record], T], records: list[Record]) -> list[T]:
    return list(map(make, records))


def _built(kind: Any, records: list[Record]) -> list[Any]:
    return _builder(kind, records[0].keys())(records) if records else []


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
def _builder(kind: type, columns: tuple[str, ...]) -> Make[Any]:
    """Makes the objects of one class from the Records of one shape, by code that is compiled for them."""
    fields = _fields(kind)
    _check(kind, fields, columns)
    values = {name: f"_{number}" for number, name in enumerate(columns)}
    target = f"({''.join(f'{value}, ' for value in values.values())})"
    if _is_dict(kind):
        body = (
            f"return [{{{', '.join(f'{name!r}: {value}' for name, value in values.items())}}} for {target} in records]"
        )
    elif _only_sets(kind) and {*columns} == {*fields.names}:
        body = f"""made = list(map(new, repeat(kind, len(records))))
    for one, {target} in zip(made, records):
        {"; ".join(f"one.{name} = {value}" for name, value in values.items())}
    return made"""
    else:
        body = f"return [kind({', '.join(_arguments(fields, values))}) for {target} in records]"
    names: dict[str, Any] = {"kind": kind, "new": object.__new__, "repeat": repeat}
    exec(f"def make(records):\n    {body}", names)
    make: Make[Any] = names["make"]
    return make


def _only_sets(kind: type) -> bool:
    """Whether all that making an object does is to set its fields: done without the call, it takes two thirds of it."""
    parameters: Any = kind.__dict__.get("__dataclass_params__")
    init: Any = kind.__dict__.get("__init__")
    if parameters is None or init is None or parameters.frozen or hasattr(kind, "__post_init__"):
        return False
    fields = dataclasses.fields(kind)
    return (
        init.__code__.co_filename == "<string>"  # that of dataclasses
        and all(field.init for field in fields)
        and len(fields) == len(_fields(kind).names)  # else there are parameters that are no fields
        and _inherits(kind, "__new__", "__setattr__")
        and type(kind).__call__ is type.__call__
    )


def _inherits(kind: type, *names: str) -> bool:
    """Whether these methods are those of every object."""
    return all(getattr(kind, name) is getattr(object, name) for name in names)


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
