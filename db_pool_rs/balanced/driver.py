"""The driver of mode balanced: that of mode simple with the kernel's libpq and its decoders."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from db_pool_rs_balanced import ResultFuture

from ..drivers.base import ConnectionListener
from ..drivers.postgres.connect import connect
from ..drivers.postgres.driver import PostgresDriver
from .description import KernelDescription
from .libpq import LIBPQ
from .link import KernelConnection
from .slices import new_block

if TYPE_CHECKING:
    from ..config import PoolConfig


class KernelDriver(PostgresDriver):
    """A :class:`~db_pool_rs.drivers.base.Driver` over the kernel; `native_workers` threads decode long results."""

    description_type = KernelDescription
    answer = ResultFuture

    def __init__(self, config: PoolConfig, native_workers: int) -> None:
        super().__init__(config, LIBPQ)
        #: Buffers that are used again for every short result, on the event loop's thread.
        self.block = new_block()
        self._native_workers = native_workers
        self._workers: ThreadPoolExecutor | None = None

    async def connect(self, listener: ConnectionListener) -> KernelConnection:
        """Open a connection; ConnectFailed lists every attempt."""
        pgconn = await connect(self._target, libpq=LIBPQ)
        return KernelConnection(pgconn, self, listener)  # type: ignore[arg-type]

    def workers(self) -> ThreadPoolExecutor:
        """The threads; started when the first long result comes."""
        if self._workers is None:
            self._workers = ThreadPoolExecutor(self._native_workers, thread_name_prefix="db_pool_rs-native")
        return self._workers

    async def close(self) -> None:
        """Let the threads end."""
        if self._workers is not None:
            self._workers.shutdown(wait=False)
