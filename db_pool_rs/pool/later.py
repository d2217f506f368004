"""What serves the calls that many programs never make: it is imported when such a call is made, not at the start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config import PoolConfig
    from ..rows import Row
    from .acquire import Acquire
    from .batch import Batch
    from .context import Context
    from .stream import Stream
    from .subscription import Listener, Subscription


class Later:
    """That of one pool; `sibling` makes another pool of its kind."""

    def __init__(self, context: Context, sibling: Callable[[PoolConfig], Any]) -> None:
        self._context = context
        self._sibling = sibling
        self._listener: Listener | None = None

    def batch(self, acquire: Callable[[float | None], Acquire], atomic: bool, timeout: float | None) -> Batch:
        """Statements that are sent together."""
        from .batch import Batch

        return Batch(self._context, acquire, atomic, timeout)

    def stream(
        self, block: Any, sql: str, args: tuple[Any, ...], batch: int, timeout: float | None, row: Row[Any] | None
    ) -> Stream:
        """Rows a few at a time."""
        from .stream import Stream, lists

        return Stream(block, partial(lists, sql, args, batch, timeout, row))

    def tables(self, block: Any, sql: str, args: tuple[Any, ...], batch: int, timeout: float | None) -> Stream:
        """The same as tables of Arrow."""
        from .arrow import check_rows, tables
        from .stream import Stream

        return Stream(block, partial(tables, sql, args, check_rows(batch), timeout), whole=True)

    def subscription(self, channels: tuple[str, ...], max_queue: int, timeout: float | None) -> Subscription:
        """Notifications of channels."""
        from .subscription import Listener, Subscription, listening

        if self._listener is None:
            self._listener = Listener(self._context, lambda: self._sibling(listening(self._context.config)))
        return Subscription(self._listener, channels, max_queue, timeout)

    def expire(self) -> None:
        """Every connection is to be replaced: that of notifications too."""
        self._context.check_open()
        if self._listener is not None:
            self._listener.replace()

    def led(self) -> None:
        """The pool's target is another one."""
        if self._listener is not None and self._context.config.listen_dsn is None:
            self._listener.replace()

    async def close(self) -> None:
        """The pool is closing."""
        if self._listener is not None:
            await self._listener.close()

    def terminate(self) -> None:
        """The pool has ended."""
        if self._listener is not None:
            self._listener.terminate()
