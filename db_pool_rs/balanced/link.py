"""One connection to PostgreSQL, driven by the C kernel.

The rules are those of :class:`~db_pool_rs.simple.link.PostgresLink`, whose code runs wherever something is unusual:
texts that must be described or prepared first, errors, the sign of life after a pause. A group of known texts that
succeeds, which is nearly every one, takes the short way: a few calls send it, one call takes all results that have
arrived, and one call for each text decodes the results of all its executions together.

A result of more than :data:`SLICE` rows is decoded in slices, on the driver's worker threads, and its rows are built
slice by slice with a turn of the event loop for others in between; its caller waits, nobody else does.
"""

from __future__ import annotations

import asyncio
import gc
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from db_pool_rs_balanced import ffi, lib

from ..errors import ConnectionLost, DecodeError
from ..record import Record, Status
from ..simple.driver import LinkListener, Statement
from ..simple.libpq import CONNECTION_BAD
from ..simple.link import PostgresLink
from ..simple.waiting import Expired, offload, until
from .description import KernelDescription
from .libpq import LibpqError, PGconn, PGresult, blocking_cancel

if TYPE_CHECKING:
    from .driver import KernelDriver

#: Rows that are built in one turn of the event loop.
SLICE = 2048

_FORGETTING = frozenset(("DISCARD ALL", "DEALLOCATE ALL"))

_NULL = ffi.NULL
_FIRST = ffi.new("int32_t[]", [0])


