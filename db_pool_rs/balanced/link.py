"""One connection to PostgreSQL, driven by the C kernel.

The rules are those of :class:`~db_pool_rs.drivers.postgres.link.PostgresConnection`, whose code runs wherever
something is unusual: texts that must be described or prepared first, errors, the sign of life after a pause. A group of
known texts that succeeds, which is nearly every one, takes the short way: a few calls send it, one call takes all
results that have arrived, and one call for each text decodes the results of all its executions together.

A long result keeps only its own caller waiting: see :mod:`.slices`. Nor does the first that needs psycopg's loaders.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from db_pool_rs_balanced import ffi, lib

from ..aio import Expired, offload, until
from ..drivers.base import RESULT, ConnectionListener, Done
from ..drivers.postgres.dialect import CHECK_KEYS, checks_keys, executed
from ..drivers.postgres.libpq import CONNECTION_BAD
from ..drivers.postgres.link import CHECK_AFTER, PostgresConnection
from ..drivers.postgres.statements import details_of, unknown_columns
from ..errors import ConnectionLost, DecodeError
from ..scheduler.model import StatementRequest
from .columns import LoadersMissing, no_raw
from .description import KernelDescription
from .libpq import LibpqError, PGconn, PGresult, blocking_cancel
from .slices import SLICE, SLICE_BYTES, decode, decode_long, is_long

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from ..drivers.postgres.driver import PostgresDriver

#: Bytes of the largest result from which on libpq's copy of a group's results is freed at once, not by the next group.
KEPT = 16_384


class KernelConnection(PostgresConnection):
    """A :class:`~db_pool_rs.drivers.base.ServerConnection` over the kernel."""

    def __init__(
        self,
        pgconn: PGconn,
        driver: PostgresDriver,
        listener: ConnectionListener,
        block: Any,
        workers: Callable[[], Executor],
    ) -> None:
        super().__init__(pgconn, driver, listener)  # type: ignore[arg-type]
        self._block = block
        self._kernel = ffi.gc(lib.dbp_group_new(pgconn.ptr, self._block, SLICE, SLICE_BYTES), lib.dbp_group_free)
        self._workers = workers
        self._conn = pgconn
        #: Whether every step is a statement of the group, so that the kernel may keep the results.
        self._plain = False
        #: Statements whose rows cannot be read before psycopg is imported.
        self._late: list[StatementRequest] = []

    # -- sending -------------------------------------------------------------------------------------------------

    def start(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Send `group` and one Sync; see :class:`~db_pool_rs.drivers.base.ServerConnection`."""
        now = monotonic()
        rows = self._alike(group) if now - self._used <= CHECK_AFTER else None
        if rows is None:
            super().start(group, done)
        else:
            self._begin(group, done)
            self._send_alike(group[0].described, rows, now)

    def _alike(self, group: Sequence[StatementRequest]) -> list[Any] | None:
        """The encoded arguments of a group that consists of executions of one text, prepared here; else None."""
        first = group[0]
        described, want = first.described, first.want
        if described is None or described is not first.query.description or want is RESULT:
            return None
        if not self._driver.named or described.name not in self._prepared.names:
            return None
        if described.is_sensitive and not self.settings.is_plain():
            return None
        if self._describing or described.is_outdated():
            return None
        rows = [one.params for one in group if one.described is described and one.want is want]
        return rows if len(rows) == len(group) else None

    def _send_alike(self, described: KernelDescription, rows: list[Any], now: float) -> None:
        self._steps, self._step, self._sent = list(self._group), 0, len(rows)
        self._ok, self._asked, self._started = True, None, now
        self._plain = True
        self._prepared.touch(described.name)
        lengths, data = described.pieces(rows)
        query, want = described.query(described.result_format), self._group[0].want
        ahead = self._check_keys(self._group)
        left = lib.dbp_group_send(self._kernel, query, want, len(rows), lengths, data, len(data))
        if ahead:
            self._kernel.ahead = ahead
        if left < 0:
            self._broke(LibpqError(self._conn.get_error_message()))
        elif left:
            self._write_later()

    def _check_keys(self, group: Sequence[StatementRequest]) -> int:
        """Send what checks deferred keys at once, if it is to go ahead; how many results the kernel is to drop."""
        if not checks_keys(group):
            return 0
        self._conn.send_query_params(CHECK_KEYS.encode(), None)
        return 1

    def _write(self, group: Sequence[StatementRequest], steps: list[Any]) -> None:
        self._plain = not self._sent and not steps
        at, ahead = len(steps), 0 if self._sent else self._check_keys(group)
        while self._sent < len(group):
            statement = group[self._sent]
            described = statement.query.description
            if described is None or self._describing:
                if self._write_unknown(statement, steps):
                    self._plain = False
                    if not self._describing:
                        break
                self._plain = self._plain and not statement.want  # BEGIN and COMMIT have no rows to be looked at
                self._sent += 1
            else:
                self._write_run(described, self._run(group, described), steps)
        lib.dbp_group_start(self._kernel, len(steps))
        if ahead and self._plain:
            self._kernel.ahead = ahead
        elif ahead:
            steps.insert(at, b"")

    def _looks_up(self) -> bool:
        if self._plain and any(one.described is not None and one.described.records for one in self._group):
            self._take_apart(range(len(self._group)))  # the values tell their types
            self._plain = False
        return super()._looks_up()

    def _write_types(self, steps: list[Any]) -> None:
        if self._plain and self._reading:  # the kernel is used for the answer
            self._take_apart(range(len(self._group)))
        self._plain = False
        super()._write_types(steps)

    def _run(self, group: Sequence[StatementRequest], described: KernelDescription) -> Sequence[StatementRequest]:
        """The statements from here on that have this description."""
        start = end = self._sent
        for statement in group[start:] if start else group:
            if statement.described is not described:
                break
            end += 1
        return group if end - start == len(group) else group[start:end]

    def _write_run(self, described: KernelDescription, run: Sequence[StatementRequest], steps: list[Any]) -> None:
        """Send executions of one prepared statement."""
        named = self._named
        if not named or described.name not in self._prepared.names:
            self._plain = False
            self._parse(described, steps)
        self._prepared.touch(described.name)
        lengths, data = described.pieces([statement.params for statement in run])
        query = described.query(self._format(run[0], described))
        sent = lib.dbp_send(self._conn.ptr, query, named, len(run), lengths, data, len(data))
        if sent != len(run):
            raise LibpqError(self._conn.get_error_message())
        steps += run
        self._sent += len(run)

    # -- receiving -----------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        if self._plain and not self._writing and self._done is not None:
            try:
                self._take(lib.dbp_group_read(self._kernel))
            except Exception as error:
                self._fell(error)
        else:
            super()._readable()

    def _pump(self) -> None:
        if self._plain:
            self._take(lib.dbp_group_pump(self._kernel))
        else:
            super()._pump()

    def _take(self, found: int) -> None:
        """Go on from what the kernel found."""
        if found == lib.DBP_DECODED:
            self._answer()
        elif found == lib.DBP_WAITING:
            return
        elif found == lib.DBP_ENDED:
            self._step = len(self._steps)
            self._ended()
        elif found == lib.DBP_NO_MEMORY:
            self._die(ConnectionLost("out of memory", sent=True), sent=True)
        else:
            self._hand_over(found == lib.DBP_LOST)

    def _answer(self) -> None:
        """The kernel has received a group of one text and decoded its rows."""
        group, described = self._group, self._group[0].described
        if described.records or (described.foreign_columns and unknown_columns(group, self._driver)):
            self._step = len(self._steps)
            self._ended()
            return
        self._take_notifications()
        self._healing.note_altering(group, self.in_transaction)
        try:
            self._deal_out(described.plan_for(self._conn), group)
        except DecodeError:
            self._step = len(self._steps)
            self._ended()
            return
        if (size := self._block.largest) > KEPT:
            lib.dbp_group_start(self._kernel, 0)
        self._used = monotonic()
        self._report(True, size)

    def _hand_over(self, lost: bool) -> None:
        """Something went wrong: who answers what is the longer way's business.

        Nothing more is read before that, unless to hear why the connection is lost: what is there comes first.
        """
        self._plain = False
        if self._kernel.ahead:  # it was the check that failed
            self._steps.insert(0, b"")
        taken = [lib.dbp_group_take(self._kernel, step) for step in range(self._kernel.count)]
        self._conn.pending.extend(map(PGresult, taken))
        if lost:
            super()._readable()
        else:
            super()._pump()

    # -- the end of a group --------------------------------------------------------------------------------------

    def _finish(self) -> None:
        if not self._ok or self._done is None:
            self._finish_failed()
            return
        if self._looks_up():
            return
        slow, size = self._is_long(), 0
        if not slow:
            size = self._decode(self._group)
        elif self._plain:
            self._take_apart(range(len(self._group)))
        if slow or self._late:
            # What comes from the server meanwhile is read later: this group is answered, whatever happens now.
            self._watch(False)
            self._long.run(self._finish_slowly(self._group if slow else (), size))
        else:
            self._report(True, size)

    def _finish_failed(self) -> None:
        """Decode what was executed before the failure, if it stays."""
        done = () if self._done is None else executed(self._group, self.in_transaction())
        if done:
            self._watch(False)
            self._long.run(self._finish_slowly(done, 0))
        elif self._done is not None:
            self._report(False, 0)

    def _is_long(self) -> bool:
        if self._plain:
            return bool(self._kernel.most > SLICE or self._kernel.largest > SLICE_BYTES)
        return any(statement.want and is_long(statement.value) for statement in self._group)

    def _decode(self, group: Sequence[StatementRequest]) -> int:
        if not self._plain:
            return max([self._decode_alone(statement) for statement in group])
        largest = 0
        runs: dict[tuple[Any, int], list[int]] = {}
        for step, statement in enumerate(group):  # those with one key can be decoded together
            runs.setdefault((statement.described, statement.want), []).append(step)
        for (described, want), steps in runs.items():
            if want is RESULT:
                largest = max(self._decode_apart(group, steps), largest)
            elif want:
                largest = max(self._decode_together(described, group, steps), largest)
            else:
                self._tags(group, steps)
        lib.dbp_group_start(self._kernel, 0)
        return largest

    def _decode_together(
        self, described: KernelDescription, group: Sequence[StatementRequest], steps: Sequence[int]
    ) -> int:
        kernel, plan, numbers = self._kernel, described.plan_for(self._conn), array("i", steps).tobytes()
        rows = lib.dbp_decode(self._block, kernel.results, numbers, len(steps), 0, 0, plan.count, plan.kinds)
        if rows < 0 or self._block.odd:
            return self._decode_apart(group, steps)
        try:
            self._deal_out(plan, [group[step] for step in steps])
        except DecodeError:
            return self._decode_apart(group, steps)
        return int(self._block.largest)

    def _deal_out(self, plan: Any, statements: Sequence[StatementRequest]) -> None:
        """Give each statement its rows; those of all of them are in the block."""
        block = self._block
        records = plan.rows(block, no_raw)
        if block.single:
            for statement, record in zip(statements, records, strict=True):
                statement.value = [record]
            return
        at = 0
        for statement, rows in zip(statements, ffi.unpack(block.counts, len(statements)), strict=True):
            statement.value = records[at : at + rows]
            at += rows

    def _decode_apart(self, group: Sequence[StatementRequest], steps: Sequence[int]) -> int:
        """One by one: the error of one is none of the others."""
        self._take_apart(steps)
        return max([self._decode_alone(group[step]) for step in steps])

    def _take_apart(self, steps: Iterable[int]) -> None:
        """Give each statement its own result."""
        for step in steps:
            self._group[step].value = PGresult(lib.dbp_group_take(self._kernel, step))

    def _decode_alone(self, statement: StatementRequest) -> int:
        """Decode one statement's result, which it holds itself."""
        result = statement.value
        if not statement.want:
            statement.value = self._status(result.command_status or b"")
            return 0
        try:
            statement.value, size = decode(self._block, self._plan(statement, result), result)
        except LoadersMissing:
            self._late.append(statement)
            return 0
        except Exception as error:  # whatever a codec raises is this statement's own
            statement.error = error
            return 0
        return size

    def _plan(self, statement: StatementRequest, result: PGresult) -> Any:
        described = statement.described
        if statement.want is RESULT:
            statement.details = details_of(result)  # type: ignore[arg-type]
        if described is None:
            described = statement.described = self._driver.direct(statement.query, result)  # type: ignore[arg-type]
        return described.plan_for(self._conn)  # pyright: ignore[reportAttributeAccessIssue]  # a KernelDescription

    def _tags(self, group: Sequence[StatementRequest], steps: Sequence[int]) -> None:
        kernel = self._kernel
        if len(steps) == 1 or lib.dbp_group_same_tags(kernel, array("i", steps).tobytes(), len(steps)):
            status = self._status(ffi.string(lib.PQcmdStatus(kernel.results[steps[0]])))
            for step in steps:
                group[step].value = status
        else:
            for step in steps:
                group[step].value = self._status(ffi.string(lib.PQcmdStatus(kernel.results[step])))

    # -- long results --------------------------------------------------------------------------------------------

    async def _finish_slowly(self, statements: Sequence[StatementRequest], size: int) -> None:
        """Decode these, and those that are late."""
        try:
            for statement in statements:
                if statement.want and is_long(statement.value):
                    size = max(size, await self._decode_long(statement))
                else:
                    size = max(size, self._decode_alone(statement))
            while self._late:
                size = max(size, await self._decode_long(self._late.pop()))
        except Exception as error:
            self._long.ended()
            self._die(error, sent=True)
            return
        self._long.ended()
        if self._done is not None:  # else it was closed meanwhile
            self._watch(True)
            self._report(self._ok, size)

    async def _decode_long(self, statement: StatementRequest) -> int:
        try:
            plan = self._plan(statement, statement.value)
            statement.value, size = await decode_long(self._block, self._workers(), plan, statement.value, self._long)
        except Exception as error:
            statement.error = error
            return 0
        return size

    # -- cancelling, closing -------------------------------------------------------------------------------------

    async def _request_cancel(self, timeout: float) -> bool:
        """On a thread, which may outlive the time-out."""
        if self._conn.status == CONNECTION_BAD:
            return True
        try:
            await until(offload(blocking_cancel(self._conn)), self._loop.time() + timeout)
        except Expired:
            return False
        except OSError:
            return True
        return True
