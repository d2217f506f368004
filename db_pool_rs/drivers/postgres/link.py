"""One connection to PostgreSQL, driven through libpq's pipeline mode.

A group becomes one series of messages and one Sync. Texts that this connection has not prepared are parsed in front of
their first use, in the same round trip. Only a text that is new to the pool, with arguments, costs a round trip
of its own: the server is asked for its types first.

Everything up to ReadyForQuery is collected, then decoded and reported: before that nothing of it is committed. Rows may
have columns of types that are not built in, and that the pool does not know yet: the server is asked about them first,
in a round trip of its own. The group is final then, whatever becomes of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...errors import ConnectionLost, Error
from ...log import logger
from ...record import Status
from ...scheduler.model import StatementRequest
from ..base import RESULT, ConnectionListener, Done
from .dialect import CHECK_KEYS, before_error, checks_keys, executed, is_shared
from .libpq import (
    ANSWERS,
    CONNECTION_BAD,
    COPIES,
    PIPELINE_ABORTED,
    PIPELINE_SYNC,
    server_error,
    server_is_leaving,
    was_not_executed,
)
from .results import LONG, LongResults
from .session_settings import is_kept
from .socket import Wire
from .staleness import PID, Healing, check_columns, first_format
from .statements import (
    TYPES,
    Description,
    Host,
    Prepared,
    Unfit,
    all_encoded,
    details_of,
    encode_arguments,
    first_unfit,
    texts_of,
    types_of,
    unknown_columns,
)
from .types_query import types_query

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult


#: A connection idle for longer than this is asked for a sign of life, in front of the first statement.
CHECK_AFTER = 1.0


class PostgresConnection(Wire):
    """A :class:`~db_pool_rs.drivers.base.ServerConnection` over ``psycopg.pq``."""

    def __init__(self, pgconn: PGconn, driver: Host, listener: ConnectionListener) -> None:
        self._driver = driver
        self._prepared = Prepared(driver.max_statements)
        self._group: Sequence[StatementRequest] = ()
        self._done: Done | None = None
        #: What the server answers next, in order: statements, or what is sent in front of them: the text that is being
        #: described, a description that is being prepared, a name that is being dropped; None is a sign of life.
        self._steps: list[Any] = []
        self._step = self._sent = self._earlier = 0  # earlier: statements done in other round trips of the group
        #: The statement whose types the server is being asked for, whether nothing is run, types it is asked about.
        self._asked: StatementRequest | None = None
        self._describing = False
        self._unknown: tuple[int, ...] = ()
        #: The server is being asked about the columns of results; it was, for this group.
        self._reading = self._looked_up = False
        #: What was prepared in front of statements of this group; what is being prepared now, whether with a name.
        self._fresh: list[Description] = []
        self._parsed: set[Description] = set()
        self._ok, self._started, self._named = True, 0.0, driver.named
        self._healing = Healing(driver, self._prepared)
        super().__init__(pgconn, listener, driver.libpq)
        self._used, self._long = monotonic(), LongResults(self._loop)

    # -- sending -------------------------------------------------------------------------------------------------

    def start(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Send `group` and one Sync; see :class:`~db_pool_rs.drivers.base.ServerConnection`."""
        self._begin(group, done)
        self._continue()

    def _begin(self, group: Sequence[StatementRequest], done: Done) -> None:
        assert self._done is None, "bug: two groups on one connection"
        assert self._cancelling is None, "bug: a cancel request is under way"
        self._group, self._done, self._sent, self._earlier, self._looked_up = group, done, 0, 0, False
        if not group[0].query.groupable or (len(group) > 1 and not is_shared(group)):
            self.settings.observe(group, self.in_transaction)
        if self._fresh or self._healing.tried:
            self._fresh = []
            self._healing.forget()

    def describe(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Ask for their types; see :class:`~db_pool_rs.drivers.base.ServerConnection`."""
        self._describing = True
        self.start(group, done)

    def _continue(self) -> None:
        """Send from where the group stands: all of it, or up to a text whose types must be asked for."""
        steps: list[Any] = []
        self._steps, self._step, self._named = steps, 0, self._driver.named
        self._parsed.clear()
        now = monotonic()
        self._ok = self._encode_rest()
        if not self._ok:  # nothing is sent; the caller of `start` does not expect the answer before it returns
            self._started = now
            self._loop.call_soon(self._finish)
            return
        try:
            if self._driver.doubted and not self.in_transaction():
                self._pgconn.send_query_params(PID, None)
                steps.append(PID)
            if steps or now - self._used > CHECK_AFTER:
                self._pgconn.pipeline_sync()
                steps.append(None)
            self._started = now
            if self._unknown:  # rule 4.7
                self._write_types(steps)
            else:
                self._write(self._group if self._describing or self._asked is None else (self._asked,), steps)
            self._pgconn.pipeline_sync()
            self._flush()
        except self._libpq_error as error:
            self._broke(error)

    def _write(self, group: Sequence[StatementRequest], steps: list[Any]) -> None:
        """Write messages for the statements from ``_sent`` on; steps are what the server will answer."""
        send, prepared, last, named = self._pgconn.send_query_prepared, self._prepared, None, self._named
        if len(group) > 1 and not self._sent and checks_keys(group):
            self._pgconn.send_query_params(CHECK_KEYS.encode(), None)
            steps.append(b"")
        for statement in group[self._sent :] if self._sent else group:
            described = statement.query.description
            if described is None or self._describing:
                if self._write_unknown(statement, steps) and not self._describing:
                    break
            else:
                if described is not last:
                    last = described
                    if not named or described.name not in prepared.names:
                        self._parse(described, steps)
                    prepared.touch(described.name)
                    name = described.name if named else b""
                    formats, result_format = described.formats, self._format(statement, described)
                # All three are those of `last`.
                send(name, statement.params, formats, result_format)  # pyright: ignore[reportPossiblyUnboundVariable]
                steps.append(statement)
            self._sent += 1

    def _write_unknown(self, statement: StatementRequest, steps: list[Any]) -> bool:
        """A text without a description: with parameters it must be described first (True), else it is just run."""
        query = statement.query
        if not self._must_ask(statement):
            given = None if is_kept(query) else Description.current(statement.described)  # or that of its cursor
            best = 0 if given is None else given.best_format()
            self._pgconn.send_query_params(query.sql.encode(), None, result_format=best)
            statement.described = given if given is not None and given.result_format == best else None
            steps.append(statement)
            return False
        self._asked = statement
        self._pgconn.send_prepare(b"", query.sql.encode())
        self._pgconn.send_describe_prepared(b"")
        steps += (b"", query)
        return True

    def _must_ask(self, statement: StatementRequest) -> bool:
        """Whether a text without a description cannot just be run, its rows coming as text."""
        return self._describing or self._healing.suspect is not None or self.settings.must_ask(statement)

    def _encode_rest(self) -> bool:
        """Encode what is left to send, as far as its types are known; False if an argument does not fit."""
        self._asked, self._unknown = self._group[0] if self._describing else None, ()
        if self._asked is not None:
            return first_unfit(self._group, self._driver.libpq.version()) is None
        rest = self._group[self._sent :] if self._sent else self._group
        several = is_shared(self._group)
        if all_encoded(rest, several):
            return True
        try:
            self._asked, self._unknown = encode_arguments(rest, self._driver, self.settings, self._must_ask, several)
        except Unfit as error:
            error.statement.error = error.cause
            return False
        return True

    def _parse(self, described: Description, steps: list[Any]) -> None:
        """Prepare a known text on this connection, in front of its first use."""
        name = described.name if self._named else b""
        self._parsed.add(described)
        for old in self._prepared.surplus() if name else ():
            self._pgconn.send_query_params(b'DEALLOCATE "' + old + b'"', None)
            steps.append(old)
        self._pgconn.send_prepare(name, described.sql, described.param_oids)
        self._prepared.add(name)
        steps.append(described)

    def _format(self, statement: StatementRequest, described: Description) -> int:
        fresh = described in self._parsed and described.result_format and self.settings.is_plain()
        return first_format(statement) if fresh and not described.records else described.result_format

    # -- receiving -----------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            if self._writing:
                self._writable()
            if self._done is not None:
                self._pump()
            else:
                self._take_notifications()
        except self._libpq_error as error:
            self._broke(error)
        except Exception as error:
            self._fell(error)

    def _pump(self) -> None:
        """Take every result that has arrived; on the last one, the Sync's, the group ends."""
        steps, step = self._steps, self._step
        is_busy, get_result = self._pgconn.is_busy, self._pgconn.get_result
        ended = False
        while not is_busy():
            result = get_result()
            if result is None:  # the end of one statement's results; twice: libpq has no more to give
                if ended:
                    break
                ended = True
                continue
            ended = False
            status = result.status
            if status == PIPELINE_SYNC and step >= len(steps):
                self._step = step
                self._ended()
                return
            # Beyond the last step it is the commit itself that failed, as with a deferred constraint.
            target = steps[step] if step < len(steps) else self._group[-1]
            if status in ANSWERS and target is not None:
                if type(target) is StatementRequest:
                    target.value = result
                else:
                    self._learn(target, result)
            elif status == PIPELINE_ABORTED:
                self._ok = False
            elif not self._failed(target, result, step):
                return
            step += 1
        self._step = step
        if self._pgconn.status == CONNECTION_BAD:
            self._die(ConnectionLost(self._pgconn.get_error_message().strip(), sent=True), sent=True)

    def _learn(self, target: Any, result: PGresult) -> None:
        """Something that was sent in front of a statement succeeded."""
        if isinstance(target, Description):
            self._prepared.was_added(target.name if self._named else b"")
            self._fresh.append(target)
        elif target is PID:
            self._driver.judge_names(result.get_value(0, 0) == b"%d" % self.pid)
        elif target is TYPES:
            try:
                self._driver.catalog.learn(self._unknown, texts_of(result))
            except Error as error:
                if self._reading:
                    self._types_failed(error)
                    return
                assert self._asked is not None, "bug: types of no statement's"
                self._ok, self._asked.error = False, error
        elif isinstance(target, bytes):
            self._prepared.was_dropped(target)
        elif self._describing or is_kept(target) or self._asked is None:  # a Text: the answer to Describe
            self._driver.learn(target, result)
            if self._describing:
                self._group[0].details = types_of(result)
        else:
            self._asked.described = self._driver.described(target, result)

    def _failed(self, target: Any, result: PGresult, step: int) -> bool:
        """A step was not answered by a success; False if that was the end of the connection."""
        if result.status == PIPELINE_SYNC and target is None:
            return True  # the sign of life
        if result.status == PIPELINE_SYNC or result.status in ANSWERS:
            self._step = step
            self._die(ConnectionLost("the server's answers are out of order", sent=True), sent=True)
            return False
        culprit = target if type(target) is StatementRequest else self._owner(step)
        error = server_error(result, None if target is None else culprit.query.sql)
        if target is None or error.severity in ("FATAL", "PANIC"):  # an error at the sign of life is no statement's
            self._step = step
            self._die(error, sent=True)
            return False
        if result.status in COPIES:
            self._die(error, sent=True)
            return False
        if target is PID:
            self._driver.judge_names(False)
            return True
        if self._reading:
            self._types_failed(error)
            return True
        self._ok = False
        culprit.error = error
        self._healing.failed = target
        return True

    def _owner(self, step: int) -> StatementRequest:
        """The statement that a step was sent for: the next one, or the one that is being described."""
        for target in self._steps[step:]:
            if type(target) is StatementRequest:
                return target
        if self._reading:
            return self._group[0]
        assert self._asked is not None, "bug: a step without a request"
        return self._asked

    # -- the end of a group --------------------------------------------------------------------------------------

    def _ended(self) -> None:
        """ReadyForQuery: what the group did is final, unless a part of it is still to be sent."""
        now = self._used = monotonic()
        group = self._group
        self._take_notifications()
        if self._reading:
            self._reading = False
            self._finish()
        elif self._describing:
            self._report(self._ok, 0)
        elif self._ok and self._sent < len(group):
            self.listener.on_round_trip(self, now - self._started)
            self._earlier = self._sent
            self._ok = not self._healing.acquits(self._asked)
            self._continue() if self._ok else self._finish()
        elif self._ok:
            if self._fresh:
                check_columns(group, self._fresh, self._driver)
            self._healing.note_altering(group, self.in_transaction)
            self._finish()
        else:
            self._prepared.rollback()
            if not self._heal():
                done = executed(group, self.in_transaction()) if self._fresh else ()
                check_columns(done, self._fresh, self._driver)
                self._healing.note_altering(before_error(group), self.in_transaction)
                self._finish()

    def _heal(self) -> bool:
        """Forget what is out of date; True if the statement, being alone, is sent again."""
        group = self._group
        statement = next((one for one in group if one.error is not None), group[0])
        if not self._healing.heal(statement) or len(group) > 1 or self.in_transaction():
            return False
        self._sent = 0
        statement.reset()
        self._continue()
        return True

    def _looks_up(self) -> bool:
        """Whether the server must be asked about types of columns first, which it is then."""
        if self._looked_up or not (unknown := unknown_columns(self._group, self._driver)):
            return False
        self._unknown, self._reading, self._looked_up = unknown, True, True
        self._steps, self._step, self._earlier = [], 0, len(self._group)
        try:
            self._write_types(self._steps)  # rule 4.7
            self._pgconn.pipeline_sync()
            self._flush()
        except self._libpq_error as error:
            self._broke(error)
        return True

    def _write_types(self, steps: list[Any]) -> None:
        """Ask for what is unknown of types."""
        self._pgconn.send_query_params(types_query(self._unknown).encode(), None)
        steps.append(TYPES)

    def _types_failed(self, error: Exception) -> None:
        """The server did not tell of columns: their rows cannot be read, but nothing else has failed."""
        logger.warning("the server could not be asked about types: %s", error)

    def _finish(self) -> None:
        """Decode and report the group."""
        if self._done is None:  # the connection was lost meanwhile
            return
        if self._ok and self._looks_up():
            return
        size = self._decode(self._group if self._ok else executed(self._group, self.in_transaction()))
        if self._long.todo:  # the group is answered, whatever happens to the connection now
            self._long.start(self._watch, lambda: self._report(self._ok, size))
        else:
            self._report(self._ok, size)

    def _report(self, ok: bool, size: int) -> None:
        done, self._done, self._group, self._describing, self._steps = self._done, None, (), False, []
        if done is not None:
            done(ok, monotonic() - self._started, size)

    def _decode(self, group: Sequence[StatementRequest]) -> int:
        """Turn results into what callers want; the size of the largest in bytes."""
        largest, session, known = 0, self._pgconn, None
        for statement in group:
            result, described = statement.value, statement.described
            if statement.want:
                try:
                    if statement.want is RESULT:
                        statement.details = details_of(result)
                    if described is None:
                        described = self._driver.direct(statement.query, result)
                    size = described.size(result)
                    if size > largest:
                        largest = size
                    if size > LONG:
                        self._long.todo.append((statement, described.decoder_for(session)))
                    else:
                        statement.value = described.decoder_for(session).decode(result)
                except Error as error:
                    statement.error = error
            else:
                tag = result.command_status or b""
                if tag != known:  # those of a group are mostly alike
                    known, status = tag, self._status(tag)
                statement.value = status  # pyright: ignore[reportPossiblyUnboundVariable]  # the first tag is not None
        return largest

    def _status(self, tag: bytes) -> Status:
        if tag in (b"DISCARD ALL", b"DEALLOCATE ALL"):
            self._prepared.clear()
        return Status(tag.decode())

    # -- losing, cancelling, closing -----------------------------------------------------------------------------

    async def cancel(self, timeout: float) -> bool:
        """Send a CancelRequest, unless all that is left to do is ours."""
        return self._long.give_up(self._group) or await super().cancel(timeout)

    def _die(self, error: Exception, sent: bool) -> None:
        """The connection is lost: close it and tell the listener, once."""
        cause = self._fatal or error
        if self._step < len(self._steps) and not self._earlier and was_not_executed(cause, self._group):
            sent = False
        if sent:  # it may be committed
            self._healing.note_altering(self._group, lambda: False)
        self.loss, running = cause, self._done is not None or self._copying
        self._done, self._group = None, ()
        self.close()
        self.listener.on_lost(self, cause, sent=sent and running, evict_all=server_is_leaving(cause))

    def after_reset(self) -> None:
        """DISCARD ALL dropped the prepared statements too."""
        self._prepared.clear()
        self.settings.reset()

    def close(self) -> None:
        """Close at once."""
        self._done = None
        super().close()
