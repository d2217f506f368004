"""The guard of one pool: has the catalogue read through the pool, and texts judged anew when it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..drivers.base import Database
from ..guard import Explanation, Keeper
from ..sql import StatementClass
from .queries import QueryCache

if TYPE_CHECKING:
    from ..config import PoolConfig
    from ..scheduler.cost import Query
    from .executor import Executor
    from .pool import Pool

_LANES = {StatementClass.READ: "reads", StatementClass.WRITE: "writes"}


class Guarding:
    """A :class:`~db_pool_rs.guard.keeper.Host`."""

    def __init__(self, config: PoolConfig, pool: Pool, queries: QueryCache, driver: Database) -> None:
        self._pool = pool
        self._texts = queries
        self._driver = driver
        self._verdicts = queries.verdicts
        self._keeper = Keeper(config, self._verdicts, self)
        self._runner: Executor

    def attach(self, runner: Executor) -> None:
        """The pool is being opened."""
        self._runner = runner
        runner.stop_grouping = self.stop_grouping
        runner.on_suspicion = self._keeper.suspect
        self._driver.on_altered = self._keeper.altered
        self._texts.on_guarded = self._start

    def _start(self) -> None:
        self._keeper.start(self._runner.spawn)

    def stop(self) -> None:
        """The pool is closing: it does not wait for the catalogue."""
        self._keeper.stop()

    def stop_grouping(self) -> None:
        """The database does not allow it: every statement goes alone."""
        self._verdicts.isolated = True
        self.judge_again()

    def explain(self, query: Query) -> Explanation:
        """How a text is treated."""
        verdict, known = self._texts.judge(query), self._runner.experience(query)
        grouped = known.fast and query.groupable
        return Explanation(
            kind=query.kind.value,
            grouped=grouped,
            reason=verdict.reason,
            guarded=self._verdicts.guarded,
            seen=known.seen,
            expected_ms=known.mean * 1000 if known.seen else None,
            prepared=known.prepared,
            lane=_LANES[query.kind] if grouped else "alone",
        )

    # -- what the keeper needs -----------------------------------------------------------------------------------

    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None) -> list[Any]:
        """Run a statement."""
        return await self._pool.fetch(sql, *args, timeout=timeout)

    def is_busy(self) -> bool:
        """Whether a statement would have to wait, or need a new connection."""
        return not self._runner.gauges().idle

    def is_held(self) -> bool:
        """Whether sessions hold every connection: then no statement runs, and none is grouped."""
        now = self._runner.gauges()
        return now.sessions > 0 and not now.lanes and not now.alone

    def answered(self) -> int:
        """How many statements were answered until now."""
        return self._runner.stats().statements

    def judge_again(self) -> None:
        """What may be grouped has changed."""
        self._runner.regroup(self._texts.judge_again())
