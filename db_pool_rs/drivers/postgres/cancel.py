"""Asking the server to stop what a session does, without blocking the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from psycopg import Error, pq

from ...aio import Expired, offload, until
from .psycopg_libpq import blocking_cancel
from .watch import wait_ready

if TYPE_CHECKING:
    from psycopg.pq.abc import PGcancelConn, PGconn

#: The first libpq whose CancelRequest does not block and uses the session's own TLS settings.
_CANCEL_CONN = 170000


async def cancel(pgconn: PGconn, *, timeout: float | None = 5.0) -> bool:
    """Send a CancelRequest; True once it can hit nothing more: its connection is closed, or there never was one.

    The server's answer is the statement's own: it may still end well if the request came too late. Never raises for a
    server that is gone (True) or silent: False, after `timeout` seconds: the request may still hit what runs then.
    `pgconn` must stay open meanwhile. A libpq before 17 sends it unencrypted, on a thread that may outlive a time-out.
    """
    deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
    try:
        if pq.version() < _CANCEL_CONN:
            await until(offload(blocking_cancel(pgconn)), deadline)
        else:
            await _drive(pgconn.cancel_conn(), deadline)
    except Expired:
        return False
    except (Error, OSError, ValueError):
        return True
    return True


async def _drive(request: PGcancelConn, deadline: float | None) -> None:
    try:
        request.start()
        status = int(pq.PollingStatus.WRITING)
        while status not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            await wait_ready(request.socket, status == pq.PollingStatus.WRITING, deadline)
            status = request.poll()
    finally:
        request.finish()
