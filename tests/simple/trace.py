"""Traces of the scheduler as JSON lines: what happened, and what it did. traces/README.md describes the format."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from db_pool_rs.drivers.base import ROWS
from db_pool_rs.scheduler.cost import CostLimits, Query
from db_pool_rs.scheduler.model import (
    NEVER,
    AcquireRequest,
    Action,
    ConnectionState,
    Deliver,
    Fail,
    Lend,
    Limits,
    Request,
    Send,
    StatementRequest,
)
from db_pool_rs.scheduler.scheduler import Scheduler
from db_pool_rs.sql import Lexical, StatementClass

FORMAT = 1
#: What a line holds besides plain arguments of the event.
NO_ARGUMENTS = {"at", "event", "do", "wake", "item", "text", "deadline"}


class Recorder:
    """Writes the lines of one trace; a :class:`~.machine.World` tells it of every event."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.scheduler: Scheduler | None = None
        self.queries: list[Query] = []
        self._requests = Requests()

    def header(self, seed: int, observed: Sequence[Any]) -> str:
        """The first line."""
        assert self.scheduler is not None
        queries = [
            {
                "kind": query.kind.value,
                "groupable": query.groupable,
                "dirties": query.lexical.dirties,
                "observed": list(observed) if query.seen else None,
            }
            for query in self.queries
        ]
        limits = dataclasses.asdict(self.scheduler.limits)
        return json.dumps({"format": FORMAT, "seed": seed, "limits": limits, "texts": queries})

    def __call__(self, name: str, now: float, arguments: dict[str, Any], actions: Sequence[Action]) -> None:
        assert self.scheduler is not None
        line: dict[str, Any] = {"at": now, "event": name}
        for key, given in arguments.items():
            value = given[0] if key == "statements" else given  # recorded one by one
            if isinstance(value, (StatementRequest, AcquireRequest)):
                line["item"] = self._requests.number(value)
                if name in ("submit", "acquire"):
                    line["deadline"] = value.deadline
                if isinstance(value, StatementRequest) and name == "submit":
                    line["text"] = self.queries.index(value.query)
            elif isinstance(value, ConnectionState):
                line["conn"] = value.id
            elif key != "now":
                line[key] = value
        line.update(outcome(self._requests, self.scheduler, actions))
        self.events.append(json.dumps(line))


class Requests:
    """Statements and waiters by number, in the order of their arrival."""

    def __init__(self) -> None:
        self.all: list[Request] = []
        self._numbers: dict[int, int] = {}

    def number(self, request: Request) -> int:
        """The number of an item; a new one gets the next."""
        if id(request) not in self._numbers:
            self._numbers[id(request)] = len(self.all)
            self.all.append(request)
        return self._numbers[id(request)]


def outcome(requests: Requests, scheduler: Scheduler, actions: Iterable[Action]) -> dict[str, Any]:
    """What an event caused, as it stands in its line."""
    wake = scheduler.timeouts.next_timeout()
    return {"do": [_action(requests, action) for action in actions], "wake": None if wake == NEVER else wake}


def _action(requests: Requests, action: Action) -> list[Any]:
    name = type(action).__name__.lower()
    if isinstance(action, Send):
        return [name, action.conn.id, [requests.number(s) for s in action.group]]
    if isinstance(action, Lend):
        return [name, action.conn.id, requests.number(action.waiter)]
    if isinstance(action, Deliver):
        return [name, [requests.number(s) for s in action.group]]
    if isinstance(action, Fail):
        return [name, requests.number(action.request), action.reason.value, action.sent]
    return [name, action.conn.id]


class Replay:
    """Plays a trace to a new scheduler."""

    def __init__(self, lines: Sequence[str]) -> None:
        header = json.loads(lines[0])
        assert header["format"] == FORMAT
        limits = {**header["limits"], "cost": CostLimits(**header["limits"]["cost"])}
        self.scheduler = Scheduler(Limits(**limits))
        self.queries = [self._text(number, entry) for number, entry in enumerate(header["texts"])]
        self.items = Requests()
        self.conns: dict[int, ConnectionState] = {}
        self._lines = lines[1:]

    def _text(self, number: int, entry: dict[str, Any]) -> Query:
        kind = StatementClass(entry["kind"])
        query = Query(f"text {number}", Lexical(kind, kind.name, entry["dirties"], 1), entry["groupable"])
        if entry["observed"] is not None:
            count, seconds, size = entry["observed"]
            query.observe(count, seconds, size, self.scheduler.limits.cost)
        return query

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Each event as recorded, and what this scheduler does about it."""
        for line in self._lines:
            event = json.loads(line)
            actions = self._play(event) or []
            self.conns.update(self.scheduler.conns)
            yield event, outcome(self.items, self.scheduler, actions)

    def _play(self, event: dict[str, Any]) -> Sequence[Action]:
        name = event["event"]
        arguments = {key: value for key, value in event.items() if key not in NO_ARGUMENTS}
        if "conn" in arguments:
            arguments["conn"] = self.conns[arguments["conn"]]
        if "item" in event:
            request = self._request(event)
            if name == "submit":
                arguments["statements"] = [request]
            else:
                arguments["waiter" if name == "acquire" else "item"] = request
        if name not in ("measured", "terminate"):
            arguments["now"] = event["at"]
        actions: Sequence[Action] = getattr(self.scheduler, name)(**arguments)
        return actions

    def _request(self, event: dict[str, Any]) -> Request:
        if event["event"] == "cancel":
            return self.items.all[int(event["item"])]
        request: Request
        if event["event"] == "submit":
            request = StatementRequest(self.queries[event["text"]], (), ROWS, None)
            request.deadline = event["deadline"]
        else:
            request = AcquireRequest(None, event["deadline"])
        assert self.items.number(request) == event["item"]
        return request
