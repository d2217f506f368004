"""Arguments by name: a mapping for a text with `:id` becomes what the servers take, values in the order of numbers.

A mapping is the only argument of such a text. A text without names takes it as a value, of type json say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from ..errors import ArgumentError
from ..sql.named import Named, named

#: What can be iterated over, and holds no values in an order: characters, keys, or whatever comes first.
NO_VALUES = (str, bytes, bytearray, memoryview, Mapping, Set)


def by_number(sql: str, args: tuple[Any, ...], dialect: str) -> tuple[str, tuple[Any, ...]]:
    """The text and the arguments as the database takes them."""
    if len(args) != 1 or not isinstance(args[0], Mapping) or (text := _named(sql, dialect)) is None:
        return sql, args
    return text.sql, _values(text, args[0])


def text_by_number(sql: str, dialect: str) -> str:
    """The text alone."""
    text = _named(sql, dialect)
    return sql if text is None else text.sql


def many_by_number(sql: str, args: Iterable[Iterable[Any]], dialect: str) -> tuple[str, Iterable[Iterable[Any]]]:
    """The text and many sets of arguments."""
    text = _named(sql, dialect)
    return (sql, _without_names(args)) if text is None else (text.sql, _each(text, args))


def without_mapping(text: Named) -> ArgumentError:
    """The error of a text with names for which there is no mapping."""
    example = ", ".join(f'"{name}": ...' for name in text.names)
    return ArgumentError(f"a text with the parameters {_listed(text.names)} takes one mapping: {{{example}}}")


def _named(sql: Any, dialect: str) -> Named | None:
    text = named(sql, dialect) if isinstance(sql, str) else None
    if text is not None and text.numbered:
        raise ArgumentError(f"parameters have numbers ($1) or names, not both: the text has {_listed(text.names)} too")
    return text


def _without_names(args: Iterable[Iterable[Any]]) -> Iterator[Iterable[Any]]:
    for number, one in enumerate(args):
        if type(one) is not tuple and (isinstance(one, NO_VALUES) or not isinstance(one, Iterable)):
            expected = "values in the order of $1, $2 ... are expected"
            got = "a mapping, which is for a text with :name" if isinstance(one, Mapping) else type(one).__name__
            raise ArgumentError(f"element {number}: {expected}, got {got}")
        yield one


def _each(text: Named, args: Iterable[Iterable[Any]]) -> Iterator[tuple[Any, ...]]:
    for number, one in enumerate(args):
        try:
            if not isinstance(one, Mapping):
                raise without_mapping(text)
            yield _values(text, one)
        except ArgumentError as error:
            raise ArgumentError(f"element {number}: {error}") from None


def _values(text: Named, mapping: Mapping[Any, Any]) -> tuple[Any, ...]:
    if missing := [name for name in text.names if name not in mapping]:
        raise ArgumentError(f"there is no value for {_listed(missing)}; the mapping has {_shown(mapping)}")
    if len(mapping) > len(text.names):
        strange = [key for key in mapping if key not in text.names]
        raise ArgumentError(f"the text has no parameter for {_shown(strange)}; it has {_listed(text.names)}")
    return tuple(mapping[name] for name in text.names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f":{name}" for name in names)


def _shown(keys: Iterable[Any]) -> str:
    """Keys as an error shows them: what is no name may be anything."""
    return ", ".join(repr(key)[:50] for key in keys) or "nothing"
