"""`doctor`: what is installed, which mode is chosen and why, what is configured, can the database be reached.

The exit code is 1 if the configuration is invalid, the mode cannot be used or the database cannot be reached. Passwords
are never shown, so the output can go into a bug report as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from .checkup import examine_configuration, examine_database, examine_environment, examine_installation, examine_modes
from .common import add_database_options, count, positive
from .terminal import Terminal, printable
from .watch import watch

NAME_WIDTH = 18


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="what is installed, which mode is chosen and why, can the database be reached",
        description=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_database_options(parser)
    parser.add_argument("--json", action="store_true", help="the findings as one JSON object, with --watch one a line")
    parser.add_argument(
        "--watch",
        type=positive,
        nargs="?",
        const=2.0,
        metavar="SECONDS",
        help="look at the database again and again instead, every 2 seconds if nothing is said: round trips, "
        "connections, who waits for whose lock",
    )
    parser.add_argument("--times", type=count, help="with --watch: so many times, then end (default: until Ctrl-C)")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Carry out `doctor`."""
    if options.watch is not None:
        return await watch(options)
    findings = {
        "installation": examine_installation(),
        "environment": examine_environment(),
        "configuration": examine_configuration(),
        "modes": examine_modes(options.mode, options.dsn),
        "database": await examine_database(options),
    }
    healthy = not any("error" in finding for finding in findings.values())
    if options.json:
        print(json.dumps({"healthy": healthy, **findings}, indent=2, ensure_ascii=False))
    else:
        _print(findings, healthy)
    return 0 if healthy else 1


def _print(findings: Mapping[str, Mapping[str, Any]], healthy: bool) -> None:
    terminal = Terminal(sys.stdout)
    for section, finding in findings.items():
        terminal.line(terminal.style(section.capitalize(), "bold"))
        for name, value in finding.items():
            _print_item(terminal, name.replace("_", " "), value)
        if not finding:
            terminal.line(terminal.style("  nothing set", "dim"))
        terminal.line()
    verdict = terminal.style("All is well.", "green") if healthy else terminal.style("Something is wrong.", "red")
    terminal.line(verdict)


def _print_item(terminal: Terminal, name: str, value: Any) -> None:
    colour = {"error": "red", "hint": "yellow"}.get(name)
    for line in _lines(value):
        shown = printable(line)
        terminal.line(f"  {name:<{NAME_WIDTH}} {terminal.style(shown, colour) if colour else shown}")
        name = ""


def _lines(value: Any) -> list[str]:
    if value is None:
        return ["none"]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, Mapping):
        return [f"{name}: {item}" for name, item in value.items()] or ["none"]
    if isinstance(value, list):
        return [str(item) for item in value] or ["none"]
    return [str(value)]