class KernelLink(PostgresLink):
    """A :class:`~db_pool_rs.simple.driver.Link` over the kernel."""

    def __init__(self, pgconn: PGconn, driver: KernelDriver, listener: LinkListener) -> None:
        super().__init__(pgconn, driver, listener)  # type: ignore[arg-type]
        self._kernel = ffi.gc(lib.dbp_group_new(pgconn.ptr), lib.dbp_group_free)
        self._block = driver.block
        self._workers = driver.workers
        self._conn = pgconn
        #: Whether every step is a statement of the group, so that the kernel may keep the results.
        self._plain = False
        self._slow: asyncio.Task[None] | None = None

    # -- sending -------------------------------------------------------------------------------------------------

    def _write(self, group: Sequence[Statement], steps: list[Any]) -> None:
        self._plain = not self._sent and not steps
        while self._sent < len(group):
            statement = group[self._sent]
            described = statement.text.description
            if described is None:
                self._plain = False
                if self._write_unknown(statement, steps):
                    break
                self._sent += 1
            else:
                self._write_run(described, self._run(group, described), steps)
        lib.dbp_group_start(self._kernel, len(steps))

    def _run(self, group: Sequence[Statement], described: KernelDescription) -> Sequence[Statement]:
        """The statements from here on that have this description."""
        start = end = self._sent
        for statement in group[start:] if start else group:
            if statement.described is not described:
                break
            end += 1
        return group if end - start == len(group) else group[start:end]

    def _write_run(self, described: KernelDescription, run: Sequence[Statement], steps: list[Any]) -> None:
        """Send executions of one prepared statement."""
        named = self._driver.named
        if not named or described.name not in self._prepared.names:
            self._plain = False
            self._parse(described, steps)
        self._prepared.touch(described.name)
        count = described.nparams
        if count == 1:
            values = [statement.params[0] for statement in run]
        else:
            values = [value for statement in run for value in statement.params] if count else []
        try:
            lengths = array("i", map(len, values))
            data = b"\0".join(values)
        except TypeError:  # a NULL
            lengths = array("i", [-1 if value is None else len(value) for value in values])
            data = b"\0".join([value for value in values if value is not None])
        name, formats, result_format = described.name if named else b"", described.c_formats, described.result_format
        pointer = ffi.from_buffer("int[]", lengths) if values else ffi.NULL
        sent = lib.dbp_send(self._conn.ptr, name, result_format, len(run), count, formats, pointer, data, len(data))
        if sent != len(run):
            raise LibpqError(self._conn.get_error_message())
        steps += run
        self._sent += len(run)

    # -- receiving -----------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        if self._plain and not self._writing and self._done is not None:
            self._take(lib.dbp_group_read(self._kernel))
        else:
            super()._readable()

    def _pump(self) -> None:
        if self._plain:
            self._take(lib.dbp_group_pump(self._kernel))
        else:
            super()._pump()

    def _take(self, found: int) -> None:
        """Go on from what the kernel found."""
        if found == lib.DBP_WAITING:
            return
        if found == lib.DBP_ENDED:
            self._step = len(self._steps)
            self._ended()
        elif found == lib.DBP_NO_MEMORY:
            self._die(ConnectionLost("out of memory", sent=True), sent=True)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        """Something went wrong: who answers what is the longer way's business."""
        self._plain = False
        taken = [lib.dbp_group_take(self._kernel, step) for step in range(self._kernel.count)]
        self._conn.pending.extend(map(PGresult, taken))
        super()._readable()

    # -- the end of a group --------------------------------------------------------------------------------------

    def _finish(self) -> None:
        if self._ok and self._done is not None and self._is_long():
            # What comes from the server meanwhile is read later: this group is answered, whatever happens now.
            if self._fd >= 0:
                self._loop.remove_reader(self._fd)
            self._slow = self._loop.create_task(self._finish_slowly())
            return
        super()._finish()

    def _is_long(self) -> bool:
        if self._plain:
            return bool(self._kernel.most > SLICE)
        return any(statement.want and statement.value.ntuples > SLICE for statement in self._group)

    def _decode(self, group: Sequence[Statement]) -> int:
        if not self._plain:
            return max([self._decode_alone(statement) for statement in group])
        first, largest = group[0], 0
        if len(group) == 1 or all(s.described is first.described and s.want is first.want for s in group):
            runs: dict[tuple[Any, bool], Any] = {(first.described, first.want): range(len(group))}
        else:
            runs = self._same(group)
        for (described, want), steps in runs.items():
            if not want:
                self._tags(group, steps)
            else:
                largest = max(self._decode_together(described, group, steps), largest)
        lib.dbp_group_start(self._kernel, 0)
        return largest

    @staticmethod
    def _same(group: Sequence[Statement]) -> dict[tuple[Any, bool], list[int]]:
        """Which statements can be decoded together."""
        runs: dict[tuple[Any, bool], list[int]] = {}
        for step, statement in enumerate(group):
            key = (statement.described, statement.want)
            if key in runs:
                runs[key].append(step)
            else:
                runs[key] = [step]
        return runs

    def _decode_together(self, described: KernelDescription, group: Sequence[Statement], steps: Sequence[int]) -> int:
        kernel, block, plan, count = self._kernel, self._block, described.plan_for(self._conn), len(steps)
        numbers = _NULL if count == len(group) else ffi.from_buffer("int32_t[]", array("i", steps))
        rows = lib.dbp_decode(block, kernel.results, numbers, count, 0, 0, plan.count, plan.kinds)
        if rows < 0 or block.odd:
            return self._decode_apart(group, steps)
        records, at = plan.rows(block, rows, _no_raw), 0
        if block.single:
            for step, record in zip(steps, records, strict=True):
                group[step].value = [record]
        else:
            for step, own in zip(steps, ffi.unpack(block.counts, count), strict=True):
                group[step].value = records[at : at + own]
                at += own
        return int(block.largest)

    def _decode_apart(self, group: Sequence[Statement], steps: Sequence[int]) -> int:
        """One by one: the error of one is none of the others."""
        for step in steps:
            group[step].value = PGresult(lib.dbp_group_take(self._kernel, step))
        return max([self._decode_alone(group[step]) for step in steps])

    def _decode_alone(self, statement: Statement) -> int:
        """Decode one statement's result, which it holds itself."""
        result = statement.value
        if not statement.want:
            statement.value = self._status(result.command_status or b"")
            return 0
        try:
            plan = self._plan(statement, result)
            records, size = _slice(self._block, plan, result, 0, 0)
            statement.value = records
        except Exception as error:  # whatever a codec raises is this statement's own
            statement.error = error
            return 0
        return size

    def _plan(self, statement: Statement, result: PGresult) -> Any:
        described = statement.described
        if described is None:
            described = self._driver.direct(statement.text, result)  # type: ignore[arg-type]
        return described.plan_for(self._conn)

    def _tags(self, group: Sequence[Statement], steps: Sequence[int]) -> None:
        kernel = self._kernel
        numbers = ffi.from_buffer("int32_t[]", array("i", steps))
        if lib.dbp_group_same_tags(kernel, numbers, len(steps)):
            status = self._status(ffi.string(lib.PQcmdStatus(kernel.results[steps[0]])))
            for step in steps:
                group[step].value = status
        else:
            for step in steps:
                group[step].value = self._status(ffi.string(lib.PQcmdStatus(kernel.results[step])))

    def _status(self, tag: bytes) -> Status:
        status = Status(tag.decode())
        if status in _FORGETTING:
            self._prepared.clear()
        return status

    # -- long results --------------------------------------------------------------------------------------------

    async def _finish_slowly(self) -> None:
        size = 0
        try:
            for step, statement in enumerate(self._group):
                if self._plain:
                    statement.value = PGresult(lib.dbp_group_take(self._kernel, step))
                if statement.want and statement.value.ntuples > SLICE:
                    size = max(size, await self._decode_long(statement))
                else:
                    size = max(size, self._decode_alone(statement))
        except Exception as error:
            self._slow = None
            self._die(error, sent=True)
            return
        self._slow = None
        done, self._done, self._group = self._done, None, ()
        if done is None:  # closed meanwhile
            return
        self._loop.add_reader(self._fd, self._readable)
        done(True, self._loop.time() - self._started, size)

    async def _decode_long(self, statement: Statement) -> int:
        """Slice by slice: the next one is decoded on a thread while this one's rows are built."""
        result: PGresult = statement.value
        total, size = result.ntuples, 0
        records: list[Record] = []
        try:
            plan = self._plan(statement, result)
            blocks = (new_block(), new_block())
            ahead = self._ahead(blocks[0], plan, result, 0)
            for number, first in enumerate(range(0, total, SLICE)):
                rows, block = await ahead, blocks[number % 2]
                if first + SLICE < total:
                    ahead = self._ahead(blocks[1 - number % 2], plan, result, first + SLICE)
                records += _uncollected(block, plan, result, rows, first)
                size += block.largest
                await asyncio.sleep(0)
            statement.value = records
        except Exception as error:
            statement.error = error
        return size

    def _ahead(self, block: Any, plan: Any, result: PGresult, first: int) -> asyncio.Future[int]:
        return self._loop.run_in_executor(self._workers(), _decode_slice, block, plan, result, first, SLICE)

    # -- cancelling, closing -------------------------------------------------------------------------------------

    async def cancel(self, timeout: float) -> bool:
        """Send a CancelRequest, on a thread; returns when the server has closed the connection that carried it."""
        if self._conn.status == CONNECTION_BAD:
            return False
        try:
            return await until(offload(blocking_cancel(self._conn)), self._loop.time() + timeout)
        except (Expired, OSError):
            return False


