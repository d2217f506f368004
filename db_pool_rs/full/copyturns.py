"""The caller's part of a COPY: the engine asks for a piece of the data, or gives one, and waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..drivers.base import as_piece

if TYPE_CHECKING:
    from ..drivers.base import Sink, Source
    from ..scheduler.model import StatementRequest

#: Bytes that are gathered at a time, unless the source makes the engine wait: it then gets what there is.
PIECE = 1 << 16


class CopyTurns:
    """Answers the engine's questions with `feed`, each once: data, None at their end, False to give up."""

    def __init__(
        self,
        statement: StatementRequest,
        stream: Source | Sink,
        feed: Callable[[bytes | bool | None], None],
        cancel: Callable[[], object],
    ) -> None:
        self._statement = statement
        self._stream = stream
        self._feed = feed
        self._cancel = cancel
        self._loop = asyncio.get_running_loop()
        self._asked = self._stopped = False
        #: What the caller's source gives, or its sink takes, at the moment.
        self._task: asyncio.Task[None] | None = None
        #: What the source has given and the engine has not; whether the source has ended, and with which last answer.
        self._data = bytearray()
        self._room = asyncio.Event()
        self._drawn = False
        self._last: bool | None = None
        self._giving: asyncio.Handle | None = None

    def turn(self, piece: bytes | None) -> None:
        """The engine asks for a piece of the data, or gives one."""
        if self._stopped:
            self._feed(False)
            return
        self._asked = True
        if callable(self._stream):
            self._task = self._loop.create_task(self._take(self._stream, piece or b""))
        elif self._task is None:
            self._task = self._loop.create_task(self._draw(self._stream))
        else:
            self._give()

    def stop(self) -> None:
        """No caller waits for the COPY any more: what was asked, and what will be, is answered by giving up."""
        asked = self._asked
        self.end()
        if asked:
            self._feed(False)

    def end(self) -> asyncio.Task[None] | None:
        """The COPY is over: nothing is answered any more. The caller's part, if it has not ended yet."""
        self._asked, self._stopped = False, True
        if self._task is None or self._task.done():
            return None
        self._task.cancel()
        return self._task

    async def _take(self, sink: Sink, piece: bytes) -> None:
        answer: bytes | bool = False
        try:
            await sink(piece)
            answer = b""
        except asyncio.CancelledError:
            pass
        except Exception as error:
            if not self._stopped:
                self._statement.error = error
                self._cancel()  # else all the rest would be read for nothing
        self._answer(answer)

    async def _draw(self, source: Source) -> None:
        """Take pieces together: the engine lives on another thread, so that each answer has its price."""
        try:
            while True:
                piece = as_piece(await source.__anext__())
                self._data += piece
                if self._asked and self._giving is None:
                    self._giving = self._loop.call_soon(self._give)  # with what else the source has by then
                while len(self._data) >= PIECE:
                    self._room.clear()
                    await self._room.wait()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            self._last = False
        except Exception as error:
            self._last = False
            if not self._stopped:
                self._statement.error = error
        self._drawn = True
        self._give()

    def _give(self) -> None:
        """Answer with what there is, if there is something."""
        self._giving = None
        if self._drawn and (self._last is False or not self._data):
            self._answer(self._last)
        elif self._data and self._asked:
            data, self._data = bytes(self._data), bytearray()
            self._room.set()
            self._answer(data)

    def _answer(self, answer: bytes | bool | None) -> None:
        if self._asked:
            self._asked = False
            self._feed(answer)
