"""The caller's part of a COPY: the engine asks for a piece of the data, or gives one, and waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..drivers.base import as_piece

if TYPE_CHECKING:
    from ..drivers.base import Sink, Source
    from ..scheduler.model import Statement

#: Bytes that are given at a time.
PIECE = 1 << 16


class CopyTurns:
    """Answers the engine's questions with `feed`: data, None at their end, False to give up."""

    def __init__(
        self,
        statement: Statement,
        stream: Source | Sink,
        feed: Callable[[bytes | bool | None], None],
        cancel: Callable[[], object],
    ) -> None:
        self._statement = statement
        self._stream = stream
        self._feed = feed
        self._cancel = cancel
        self._stopped = False
        self._task: asyncio.Task[None] | None = None

    def turn(self, piece: bytes | None) -> None:
        """Answer one question."""
        if self._stopped:
            self._feed(False)
        else:
            self._task = asyncio.get_running_loop().create_task(self._answer(piece))

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _answer(self, piece: bytes | None) -> None:
        try:
            if callable(self._stream):
                await self._stream(piece or b"")
                answer: bytes | bool | None = b""
            else:
                answer = await self._gathered(self._stream)
        except StopAsyncIteration:
            answer = None
        except asyncio.CancelledError:
            answer = False
        except Exception as error:
            self._statement.error, answer = error, False
            if callable(self._stream):
                self._cancel()  # else all the rest would be read for nothing
        self._feed(answer)

    async def _gathered(self, source: Source) -> bytes:
        """Pieces together: the engine lives on another thread, so that each answer has its price."""
        data = bytearray(as_piece(await source.__anext__()))
        while len(data) < PIECE:
            try:
                data += as_piece(await source.__anext__())
            except StopAsyncIteration:
                break
        return bytes(data)
