"""What is too large for memory, a piece at a time and no faster than it is taken: rows, and the data of a COPY.

A stream has a connection to itself, never a lane, from its first piece until it ends or is left. Rows come from a
cursor, so that the server waits as well. COPY sends by itself: what follows a piece waits until it is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import ref

from ..drivers.base import Sink
from ..errors import InterfaceError
from ..rows import Row
from .cursor import Cursor
from .together import Inside

if TYPE_CHECKING:
    from .lease import Lease


class Stream:
    """Made by ``pool.stream()``: ``async with`` it gives lists of rows, ``async for`` single ones.

    Where `whole`, as for tables of Arrow, ``async for`` gives the batches, too.
    """

    __slots__ = ("_batches", "_block", "_made", "_used", "_whole")

    def __init__(
        self,
        block: AbstractAsyncContextManager[Any],
        batches: Callable[[Any], AsyncGenerator[Any, None]],
        *,
        whole: bool = False,
    ) -> None:
        self._block = block
        self._made = batches
        self._whole = whole
        self._used = False
        self._batches: AsyncGenerator[Any, None]

    async def __aenter__(self) -> AsyncIterator[Any]:
        if self._used:
            raise InterfaceError("this stream was used already; call stream() again")
        self._used = True
        connection = await self._block.__aenter__()
        try:
            self._batches = self._made(connection)
        except BaseException as error:
            await self._block.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._batches

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._batches.aclose()
        finally:
            await self._block.__aexit__(kind, error, traceback)

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        async with self as batches:
            async for batch in batches:
                if self._whole:
                    yield batch
                    continue
                for row in batch:
                    yield row


def lists(
    sql: str, args: tuple[Any, ...], count: int, timeout: float | None, row: Row[Any] | None, connection: Any
) -> AsyncGenerator[list[Any], None]:
    """The rows of a query, so many at a time, on a connection."""
    return _lists(Cursor(connection._lease, sql, args, count, timeout, row), count)


async def _lists(cursor: Cursor, count: int) -> AsyncGenerator[list[Any], None]:
    while rows := await cursor.fetch(count):
        yield rows
        if len(rows) < count:
            return


async def pieces(copy: Callable[[Sink], Awaitable[Any]]) -> AsyncGenerator[bytes, None]:
    """What `copy` hands to its sink, as it is taken. When it is left early, `copy` is cancelled."""
    handed = _Handed()
    task = asyncio.ensure_future(copy(handed.put))
    task.add_done_callback(handed.ended)
    try:
        while (piece := await handed.get()) is not None:
            yield piece
        task.result()
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # seen; it was raised, or is of no interest


class CopyPieces(AsyncGenerator[bytes, None]):
    """The pieces of a COPY on a held connection.

    While one is out, the connection is busy: a call on it by the code that took the piece would wait for itself, and is
    refused. Where the loop was left without closing this, the call waits until the COPY has been stopped. The end of a
    block that began before it, and the release of the connection, stop it too.
    """

    __slots__ = ("__weakref__", "_cut", "_inside", "_lease", "_pieces")

    def __init__(self, lease: Lease, pieces: AsyncGenerator[bytes, None]) -> None:
        self._lease = lease
        self._pieces = pieces
        self._inside = Inside()
        self._cut = False

    async def asend(self, value: None) -> bytes:
        """The next piece; StopAsyncIteration at the end, InterfaceError if the connection was given back."""
        return await self._given(self._pieces.asend(value))

    async def athrow(self, *error: Any) -> bytes:
        """Raise an error where the COPY waits for its piece to be taken, which stops it."""
        return await self._given(self._pieces.athrow(*error))

    async def aclose(self) -> None:
        """Stop the COPY, if it runs."""
        self._inside.gate = None
        await self._pieces.aclose()

    def __del__(self) -> None:
        self._inside.gate = None

    def cut(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """If the loop was left, stop the COPY; what follows waits for its end. Who goes on taking pieces is told."""
        if self._inside.gate is not None:
            self._inside.gate, self._cut = None, True
            spawn(self._stopped())

    async def _stopped(self) -> None:
        await self._pieces.aclose()

    async def _given(self, piece: Awaitable[bytes]) -> bytes:
        if self._cut:
            raise InterfaceError("the COPY was stopped when its transaction ended, or its connection was given back")
        self._inside.gate = None
        session = self._lease.session()
        session.pieces = ref(self)
        found = await piece
        self._inside.enter(session.gate)
        return found


class _Handed:
    """One piece on its way: the giver waits until the next one is wanted, and so has the connection until then."""

    __slots__ = ("_arrived", "_done", "_piece", "_taken")

    def __init__(self) -> None:
        self._piece: bytes | None = None
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()
        self._done = False

    async def put(self, piece: bytes) -> None:
        """Give a piece; returns when it was taken and the next one is asked for."""
        self._piece = piece
        self._taken.clear()
        self._arrived.set()
        await self._taken.wait()

    async def get(self) -> bytes | None:
        """Take the next one, None when there will be none."""
        self._taken.set()
        while self._piece is None:
            if self._done:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        piece, self._piece = self._piece, None
        return piece

    def ended(self, _: object) -> None:
        """The giver has ended."""
        self._done = True
        self._arrived.set()
