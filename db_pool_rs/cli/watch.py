"""`doctor --watch`: looks at the database again and again, from outside the program whose pool is slow or failing.

Each look is a connection of its own: how long it takes to connect and to ask, and on PostgreSQL how many connections
the server has of how many, what they do, which of them wait for locks and whom they wait for. What is unusual in it is
told as a hint. Another user's sessions are seen in full by members of `pg_monitor` only.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..errors import ConnectFailed, Error
from .checkup import connect_hint, round_trip
from .common import database_of, make_pool, one_line
from .terminal import Terminal, printable

if TYPE_CHECKING:
    from ..abc import Pool

#: A round trip is slow if it takes so many times as long as it usually does, and milliseconds.
SLOW, SLOW_MS = 5.0, 5.0
#: Looks that say what is usual.
USUAL = 20
#: Seconds after which a transaction in which nothing happens is told.
FORGOTTEN = 10.0

ACTIVITY = """
SELECT count(*) AS connections, current_setting('max_connections')::int AS max_connections,
  count(*) FILTER (WHERE state = 'active' AND pid <> pg_backend_pid()) AS active,
  count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
  count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_for_locks,
  count(*) FILTER (WHERE state IS NULL) AS not_shown,
  coalesce(extract(epoch FROM clock_timestamp() - min(state_change)
    FILTER (WHERE state LIKE 'idle in transaction%')), 0)::float8 AS longest_idle_s
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""
BLOCKERS = """
SELECT b.pid, b.state, b.application_name, count(*) AS waiting,
  extract(epoch FROM clock_timestamp() - b.xact_start)::float8 AS transaction_s
FROM pg_stat_activity w, unnest(pg_blocking_pids(w.pid)) AS blocking(pid) JOIN pg_stat_activity b USING (pid)
WHERE w.wait_event_type = 'Lock' GROUP BY 1, 2, 3, 5 ORDER BY 4 DESC, 1 LIMIT 5
"""


async def watch(options: argparse.Namespace) -> int:
    """Look every `options.watch` seconds, `options.times` times or until it is interrupted."""
    usual: deque[float] = deque(maxlen=USUAL)
    terminal = Terminal(sys.stdout)
    looks = itertools.count() if options.times is None else iter(range(options.times))
    found: dict[str, Any] = {}
    for number in looks:
        if number:
            await asyncio.sleep(options.watch)
        found = {"time": time.strftime("%H:%M:%S"), **await look(options)}
        found["hints"] = [*found.get("hints", ()), *_unusual(found, usual)]
        if options.json:
            print(json.dumps(found, ensure_ascii=False), flush=True)
        else:
            _show(terminal, found)
    return 1 if "error" in found else 0


async def look(options: argparse.Namespace) -> dict[str, Any]:
    """What there is to see now; `error` if the database cannot be asked."""
    found: dict[str, Any] = {}
    started = time.perf_counter()
    try:
        async with make_pool(options, min_size=1, max_size=1) as pool:
            found["connected_in_ms"] = round((time.perf_counter() - started) * 1000, 3)
            found["round_trip_ms"] = await round_trip(pool)
            if database_of(pool) == "postgresql":
                found |= await _activity(pool)
    except ConnectFailed as error:
        found |= {"error": one_line(error), "hints": [connect_hint(error)]}
    except Error as error:
        found["error"] = one_line(error)
    return found


async def _activity(pool: Pool) -> dict[str, Any]:
    row = await pool.fetchrow(ACTIVITY)
    assert row is not None
    found = dict(row)
    blockers = await pool.fetch(BLOCKERS) if found["waiting_for_locks"] else []
    return {**found, "longest_idle_s": round(found["longest_idle_s"], 1), "blockers": [dict(one) for one in blockers]}


def _unusual(found: dict[str, Any], usual: deque[float]) -> list[str]:
    """Hints at what is not as it should be, and not as it was in the looks before."""
    hints = []
    if (now := found.get("round_trip_ms")) is not None:
        if len(usual) >= 3 and now > SLOW_MS and now > SLOW * (before := statistics.median(usual)):
            hints.append(f"a round trip takes {now:.1f} ms, before it was {before:.1f}: network or server are busy")
        usual.append(now)
    if found.get("connections", 0) >= 0.9 * found.get("max_connections", float("inf")):
        hints.append("the server's connections are nearly used up: smaller pools, or a larger max_connections")
    for one in found.get("blockers", ()):
        since = "" if one["transaction_s"] is None else f", its transaction is {one['transaction_s']:.0f} s old"
        who = f"pid {one['pid']} ({one['application_name'] or 'no name'}, {one['state'] or 'not shown'}{since})"
        hints.append(f"{one['waiting']} wait for a lock that {who} holds or waits for")
    if found.get("longest_idle_s", 0) >= FORGOTTEN:
        hints.append(f"a transaction has done nothing for {found['longest_idle_s']:.0f} s: it keeps its locks")
    return hints


def _show(terminal: Terminal, found: dict[str, Any]) -> None:
    if "error" in found:
        terminal.line(f"{found['time']}  {terminal.style(printable(found['error']), 'red')}")
    else:
        terminal.line(f"{found['time']}  {_summary(found)}")
    for hint in found["hints"]:
        terminal.line(f"          {terminal.style(printable(hint), 'yellow')}")
    terminal.stream.flush()


def _summary(found: dict[str, Any]) -> str:
    parts = [f"connect {found['connected_in_ms']:.1f} ms", f"round trip {found['round_trip_ms']:.2f} ms"]
    if "connections" in found:
        parts.append(f"{found['connections']}/{found['max_connections']} connections")
        named = {"active": "active", "idle_in_transaction": "idle in transaction", "waiting_for_locks": "waiting"}
        parts += [
            f"{found[name]} {words}" for name, words in (*named.items(), ("not_shown", "not shown")) if found[name]
        ]
    return ", ".join(parts)
