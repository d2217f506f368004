"""`top`: a live view of the pools of running programs: connections, waiters, holders, statements, events.

A program lets this user look at its pools with the environment variable DB_POOL_TOP=1, or by `await pool.top()`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..pool.top import folder
from .common import UsageError, count, positive
from .terminal import Terminal, display_width, printable

#: Seconds that a pool may take to answer; one whose loop is busy for longer is told as such.
PATIENCE = 2.0
#: Columns, where the terminal does not say otherwise.
WIDTH = 80
#: Lines of each kind that are shown of a pool.
SHOWN = 5
_CLEAR = "\x1b[H\x1b[2J"


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "top",
        help="a live view of the pools of running programs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pid", nargs="?", type=int, help="the process to look at (default: all of this user)")
    parser.add_argument("--interval", type=positive, default=1.0, metavar="SECONDS", help="how often (default: 1)")
    parser.add_argument(
        "--times", type=count, help="so many times, then end (default: once, on a terminal until Ctrl-C)"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON each time: a list of pools")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Carry out `top`."""
    terminal = Terminal(sys.stdout)
    times = options.times or (None if terminal.interactive and not options.json else 1)
    for number in itertools.count() if times is None else range(times):
        if number:
            await asyncio.sleep(options.interval)
        pools = await look(options.pid)
        if options.json:
            print(json.dumps(pools, ensure_ascii=False), flush=True)
            continue
        if not pools and times is not None:
            raise UsageError("no pool of this user shows itself: start the program with DB_POOL_TOP=1, or pool.top()")
        lines = list(screen(terminal, pools))
        terminal.stream.write((_CLEAR if terminal.interactive else "") + "".join(f"{line}\n" for line in lines))
        terminal.stream.flush()
    return 0


async def look(pid: int | None) -> list[dict[str, Any]]:
    """What the pools of a process say, or of all; those of processes that are gone are cleared away."""
    pattern = "*.sock" if pid is None else f"{pid}-*.sock"
    found = await asyncio.gather(*(_ask(path) for path in folder().glob(pattern)))
    pools = (view for view in found if view is not None)
    return sorted(pools, key=lambda view: (view["pid"], view.get("since", 0.0)))


async def _ask(path: Path) -> dict[str, Any] | None:
    try:
        return await asyncio.wait_for(_read(path), PATIENCE)
    except (asyncio.TimeoutError, TimeoutError):
        return {"pid": int(path.name.partition("-")[0]), "pool": path.name, "error": "its event loop is busy"}
    except ConnectionRefusedError:
        os.unlink(path)  # its process is gone
    except (OSError, ValueError):
        pass  # it is just being closed
    return None


async def _read(path: Path) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        view: dict[str, Any] = json.loads(await reader.read())
        return view
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


# -- the screen ------------------------------------------------------------------------------------------------------


def screen(terminal: Terminal, pools: list[dict[str, Any]]) -> Iterator[str]:
    """The lines that are shown; texts that do not fit are cut, figures continue on another line."""
    width = terminal.width or WIDTH
    processes = len({view["pid"] for view in pools})
    yield terminal.style(
        _fit(f"db_pool_rs top  {time.strftime('%H:%M:%S')}  pools: {len(pools)}  processes: {processes}", width), "bold"
    )
    for view in pools:
        yield ""
        for number, line in enumerate(_pool(view, width)):
            shown = _fit(line, width)
            yield terminal.style(shown, "bold") if number == 0 else shown


def _pool(view: Mapping[str, Any], width: int) -> Iterator[str]:
    if "error" in view:
        yield f"pool {view['pool']}  pid {view['pid']}: {view['error']}"
        return
    now, age = view["stats"], time.time() - view["since"]
    yield f"pool {view['pool']}  pid {view['pid']} {view['program']}  {view['target']}  {view['state']}"
    kinds = [f"{now[name]} {name}" for name in ("lanes", "alone", "sessions", "idle", "opening") if now[name]]
    connections = [f"connections {now['size']}/{now['max_size']}", *kinds]
    yield from _wrapped([*connections, f"waiting {now['waiting']}", f"in flight {now['in_flight']}"], width)
    group = now["group_size"]
    parts = [
        f"statements {now['statements']:,} ({now['queries_per_second']:,.0f}/s)",
        f"errors {now['errors']:,}",
        f"lost {now['lost']}",
        f"groups of {group['p50']:g}, p99 {group['p99']:g}, at most {group['max']:g}",
    ]
    yield from _wrapped(parts, width)
    parts = [
        f"{name} p50 {now[key]['p50']:.1f} p99 {now[key]['p99']:.1f} ms"
        for name, key in (("wait", "wait_ms"), ("run", "run_ms"), ("hold", "hold_ms"))
    ]
    yield from _wrapped(parts, width)
    if now["last_error"]:
        yield f"  last error: {now['last_error']}"
    yield from _details(view, age)


def _details(view: Mapping[str, Any], age: float) -> Iterator[str]:
    """Holders, statements, what runs alone and why, events: a few of each."""
    for held in view["holders"][:SHOWN]:
        place = "/".join(held["place"].split("/")[-2:])  # the whole path is in the JSON
        yield f"  held {held['seconds']:.1f} s by {held['task']} at {place}: {held['sql']}"
    if view["statements"]:
        yield f"  {'% of time':>9} {'mean ms':>8} {'count':>9}  statement ({age:.0f} s)"
    total = sum(one["total_ms"] for one in view["statements"]) or 1.0
    for one in view["statements"][:SHOWN]:
        share, kind = 100 * one["total_ms"] / total, "" if one["grouped"] else "[alone] "
        yield f"  {share:9.1f} {one['mean_ms']:8.2f} {one['count']:9,}  {kind}{one['sql']}"
    counted = ", ".join(f"{count:,} for {reason}" for reason, count in view["stats"]["ran_alone"].items() if count)
    if counted:
        yield f"  ran alone: {counted}"
    for one in view["alone"][:SHOWN]:
        yield f"    {one['reason']}"
    for event in view["events"][-SHOWN:]:
        yield f"  {time.strftime('%H:%M:%S', time.localtime(event['time']))}  {event['text']}"


def _wrapped(parts: list[str], width: int) -> Iterator[str]:
    """The parts side by side, as many as fit on each line."""
    line = f"  {parts[0]}"
    for part in parts[1:]:
        if display_width(line) + 3 + display_width(part) > width:
            yield line
            line = f"    {part}"
        else:
            line += f"   {part}"
    yield line


def _fit(text: str, width: int) -> str:
    """One line of at most so many columns."""
    text = printable(text)
    if display_width(text) <= width:
        return text
    while display_width(text) > width - 3:
        text = text[: -max(1, (display_width(text) - width + 3) // 2)]
    return text + "..."
