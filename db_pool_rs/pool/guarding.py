"""The guard of one pool: has the catalogue read through the pool, and texts judged anew when it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..sql import StatementClass

if TYPE_CHECKING:
    from ..guard.explanation import Explanation
    from ..scheduler.cost import Query
    from .context import Context
    from .executor import Executor

_LANES = {StatementClass.READ: "reads", StatementClass.WRITE: "writes"}


class Guarding:
    """A :class:`~db_pool_rs.guard.keeper.Host`; `fetch` is the pool's."""

    _executor: Executor
    #: How many sessions had been acquired when it was asked last whether all connections are held.
    _acquired = -1

    def __init__(self, context: Context, fetch: Callable[..., Awaitable[list[Any]]]) -> None:
        self._texts = context.queries
        self._fetch = fetch
        self._own = context.observers.own
        self._database = context.database
        context.database.on_altered = self._altered

    def attach(self, executor: Executor) -> None:
        """The pool is being opened."""
        self._executor = executor
        self._texts.keeper.attach(self)

    def _altered(self, certain: bool) -> None:
        """DDL was executed through this pool, or (not `certain`) may have been."""
        if certain:
            self.retyped()
        self._texts.keeper.altered(certain)

    def explain(self, query: Query) -> Explanation:
        """How a text is treated."""
        from ..guard.explanation import Explanation  # not needed before

        verdict, known = self._texts.judge(query), self._executor.experience(query)
        grouped = known.fast and query.groupable
        return Explanation(
            kind=query.kind.value,
            grouped=grouped,
            reason=verdict.reason,
            guarded=self._texts.verdicts.guarded,
            seen=known.seen,
            expected_ms=known.mean * 1000 if known.seen else None,
            prepared=known.prepared,
            lane=_LANES[query.kind] if grouped else "alone",
        )

    # -- what the keeper needs -----------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` on the pool's account."""
        return self._executor.spawn(work)

    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None) -> list[Any]:
        """Run a statement, in front of what waits: until it is answered, next to nothing may be grouped."""
        self._own.add(sql)
        self._texts.urgent.add(sql)
        return await self._fetch(sql, *args, timeout=timeout)

    async def ask_again(self, timeout: float) -> None:
        """Ask what each new connection is asked: settings of the server may have changed."""
        database = self._executor.driver
        assert database.startup_query is not None, "bug: a database without a catalogue"
        (row,) = await self.fetch(database.startup_query, timeout=timeout)
        self._executor.limit_grouping(database.on_startup_result(row))

    def is_busy(self) -> bool:
        """Whether a statement would have to wait, or need a new connection."""
        idle, _, _ = self._executor.occupation()
        return not idle

    def is_held(self) -> bool:
        """Whether the same sessions as before hold every connection: no statement runs, and none can."""
        _, serving, held = self._executor.occupation()
        before, self._acquired = self._acquired, self._executor.metrics.acquired
        return held > 0 and not serving and self._acquired == before

    def answered(self) -> int:
        """How many statements were answered until now."""
        return self._executor.answered()

    def retyped(self) -> None:
        """Tables may have changed: the server is asked again which types the arguments of a text have (rule 4.8)."""
        self._database.retyped(self._texts.everything())

    def judge_again(self) -> None:
        """What may be grouped has changed."""
        self._executor.regroup(self._texts.judge_again())
