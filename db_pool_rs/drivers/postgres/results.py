"""Long results: decoded in slices, with a tick of the event loop for other tasks in between.

The rows of 500,000 statements and those of one statement cost the same time, but the former leave the loop free again
and again. So a result of more than :data:`LONG` bytes is decoded a slice at a time. The clock decides how many rows
that are, since some values take a hundred times longer than others. A row whose values are that long is decoded value
by value. Its caller waits, no other does.

Rows have no cycles, but thousands of new ones make Python's garbage collector look for some: at first through the
youngest objects, and again and again through all objects of the process, which holds the event loop for longer than any
slice. So it is off while a slice is made, and what is alive then joins the oldest generation; docs/adr/0006 has the
reasons and figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import repeat
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import Error
from ...record import Record
from ...scheduler.model import StatementRequest
from ..collector import can_freeze, gc_paused

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from ...types.decode import RowDecoder

#: Bytes of the largest result that is decoded in one go.
LONG = 65_536
#: About how long a slice may take, in seconds.
SLICE = 0.001
#: Bytes of values of which long ones take long, in one slice.
HEAVY = 65_536
#: Values in the first slice of a result.
CELLS = 2_000


class Values(Protocol):
    """A result, whose implementation does not matter."""

    @property
    def ntuples(self) -> int:
        """Rows."""

    @property
    def nfields(self) -> int:
        """Columns."""

    def get_value(self, row: int, column: int, /) -> bytes | None:
        """One value as it was sent."""


def fitting(result: Values, dear: Sequence[int], first: int, rows: int) -> int:
    """How many rows from `first` on, at most `rows`, can be decoded at once; 0: not even one.

    `dear` are the columns whose values take time by their length.
    """
    rows = min(rows, result.ntuples - first)
    while dear and rows and _weight(result, dear, first, rows) > HEAVY:
        rows //= 2
    return rows


def _weight(result: Values, dear: Sequence[int], first: int, rows: int) -> int:
    where = range(first, first + rows)
    return sum(len(value or b"") for column in dear for value in map(result.get_value, where, repeat(column)))


async def cells(load: Callable[[int, int, bytes | None], Any], result: Values, row: int) -> list[Any]:
    """The values of one row, one by one, with ticks of the event loop in between; `load(row, column, value)` raises."""
    values: list[Any] = []
    began = monotonic()
    for column in range(result.nfields):
        values.append(load(row, column, result.get_value(row, column)))
        if monotonic() - began > SLICE:
            await asyncio.sleep(0)
            began = monotonic()
    await asyncio.sleep(0)
    return values


class LongResults:
    """What is long of the group that one link has received."""

    __slots__ = ("_loop", "_task", "gone", "todo")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        #: No caller waits any more.
        self.gone = False
        #: The statements whose ``value`` is a result still to be decoded.
        self.todo: list[tuple[StatementRequest, RowDecoder]] = []

    @property
    def running(self) -> bool:
        """Whether decoding is under way."""
        return self._task is not None

    def start(self, watch: Callable[[bool], None], done: Callable[[], None]) -> None:
        """Decode; `done` is called at the end. Until then the connection is not to be watched."""
        watch(False)
        self.run(self._decode(watch, done))

    def run(self, decoding: Coroutine[Any, Any, None]) -> None:
        """Have this decode, until it says that it has `ended`; it looks whether the callers are `gone`."""
        self.gone = False
        self._task = self._loop.create_task(decoding)

    def ended(self) -> None:
        """Everything is decoded."""
        self._task = None

    def give_up(self, group: Sequence[StatementRequest]) -> bool:
        """Stop decoding if no caller of the group waits any more (a session asks only then)."""
        self.gone = self.running and all(one.future is None or one.future.done() for one in group)
        return self.gone

    async def _decode(self, watch: Callable[[bool], None], done: Callable[[], None]) -> None:
        todo, self.todo = self.todo, []
        try:
            for statement, decoder in todo:
                try:
                    statement.value = await self._rows(decoder, statement.value)
                except Error as error:
                    statement.error = error
        finally:
            self.ended()
            watch(True)
            done()

    async def _rows(self, decoder: RowDecoder, result: PGresult) -> list[Record]:
        rows: list[Record] = []
        step, age = max(1, CELLS // max(1, result.nfields)), can_freeze()
        while len(rows) < result.ntuples and not self.gone:
            step = fitting(result, decoder.dear, len(rows), step)
            if step == 0:
                rows.append(decoder.record(await cells(decoder.load, result, len(rows))))
                step = 1
                continue
            began = monotonic()
            with gc_paused(age):
                rows += decoder.decode(result, len(rows), len(rows) + step)
            step = _next(step, monotonic() - began)
            await asyncio.sleep(0)
        return rows


def _next(step: int, seconds: float) -> int:
    """How many rows the next slice has, after one of `step` rows that took so long."""
    return max(1, min(2 * step, int(step * SLICE / max(seconds, 1e-6))))