def new_block() -> Any:
    """Buffers for decoded columns."""
    block = lib.dbp_block_new()
    if not block:
        raise MemoryError
    return ffi.gc(block, lib.dbp_block_free)


def _decode_slice(block: Any, plan: Any, result: PGresult, first: int, most: int) -> int:
    """Run by a worker thread for long results: nearly all of it without the GIL."""
    pointer = ffi.new("PGresult *[]", [result.ptr])
    return int(lib.dbp_decode(block, pointer, _FIRST, 1, first, most, plan.count, plan.kinds))


def _built(block: Any, plan: Any, result: PGresult, rows: int, first: int) -> list[Record]:
    if rows == -1:
        raise MemoryError
    if rows < 0:
        raise DecodeError("the server sent other columns than it had described")
    built: list[Record] = plan.rows(block, rows, result.get_value, first)
    return built


def _uncollected(block: Any, plan: Any, result: PGresult, rows: int, first: int) -> list[Record]:
    """`_built` without the garbage collector, which would look through all rows so far several times per slice."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _built(block, plan, result, rows, first)
    finally:
        if enabled:
            gc.enable()


def _slice(block: Any, plan: Any, result: PGresult, first: int, most: int) -> tuple[list[Record], int]:
    rows = _decode_slice(block, plan, result, first, most)
    return _built(block, plan, result, rows, first), int(block.largest)


def _no_raw(row: int, column: int) -> bytes | None:
    raise DecodeError("a value cannot be decoded")
