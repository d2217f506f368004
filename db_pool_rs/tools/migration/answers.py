"""What a caller sees of a call, as plain nested tuples of texts: equal exactly if the calls were equal to the caller.

A value is its type and its repr, so 1 and True, 1.0 and Decimal("1.0") differ. An error is its class, SQLSTATE,
message, position and whether it may be retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import DatabaseError, Error

SHOWN = 160


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a check: `seen` is comparable; `error` is the message if the call failed."""

    seen: Any
    error: str | None = None


async def answer(call: Awaitable[Any]) -> Answer:
    """Await a call, and give what its caller saw. Errors that are not this package's pass: they are bugs."""
    try:
        return Answer(seen(await call))
    except Error as error:
        return Answer(seen_error(error), str(error))


def seen(value: Any) -> Any:
    """A result as a comparable: lists and tuples are walked, rows keep the names of their columns."""
    keys = getattr(value, "keys", None)
    if isinstance(value, tuple) and keys is not None:
        return tuple((name, seen(item)) for name, item in zip(keys(), value, strict=True))
    if type(value) in (list, tuple):
        return tuple(map(seen, value))
    if isinstance(value, Error):
        return seen_error(value)
    return f"{type(value).__name__} {value!r}"


def seen_error(error: Error) -> Any:
    """An error as a comparable."""
    said, more = str(error), tuple[Any, ...]()
    if isinstance(error, DatabaseError):
        said, more = error.reason, (error.detail, error.hint, error.position, error.constraint)
    return (f"{type(error).__name__} {error.sqlstate}", said, f"safe_to_retry {error.safe_to_retry}", *more)


async def together(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """The results of calls made at the same time, errors of this package among them."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Error):
            raise result
    return results


def replaced(found: Any, name: str, by: str) -> Any:
    """A comparable with a name in its texts replaced."""
    if isinstance(found, tuple):
        return tuple(replaced(item, name, by) for item in found)
    return found.replace(name, by) if isinstance(found, str) else found


def first_difference(one: Any, other: Any) -> tuple[str, str, str]:
    """Where two comparables part, and what is there in each: ("row 3, age", "int 5", "int 6")."""
    place = []
    while isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        index = next((i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]), None)
        if index is None:
            break
        named = index == 1 and len(one) == 2 and isinstance(one[0], str) and not one[0].count(" ")
        place.append(str(one[0]) if named else f"item {index + 1}")
        one, other = one[index], other[index]
    return ", ".join(part for i, part in enumerate(place) if not _repeated(place, i)), _shown(one), _shown(other)


def _repeated(place: Sequence[str], index: int) -> bool:
    # A column is found as "item 2" of a row and then by its name; the name says it all.
    return index + 1 < len(place) and not place[index + 1].startswith("item ")


def _shown(found: Any) -> str:
    text = found if isinstance(found, str) else repr(found)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
