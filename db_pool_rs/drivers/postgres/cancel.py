"""Asking the server to stop what a session does, without blocking the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from psycopg import Error, pq

from ...aio import Expired, offload, until, wait_ready
from .psycopg_libpq import blocking_cancel

if TYPE_CHECKING:
    from psycopg.pq.abc import PGcancelConn, PGconn

#: The first libpq whose CancelRequest does not block and uses the session's own TLS settings.
_CANCEL_CONN = 170000


async def cancel(pgconn: PGconn, *, timeout: float | None = 5.0) -> bool:
    """Send a CancelRequest; True once the server has taken it in and closed the cancel connection.

    The server's answer is the statement's own: it may still end well if the request came too late. Never raises for a
    server that is gone or silent: False, after `timeout` seconds at most. `pgconn` must stay open meanwhile, and may be
    used as usual. A libpq before 17 sends the request unencrypted, on a thread that may outlive a time-out.
    """
    deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
    try:
        if pq.version() < _CANCEL_CONN:
            return await until(offload(blocking_cancel(pgconn)), deadline)
        request = pgconn.cancel_conn()
    except (Expired, Error, OSError, ValueError):
        return False
    try:
        return await _drive(request, deadline)
    except (Expired, Error):
        return False
    finally:
        request.finish()


async def _drive(request: PGcancelConn, deadline: float | None) -> bool:
    request.start()
    status = int(pq.PollingStatus.WRITING)
    while status not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
        await wait_ready(request.socket, status == pq.PollingStatus.WRITING, deadline)
        status = request.poll()
    return status == pq.PollingStatus.OK
