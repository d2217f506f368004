"""The pool of this package below an engine of SQLAlchemy, and SQLAlchemy's pool, which keeps nothing, above it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy import pool as sa_pool
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from .. import api
from .schema import SchemaChanges

if TYPE_CHECKING:
    from ..abc import Pool
    from ..codecs import Codec


class SharedPools:
    """The pools of one engine: one for each event loop that uses it, opened by its first connection."""

    def __init__(self, **options: Any) -> None:
        #: Options that the engine was made with.
        self.options = options
        #: What the dialect wants, in front of those of the program.
        self.codecs: Sequence[Codec] = ()
        self.schema = SchemaChanges()
        #: By the event loop.
        self._open: dict[asyncio.AbstractEventLoop, asyncio.Task[Pool]] = {}

    async def get(self, dsn: str, **options: Any) -> Pool:
        """The pool of this event loop."""
        loop = asyncio.get_running_loop()
        for old in [one for one in self._open if one.is_closed()]:
            del self._open[old]
        opening = self._open.get(loop)
        if opening is None or (opening.done() and (_failed(opening) or opening.result().closed)):
            options = {**self.options, **options}
            if self.codecs:
                options["codecs"] = (*self.codecs, *options.get("codecs", ()))
            opening = self._open[loop] = loop.create_task(_opened(dsn, options))
        return await asyncio.shield(opening)

    async def close(self) -> None:
        """Close the pool of this event loop: what runs is finished first."""
        opening = self._open.pop(asyncio.get_running_loop(), None)
        if opening is None:
            return
        try:
            await asyncio.wait((opening,))  # others wait for it too: it goes on if this is cancelled
        except asyncio.CancelledError:
            _terminate(opening)
            raise
        if not _failed(opening):
            await opening.result().close(timeout=5)

    def dispose(self) -> None:
        """Close the pool of this event loop, from a greenlet; else all of them, at once."""
        if in_greenlet():
            await_only(self.close())
        else:
            self.terminate()

    def terminate(self) -> None:
        """Close all pools at once, without waiting."""
        pools, self._open = self._open, {}
        with ExitStack() as stack:  # which calls all, also where one raises
            for loop, opening in pools.items():
                if not loop.is_closed():
                    stack.callback(_terminate, opening)


def pools_of(engine: Any) -> SharedPools:
    """The pools below an engine, which end with it: its own pool knows them, unless it is another of SQLAlchemy's."""
    if isinstance(engine.pool, SharedPool):
        return engine.pool.shared
    pools = SharedPools(max_size=100)  # the pool above says how many are used
    event.listen(engine, "engine_disposed", lambda _: pools.dispose())
    return pools


def _failed(opening: asyncio.Task[Pool]) -> bool:
    """Of an opening that is done: whether there is no pool."""
    return opening.cancelled() or opening.exception() is not None


def _terminate(opening: asyncio.Task[Pool]) -> None:
    """Close a pool at once; one that is being opened as soon as it is open."""
    if not opening.done():
        opening.add_done_callback(_terminate)
    elif not _failed(opening):
        opening.result().terminate()


async def _opened(dsn: str, options: dict[str, Any]) -> Pool:
    return await api.create_pool(dsn, **options)


class SharedPool(sa_pool.NullPool):
    """SQLAlchemy's pool of an engine: each checkout is a session of the pool below, each checkin gives it back.

    `pool_size` and `max_overflow` together are its `max_size`, `pool_timeout` its `acquire_timeout`, `pool_recycle` its
    `max_lifetime`. A connection that was idle is asked for a sign of life anyway: `pool_pre_ping` adds nothing.
    """

    def __init__(
        self,
        creator: Any,
        pool_size: int = 5,
        max_overflow: int = 10,
        timeout: float = 30.0,
        recycle: int = -1,
        pre_ping: bool = False,
        use_lifo: bool = False,
        shared: SharedPools | None = None,
        **kw: Any,
    ) -> None:
        super().__init__(creator, **kw)
        if shared is None:
            most = pool_size + max_overflow if pool_size and max_overflow >= 0 else 100  # "no limit" has one
            shared = SharedPools(max_size=most, acquire_timeout=timeout)
            if recycle > 0:
                shared.options["max_lifetime"] = recycle
        self.shared = shared

    def recreate(self) -> SharedPool:
        """The same, after `dispose`."""
        self.logger.info("Pool recreating")
        return self.__class__(
            self._creator,
            shared=self.shared,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def dispose(self) -> None:
        """Close the pool below, which finishes what runs; outside a coroutine at once."""
        self.shared.dispose()
        self.logger.info("Pool disposed. %s", self.status())

    def status(self) -> str:
        """How the pool below stands."""
        stats = self._stats()
        if stats is None:
            return "SharedPool, not open"
        return f"SharedPool size: {stats.size} idle: {stats.idle} busy: {stats.busy} waiting: {stats.waiting}"

    def _stats(self) -> Any:
        """Numbers of the pool of this event loop, None where none is open."""
        try:
            return self.shared._open[asyncio.get_running_loop()].result().stats()
        except Exception:
            return None

    # what programs ask SQLAlchemy's usual pool for

    def size(self) -> int:
        """How many connections there may be: there is no overflow apart from them."""
        most: int = self.shared.options["max_size"]
        return most

    def overflow(self) -> int:
        """How many there are beyond `size`: below 0 as long as fewer are open."""
        stats = self._stats()
        return (stats.size if stats else 0) - self.size()

    def checkedin(self) -> int:
        """How many are idle."""
        stats = self._stats()
        return stats.idle if stats else 0

    def checkedout(self) -> int:
        """How many are in use."""
        stats = self._stats()
        return stats.busy if stats else 0
