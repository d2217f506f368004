"""When the catalogue is read: once there is something to group, after DDL, and when it has changed.

Reading is off the critical path: it waits for a free connection and runs on it like any other statement. DDL through
this pool makes the guard forget what it knew before its caller is answered, so nothing that may write is grouped until
it is known again. DDL of others is noticed by a fingerprint, asked for every `guard_refresh` seconds in which the pool
was used, and when a statement fails since something is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import cache, partial
from importlib import import_module
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..aio import Expired, within
from ..errors import ConnectFailed, ConnectionLost, Error, PoolClosed, PoolError
from ..log import logger
from .verdicts import Verdicts

if TYPE_CHECKING:
    from ..config import PoolConfig
    from .findings import Findings

T = TypeVar("T")


#: How long one reading may take. A catalogue that takes longer is not read.
_PATIENCE = 30.0
#: A free connection is waited for in such steps, and so many of them: the guard opens none if it need not. A busy pool
#: is not waited for any longer: what keeps it busy may just be that nothing is grouped yet.
_STEP, _STEPS = 0.005, 4
#: A failure of a statement is a reason to look again, but not more often than this.
_AGAIN = 1.0
#: SQLSTATEs of statements that fail since something is not there, or is no longer what it was.
UNDEFINED = frozenset(("42P01", "42883", "42703", "42704", "0A000", "42809", "42846"))

#: Changes whenever a transaction of others has committed that may have changed the catalogue; see docs/guard.md.
FINGERPRINT = """
SELECT concat_ws('/', (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_catalog.pg_proc),
  (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_catalog.pg_trigger),
  (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_catalog.pg_rewrite),
  (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_catalog.pg_constraint),
  (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_catalog.pg_policy),
  (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_catalog.pg_attrdef),
  (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_catalog.pg_inherits),
  (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_catalog.pg_class
   WHERE relkind NOT IN ('i', 'I', 'S', 't')))
"""


@cache
def CATALOG() -> str:
    """The query of `catalog.sql`."""
    from pkgutil import get_data

    text = get_data("db_pool_rs.guard", "catalog.sql")
    assert text is not None, "bug: the loader of the package does not read its files"
    return text.decode()


def parameters() -> tuple[list[str], list[str]]:
    """The arguments of the query."""
    from .words import server_functions

    return server_functions()


def question() -> tuple[Any, ...]:
    """The query and its arguments; what reads the answer is imported by the way."""
    import_module("db_pool_rs.guard.findings")
    import_module("db_pool_rs.errors._sqlstates")  # for the first error; it is not needed before
    return (CATALOG(), *parameters())


def judged(rows: Sequence[Sequence[Any]], shared: frozenset[str]) -> Findings:
    """What the answer says."""
    from .findings import findings

    return findings(rows, shared)


def _in_thread(function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(None, partial(function, *args))


class Host(Protocol):
    """What the keeper needs of its pool."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` on the pool's account."""

    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None) -> list[Any]:
        """Run a statement."""

    async def ask_again(self, timeout: float) -> None:
        """Ask what each new connection is asked: settings of the server may have changed."""

    def is_busy(self) -> bool:
        """Whether a statement would have to wait, or need a new connection."""

    def is_held(self) -> bool:
        """Whether the same sessions as before hold every connection: no statement runs, and none can."""

    def answered(self) -> int:
        """How many statements were answered until now."""

    def retyped(self) -> None:
        """Tables may have changed, by others."""

    def judge_again(self) -> None:
        """What may be grouped has changed."""


class Keeper:
    """Keeps `verdicts.found` in step with the database."""

    _host: Host

    def __init__(self, config: PoolConfig, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._name = config.name
        self._refresh = config.guard_refresh
        self._shared = config.shared_functions
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stale = True
        self._suspicious = False
        self._fingerprint: str | None = None
        self._warned = False

    def attach(self, host: Host) -> None:
        """The pool is being opened: from now on the catalogue can be read."""
        self._host = host

    def want(self) -> None:
        """There is a text that the guard decides about: begin, if that has not happened yet."""
        if self._task is None and self._verdicts.needed:
            self._task = self._host.spawn(self._run())

    def stop(self) -> None:
        """The pool is closing."""
        if self._task is not None:
            self._task.cancel()

    def altered(self, certain: bool) -> None:
        """DDL was executed through this pool, or (not `certain`) may have been: what was known may be wrong."""
        if self._task is None:
            return
        if not certain:
            self.suspect()
            return
        self._stale = True
        self._wake.set()
        if self._verdicts.found is not None:
            self._verdicts.found = None
            self._verdicts.unread = "the catalogue is being read again"
            self._host.judge_again()

    def suspect(self) -> None:
        """A statement failed in a way that makes one ask whether the catalogue has changed."""
        if not self._suspicious:
            self._suspicious = True
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._free_connection()
            began = monotonic()
            try:
                await self._look()
            except PoolClosed:
                return
            except (PoolError, ConnectionLost, ConnectFailed) as error:
                logger.debug("the catalogue was not read: %s", error)  # the pool has other ways to tell
            except Exception as error:
                if not isinstance(error, Error):  # a bug: the pool must not stop guarding for it
                    logger.exception("reading the catalogue failed")
                self._cannot_read(error)
            await self._reason_to_look(began)

    async def _reason_to_look(self, began: float) -> None:
        """Wait for it. DDL is one at once, a suspicion soon, and each period in which the pool was used."""
        answered = self._host.answered()
        while not self._wake.is_set():
            try:
                await within(self._wake.wait(), self._refresh)
            except Expired:
                if self._stale or self._host.answered() != answered:
                    return
        if not self._stale:
            await asyncio.sleep(max(0.0, began + _AGAIN - monotonic()))

    async def _look(self) -> None:
        """Read the catalogue if it may have changed."""
        self._wake.clear()
        self._suspicious = False
        self._stale, was_stale = False, self._stale
        asked = _in_thread(question)  # while the server answers: it takes a while the first time
        try:
            await self._host.ask_again(_PATIENCE)
            rows = await self._host.fetch(FINGERPRINT, timeout=_PATIENCE)
            if not was_stale and rows[0][0] == self._fingerprint:
                return
            if self._fingerprint not in (None, rows[0][0]):
                self._host.retyped()
            await self._read(rows[0][0], await asked)
        except BaseException:
            self._stale = True
            raise

    async def _read(self, fingerprint: str, asked: tuple[Any, ...]) -> None:
        rows = await self._host.fetch(*asked, timeout=_PATIENCE)
        found = await _in_thread(judged, rows, self._shared)
        if self._stale:
            return  # it has changed meanwhile
        self._fingerprint = fingerprint
        self._warned = False
        if found != self._verdicts.found:
            self._verdicts.found = found
            self._host.judge_again()

    def _cannot_read(self, error: Exception) -> None:
        self._verdicts.unread = f"the catalogue cannot be read: {error}"
        if not self._warned:
            self._warned = True
            reads = "only reads are grouped that call no function of the database's users"
            logger.warning("pool %r: the catalogue cannot be read, so %s: %s", self._name, reads, error)
        self._verdicts.found = None
        self._host.judge_again()

    async def _free_connection(self) -> None:
        for step in count():
            await asyncio.sleep(_STEP if step <= _STEPS else _STEP * 20)
            held = self._host.is_held()
            if not self._host.is_busy() or (step >= _STEPS and not held):
                return
