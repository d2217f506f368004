"""Where the data of a COPY comes from and goes to: files, objects like files, asynchronous iterables and functions.

Files are read and written on a thread, a piece at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ..errors import InterfaceError

#: Bytes read from a file, or gathered for it, at a time.
PIECE = 1 << 16
_SOURCES = "a path, a binary file or an asynchronous iterable of bytes"
_OUTPUTS = "a path, a binary file or a coroutine function that takes bytes"


def source_of(given: Any) -> AsyncIterator[bytes]:
    """The pieces of what `copy_to_table` was given."""
    if isinstance(given, (str, os.PathLike)):
        return _read_path(given)
    if hasattr(given, "__aiter__"):
        iterator: AsyncIterator[bytes] = given.__aiter__()
        return iterator
    if callable(getattr(given, "read", None)):
        return _read(given)
    raise InterfaceError(f"source: {_SOURCES} expected, got {type(given).__name__}")


async def _read_path(path: Any) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(open, path, "rb")
    try:
        async for piece in _read(file):
            yield piece
    finally:
        file.close()


async def _read(file: Any) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece


@contextlib.asynccontextmanager
async def sink_of(given: Any) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    """The function that takes the data for what `copy_from_table` was given; at the end everything is written."""
    if isinstance(given, (str, os.PathLike)):
        file = await asyncio.to_thread(open, given, "wb")
        try:
            async with _writing(file) as write:
                yield write
        finally:
            file.close()
    elif callable(getattr(given, "write", None)):
        async with _writing(given) as write:
            yield write
    elif inspect.iscoroutinefunction(given):
        yield given
    else:
        raise InterfaceError(f"output: {_OUTPUTS} expected, got {type(given).__name__}")


@contextlib.asynccontextmanager
async def _writing(file: Any) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    gathered = bytearray()

    async def write(data: bytes) -> None:
        gathered.extend(data)
        if len(gathered) >= PIECE:
            await flush()

    async def flush() -> None:
        data = bytes(gathered)
        gathered.clear()
        await asyncio.to_thread(file.write, data)

    yield write
    if gathered:
        await flush()
