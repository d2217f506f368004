"""What `python -m db_pool_rs top` sees of a pool: a unix socket that says how the pool stands to programs of its user.

The socket lies in a folder that only the user can enter. A program that connects is sent one line of JSON, and reads
it to the end. Texts come without the values in them, the target without its password; arguments are not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import forks
from ..errors import InterfaceError
from ..guard.verdicts import GUARD
from ..scheduler.cost import Query
from ..sql.without_values import without_values

if TYPE_CHECKING:
    from .context import Context
    from .executor import Executor

#: How many holders, texts and texts that run alone are told.
MOST = 20
_TEXT = 300
_numbers = itertools.count(1)


def folder(create: bool = False) -> Path:
    """Where the sockets of this user lie. InterfaceError if it is not the user's alone."""
    uid = os.getuid()
    path = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"db_pool_rs-{uid}"
    if create:
        path.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
            raise InterfaceError(f"{path} is not a folder that belongs to this user alone")
    return path


class Top:
    """The socket of one pool, from `start` to `close`."""

    def __init__(self, context: Context, executor: Executor) -> None:
        self._context = context
        self._executor = executor
        self._server: asyncio.Server | None = None
        self._since = time.time()
        self.path: Path | None = None

    async def start(self) -> str:
        """Listen; the path of the socket. InterfaceError where there are no unix sockets."""
        if self.path is None:
            if not hasattr(os, "getuid"):
                raise InterfaceError("this system has no unix sockets for `top`")
            path = folder(create=True) / f"{os.getpid()}-{next(_numbers)}.sock"
            path.unlink(missing_ok=True)
            self.path = path
            try:
                self._server = await asyncio.start_unix_server(self._answer, path)
            except BaseException:
                self.path = None
                raise
            forks.hold(self)
        return str(self.path)

    def close(self) -> None:
        """Listen no more."""
        server, path = self._server, self.path
        self._server = self.path = None
        if server is not None and path is not None:
            server.close()
            path.unlink(missing_ok=True)

    def held(self) -> int:
        """The socket, on which a child process must not answer."""
        return -1 if self._server is None else self._server.sockets[0].fileno()

    def leave(self) -> None:
        """This is a child process: the socket and its file are the parent's."""
        self._server = self.path = None

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(json.dumps(self.view()).encode() + b"\n")
            await writer.drain()
        writer.close()

    def view(self) -> dict[str, Any]:
        """How the pool stands, ready for JSON."""
        config, executor = self._context.config, self._executor
        queries = list(self._context.queries.known.values())
        dialect = self._context.database.dialect
        return {
            "pid": os.getpid(),
            "program": os.path.basename(sys.argv[0]) or "python",
            "pool": config.name,
            "target": str(config.target),
            "state": self._context.state,
            "since": self._since,
            "stats": _without_buckets(executor.stats().to_dict()),
            "holders": list(itertools.islice(self._holders(), MOST)),
            "statements": self._statements(queries),
            "alone": [
                {"sql": _shown(query.sql, dialect), "reason": query.reason}
                for query in itertools.islice((one for one in queries if one.why == GUARD), MOST)
            ],
            "events": [{"time": when, "text": text} for when, text in executor.outages.events],
        }

    def _holders(self) -> Iterator[dict[str, Any]]:
        """The sessions that callers hold, those held longest first."""
        now = self._executor.loop.time()
        held = [(one.holder, one) for one in self._executor.sessions.values() if one.holder is not None]
        for holder, session in sorted(held, key=lambda pair: pair[0].since):
            sql = _shown(session.last_sql, self._context.database.dialect)
            yield {"seconds": now - holder.since, "task": holder.task, "place": holder.site, "sql": sql}

    def _statements(self, queries: list[Query]) -> list[dict[str, Any]]:
        """The texts that took most of the server's time."""
        known = ((query, self._executor.experience(query)) for query in queries)
        found = sorted(known, key=lambda pair: -pair[1].seen * pair[1].mean)[:MOST]
        return [
            {
                "sql": _shown(query.sql, self._context.database.dialect),
                "count": experience.seen,
                "mean_ms": experience.mean * 1000,
                "total_ms": experience.seen * experience.mean * 1000,
                "kind": query.kind.value,
                "grouped": experience.fast and query.groupable,
            }
            for query, experience in found
            if experience.seen
        ]


def _shown(sql: str, dialect: str) -> str:
    return without_values(sql, dialect)[:_TEXT]


def _without_buckets(stats: dict[str, Any]) -> dict[str, Any]:
    for value in stats.values():
        if isinstance(value, dict):
            value.pop("buckets", None)
    return stats
