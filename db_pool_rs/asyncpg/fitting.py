"""Arguments as asyncpg takes them, where they are not taken here: any container for an array, a tuple for a range ...

An argument that does not fit its parameter is refused before anything is sent. Only then the types of the parameters
are asked for, and an argument is made into one that is taken: of a set, a `range` or the keys of a dict a list for an
array; of a tuple or list of at most two bounds, which belong to it, a range; of pairs a dict for hstore; of a number
without a fraction an int.
"""

from __future__ import annotations

import asyncio
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any

from ..aio import remaining
from ..described import Type
from ..errors import ArgumentError
from ..ranges import Range

_INTEGERS = ("int2", "int4", "int8", "oid")


async def fitting(
    target: Any, query: str, call: Callable[..., Any], args: Sequence[Any], timeout: float | None = None
) -> Any:
    """What `call` answers to these arguments, or to others that they are made into; `timeout` is for all of it."""
    deadline = _deadline(timeout)
    try:
        return await call(*args, timeout=timeout)
    except ArgumentError:
        fitted = await fitted_arguments(target, query, args, remaining(deadline))
        if fitted is None:
            raise
    return await call(*fitted, timeout=remaining(deadline))


async def fitting_many(
    target: Any, query: str, call: Callable[..., Any], rows: Any, timeout: float | None = None
) -> Any:
    """The same for one row of arguments after the other; of what can be read once nothing is made."""
    deadline = _deadline(timeout)
    try:
        return await call(rows, timeout=timeout)
    except ArgumentError:
        if not isinstance(rows, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in rows):
            raise
        types = await _parameters(target, query, remaining(deadline))
        fitted = [_fitted(types, row) for row in rows]
        if all(map(_is_same, fitted, rows)):
            raise
    return await call(fitted, timeout=remaining(deadline))


def _deadline(timeout: Any) -> float | None:
    """Where it is none, the call itself says so."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        return None
    return asyncio.get_running_loop().time() + timeout


async def fitted_arguments(target: Any, query: str, args: Sequence[Any], timeout: float | None) -> list[Any] | None:
    """Arguments that these are made into; None if there are none."""
    if not args:
        return None
    fitted = _fitted(await _parameters(target, query, timeout), args)
    return None if _is_same(fitted, args) else fitted


async def _parameters(target: Any, query: str, timeout: float | None) -> tuple[Type, ...]:
    """The types of the parameters; the target is a statement, or the pool or connection that it is to run on."""
    if hasattr(target, "acquire"):
        deadline = _deadline(timeout)
        async with target.acquire(timeout=timeout) as session:
            return await _parameters(session, query, remaining(deadline))
    statement = target if hasattr(target, "get_parameters") else await target.prepare(query, timeout=timeout)
    types: tuple[Type, ...] = statement.get_parameters()
    return types


def _fitted(types: tuple[Type, ...], args: Sequence[Any]) -> list[Any]:
    """Where their number is wrong nothing fits."""
    return list(map(_made, types, args)) if len(types) == len(args) else list(args)


def _is_same(fitted: Sequence[Any], args: Sequence[Any]) -> bool:
    return len(fitted) == len(args) and all(one is other for one, other in zip(fitted, args, strict=True))


def _made(kind: Type, value: Any) -> Any:
    if kind.kind == "array":
        return _list(value)
    if kind.kind == "range":
        return _range(value)
    if kind.kind == "multirange" and isinstance(value, (list, tuple)):
        return [_range(one) for one in value]
    if kind.name == "hstore" and isinstance(value, (list, tuple)) and all(map(_is_pair, value)):
        return dict(value)
    if kind.name in _INTEGERS and isinstance(value, numbers.Number) and not isinstance(value, int):
        return _int(value)
    return value


def _list(value: Any) -> Any:
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping, tuple)):
        return value
    if isinstance(value, list):
        made = [_list(one) for one in value]
        return value if _is_same(made, value) else made
    return [_list(one) for one in value] if isinstance(value, Iterable) and isinstance(value, Sized) else value


def _range(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) > 2:
        return value
    return Range(*value, upper_inc=True) if value else Range(empty=True)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2


def _int(value: Any) -> Any:
    """A number that has a fraction, or is none, does not fit."""
    try:
        made = int(value)
    except (TypeError, ValueError, OverflowError):
        return value
    return made if made == value else value
