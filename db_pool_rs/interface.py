"""`DatabasePoolInterface`: what every mode's `DatabasePool` offers, as a Protocol without code.

There is one interface for all modes: no mode has a call that another lacks. A program that is given its pools says
`DatabasePoolInterface` where it takes them, and its tests may give it anything that has these methods.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, overload

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .abc import Connection, Isolation, Pool
    from .metrics import Health, Metrics, PoolStats
    from .options import PoolOptions
    from .record import Record
    from .rows import Row, T

__all__ = ["DatabasePoolInterface"]


class DatabasePoolInterface(Protocol):
    """Named pools over one engine; :class:`~db_pool_rs.facade.DatabasePool` says what each call does."""

    @property
    def mode(self) -> str:
        """The mode that serves: "simple", "balanced" or "full"."""

    @property
    def pool_ids(self) -> tuple[str, ...]:
        """The names that can be used."""

    async def create_pool(
        self, pool_id: str = "default", dsn: str | None = None, **options: Unpack[PoolOptions]
    ) -> Pool:
        """Open a pool and call it `pool_id`."""

    @overload
    async def query(
        self, pool_id: str, sql: str, *args: Any, timeout: float | None = None, row: None = None
    ) -> list[Record]: ...

    @overload
    async def query(self, pool_id: str, sql: str, *args: Any, timeout: float | None = None, row: Row[T]) -> list[T]: ...

    async def query(
        self, pool_id: str, sql: str, *args: Any, timeout: float | None = None, row: Row[Any] | None = None
    ) -> list[Any]:
        """Every row of one statement."""

    async def execute(self, pool_id: str, sql: str, *args: Any, timeout: float | None = None) -> int:
        """Run one statement and return the number of affected rows."""

    def transaction(
        self,
        pool_id: str,
        *,
        isolation: Isolation | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Connection]:
        """A session inside a transaction."""

    def acquire(self, pool_id: str, *, timeout: float | None = None) -> AbstractAsyncContextManager[Connection]:
        """A session of your own."""

    async def get_pool_status(self, pool_id: str) -> PoolStats:
        """Sizes, queues, health, last error, counters and latencies of a pool."""

    async def health(self, *, probe: bool = False, timeout: float = 2.0) -> dict[str, Health]:
        """Whether each open pool can serve, and why not."""

    def get_metrics(self) -> Metrics:
        """Figures of the process and of every open pool."""

    async def pool(self, pool_id: str = "default") -> Pool:
        """The pool of that name, opened if this is its first use."""

    async def close_pool(self, pool_id: str, timeout: float | None = None) -> None:
        """Close a pool and free its name."""

    async def close(self, timeout: float | None = None) -> None:
        """Close every pool."""

    async def __aenter__(self) -> DatabasePoolInterface: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
