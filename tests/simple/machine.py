"""A world without a database: carries out the scheduler's actions in virtual time, and watches it.

The world keeps its own record of connections and answers, and asserts with each action that it is allowed. Nothing
happens by itself but closing (unless `slow_close`): tests say what comes of each action.

    world = World.ready(2)                       # two idle connections
    reads = world.submit(world.text(), 20)       # twenty executions of a fast READ
    world.end_of_tick()
    first, second = world.sends                  # what the last event sent
    world.finished(first.conn)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from db_pool_rs.drivers.base import ROWS
from db_pool_rs.scheduler.cost import Query
from db_pool_rs.scheduler.model import (
    AcquireRequest,
    Action,
    Cancel,
    Close,
    ConnectionState,
    Deliver,
    Fail,
    Lend,
    Limits,
    Open,
    Reason,
    Request,
    Reset,
    Send,
    State,
    StatementRequest,
)
from db_pool_rs.scheduler.scheduler import Scheduler
from db_pool_rs.sql import Lexical, StatementClass
from tests.simple.invariants import check_served, check_structure, lanes_suffice

READ, WRITE, SESSION, OTHER = StatementClass.READ, StatementClass.WRITE, StatementClass.SESSION, StatementClass.OTHER
#: Service time and round trip of this world, in seconds.
QUICK, ROUND_TRIP = 0.00002, 0.0001

#: Told of every event: its name, time, arguments, and the actions it returned.
Recorder = Callable[[str, float, dict[str, Any], Sequence[Action]], None]


class World:
    """A scheduler, and all that it knows of the world outside."""

    def __init__(self, *, slow_close: bool = False, recorder: Recorder | None = None, **limits: Any) -> None:
        self.scheduler = Scheduler(Limits(**limits))
        self.now = 100.0
        self.slow_close = slow_close
        self.recorder = recorder
        self.actions: list[Action] = []  # of the last event
        self.log: list[tuple[float, Action]] = []
        self.opening: list[ConnectionState] = []
        self.running: dict[ConnectionState, list[StatementRequest]] = {}
        self.lent: dict[ConnectionState, AcquireRequest] = {}
        self.cancels: list[ConnectionState] = []
        self.resets: list[ConnectionState] = []
        self.closing: list[ConnectionState] = []
        self.open: set[ConnectionState] = set()
        #: Every item that was handed in, and its answer once it has one.
        self.items: list[Request] = []
        self.answers: dict[int, Deliver | Fail | None] = {}
        self._awaiting: dict[int, Request] = {}
        #: The texts that `moves` choose from.
        self.queries: list[Query] = []
        self._texts = 0

    @classmethod
    def ready(cls, connections: int, **limits: Any) -> World:
        """A world with as many idle connections, and no room for more unless `max_size` says so."""
        bounds = limits.pop("min_size", connections), limits.pop("max_size", connections)
        world = cls(min_size=connections, max_size=max(connections, bounds[1]), **limits)
        world.start()
        while world.opening:
            world.opened()
        world.resize(*bounds)
        world.now += 1.0
        return world

    # -- things ----------------------------------------------------------------------------------------------------

    def query(
        self, kind: StatementClass = READ, *, fast: bool = True, groupable: bool = True, dirties: bool = False,
        cost: float = QUICK,
    ) -> Query:  # fmt: skip
        """A statement text of a class; `fast`: known to take `cost` seconds."""
        self._texts += 1
        lexical = Lexical(kind, kind.name, dirties, 1)
        query = Query(f"{kind.name} {self._texts}", lexical, groupable and kind in (READ, WRITE))
        if fast:
            query.observe(3, cost, 100, self.scheduler.limits.cost)
        return query

    def answer(self, request: Request) -> str | None:
        """None, "delivered", or the reason why it failed."""
        answer = self.answers[id(request)]
        if answer is None:
            return None
        return "delivered" if isinstance(answer, Deliver) else answer.reason.value

    def outcome(self, requests: Iterable[Request]) -> set[str | None]:
        """The different answers that `requests` have."""
        return {self.answer(request) for request in requests}

    @property
    def unanswered(self) -> list[Request]:
        """Those who still wait for an answer, and were not cancelled."""
        return list(self._awaiting.values())

    def last(self, kind: type[Action]) -> list[Any]:
        """The actions of one kind that the last event caused."""
        return [action for action in self.actions if isinstance(action, kind)]

    @property
    def sends(self) -> list[Send]:
        """The groups that the last event sent."""
        return self.last(Send)

    @property
    def sizes(self) -> list[int]:
        """Their sizes."""
        return [len(send.group) for send in self.sends]

    def count(self, kind: type[Action], since: float = 0.0) -> int:
        """How many actions of a kind there were from `since` on."""
        return sum(1 for at, action in self.log if isinstance(action, kind) and at >= since)

    # -- events ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._event("start", now=self.now)

    def submit(self, query: Query, count: int = 1, *, timeout: float | None = None) -> list[StatementRequest]:
        """So many executions of `query` arrive; `end_of_tick` sends them."""
        statements = [StatementRequest(query, (), ROWS, None) for _ in range(count)]
        for statement in statements:
            statement.deadline = None if timeout is None else self.now + timeout
            self._arrive(statement)
            self._event("submit", statements=[statement], now=self.now)
        return statements

    def acquire(self, timeout: float | None = None) -> AcquireRequest:
        """A request for a connection of its own; `end_of_tick` serves it."""
        waiter = AcquireRequest(None, None if timeout is None else self.now + timeout)
        self._arrive(waiter)
        self._event("acquire", waiter=waiter, now=self.now)
        return waiter

    def run(self, query: Query, count: int = 1) -> list[StatementRequest]:
        """Submit and end the tick."""
        statements = self.submit(query, count)
        self.end_of_tick()
        return statements

    def lend(self) -> AcquireRequest:
        """Acquire and end the tick."""
        waiter = self.acquire()
        self.end_of_tick()
        return waiter

    def end_of_tick(self, unacknowledged: int = 0) -> None:
        """The tick of the loop ends; the callers of the last `unacknowledged` Delivers have not had theirs yet."""
        self._event("end_of_tick", acknowledged=max(0, self.scheduler.delivered - unacknowledged), now=self.now)

    def cancel(self, request: Request) -> None:
        """The caller goes away: nothing is delivered to him any more."""
        del self.answers[id(request)], self._awaiting[id(request)]
        self._event("cancel", request=request, now=self.now)

    def opened(
        self, conn: ConnectionState | None = None, lifetime: float = 3600.0, round_trip: float | None = ROUND_TRIP
    ) -> ConnectionState:
        conn = conn or self.opening[0]
        self.opening.remove(conn)
        self.open.add(conn)
        self._event("opened", conn=conn, now=self.now, lifetime=lifetime, round_trip=round_trip)
        return conn

    def open_failed(self, conn: ConnectionState | None = None, *, permanent: bool = False, jitter: float = 0.5) -> None:
        conn = conn or self.opening[0]
        self.opening.remove(conn)
        self._event("open_failed", conn=conn, now=self.now, permanent=permanent, jitter=jitter)

    def finished(
        self, conn: ConnectionState, ok: bool = True, seconds: float = ROUND_TRIP + QUICK, size: float = 100.0
    ) -> None:
        del self.running[conn]
        self._event("finished", conn=conn, ok=ok, now=self.now, seconds=seconds, size=size)

    def measured(self, conn: ConnectionState, seconds: float) -> None:
        self._event("measured", conn=conn, seconds=seconds)

    def lost(self, conn: ConnectionState, *, sent: bool = True, evict_all: bool = False, jitter: float = 0.5) -> None:
        self._gone(conn)
        self._event("lost", conn=conn, now=self.now, sent=sent, evict_all=evict_all, jitter=jitter)

    def cancel_closed(self, conn: ConnectionState) -> None:
        self.cancels.remove(conn)
        self._event("cancel_closed", conn=conn, now=self.now)

    def reset_done(self, conn: ConnectionState) -> None:
        self.resets.remove(conn)
        self._event("reset_done", conn=conn, now=self.now)

    def released(self, conn: ConnectionState, healthy: bool = True) -> None:
        del self.lent[conn]
        self._event("released", conn=conn, now=self.now, healthy=healthy)

    def closed(self, conn: ConnectionState) -> None:
        self.closing.remove(conn)
        self._event("closed", conn=conn, now=self.now)

    def resize(self, min_size: int, max_size: int) -> None:
        self._event("resize", now=self.now, min_size=min_size, max_size=max_size)

    def expire(self) -> None:
        self._event("expire", now=self.now)

    def shut_down(self) -> None:
        self._event("shut_down", now=self.now)

    def terminate(self) -> None:
        self._event("terminate")

    def handle_timeout(self) -> None:
        self._event("handle_timeout", now=self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass; the scheduler is woken whenever it asked for it."""
        until, ticks = self.now + seconds, 0
        while (at := self.scheduler.timeouts.next_timeout()) <= until:
            self.now, ticks = max(self.now, at), ticks + 1
            self.handle_timeout()
            assert ticks < 10_000 + 2000 * seconds, "the scheduler wakes again and again without need"
        self.now = until

    # -- liveness --------------------------------------------------------------------------------------------------

    def behave(self, steps: int = 5000) -> None:
        """From now on all goes well: each request must be answered, and all come to rest, in finitely many steps."""
        self.slow_close = False
        for _ in range(steps):
            if not self._one_good_thing():
                if not (self.unanswered or self.scheduler.queues.waiting):
                    break
                at = self.scheduler.timeouts.next_timeout()
                assert at < float("inf"), "a request waits, and nothing will ever happen"
                self.now = max(self.now, at)
                self.handle_timeout()
        else:
            raise AssertionError(f"still waiting: {self.unanswered[:3]}")
        assert self.scheduler.drained or not self.scheduler.shutting_down

    def _one_good_thing(self) -> bool:
        if self.opening:
            self.opened()
        elif self.cancels:
            self.cancel_closed(self.cancels[0])
        elif self.running:
            self.finished(next(iter(self.running)))
        elif self.resets:
            self.reset_done(self.resets[0])
        elif self.lent:
            self.released(next(iter(self.lent)))
        elif self.closing:
            self.closed(self.closing[0])
        else:
            return False
        return True

    # -- carrying out ----------------------------------------------------------------------------------------------

    def _arrive(self, request: Request) -> None:
        self.items.append(request)
        self.answers[id(request)] = None
        self._awaiting[id(request)] = request

    def _gone(self, conn: ConnectionState) -> None:
        self.open.discard(conn)
        for things in (self.running, self.lent):
            things.pop(conn, None)
        for conns in (self.resets, self.opening):
            if conn in conns:
                conns.remove(conn)

    def _event(self, name: str, **arguments: Any) -> None:
        actions = getattr(self.scheduler, name)(**arguments) or []
        if self.recorder is not None:
            self.recorder(name, self.now, arguments, actions)
        self.actions = actions
        self._check_order(actions)
        for action in actions:
            self.log.append((self.now, action))
            _CARRY_OUT[type(action)](self, action)
        check_structure(self.scheduler)
        if name not in ("submit", "acquire", "measured", "terminate", "" if self.scheduler.shutting_down else "cancel"):
            check_served(self.scheduler, self.now)
        if not self.slow_close:
            caused = list(actions)
            while self.closing:
                self.closed(self.closing[0])
                caused += self.actions
            self.actions = caused

    def _open(self, action: Open) -> None:
        assert action.conn.state is State.OPENING
        self.opening.append(action.conn)
        server = len(self.opening) + len(self.open) + len(self.closing)
        assert server <= self.scheduler.limits.max_size, "more connections than allowed"

    def _use(self, conn: ConnectionState) -> None:
        assert conn in self.open, "not an open connection"
        for place in (self.running, self.lent, self.cancels, self.resets):
            assert conn not in place, "the connection is in use"

    def _send(self, action: Send) -> None:
        self._use(action.conn)
        group, limits = action.group, self.scheduler.limits
        assert 1 <= len(group) <= limits.group_max
        assert len({s.query.kind for s in group}) == 1, "READs and WRITEs are mixed"
        if len(group) > 1:
            assert all(s.query.groupable and s.query.fast and not s.alone for s in group)
            assert sum(s.query.mean for s in group) <= limits.group_time + 1e-9
        assert [s.ticket for s in group] == sorted({s.ticket for s in group})
        for running in self.running.values():
            assert not {*map(id, running)} & {*map(id, group)}, "sent twice at a time"
        for statement in group:
            assert self.answers[id(statement)] is None, "sent after it was answered"
        self.running[action.conn] = group

    def _lend(self, action: Lend) -> None:
        self._use(action.conn)
        self._answer(action.waiter, Deliver([]))
        self.lent[action.conn] = action.waiter

    def _cancel(self, action: Cancel) -> None:
        assert action.conn in self.running, "nothing to cancel"
        assert action.conn not in self.cancels
        self.cancels.append(action.conn)

    def _reset(self, action: Reset) -> None:
        self._use(action.conn)
        self.resets.append(action.conn)

    def _close(self, action: Close) -> None:
        conn = action.conn
        assert conn not in self.closing
        for statement in self.running.get(conn, ()):
            assert self.answers.get(id(statement), conn) is not None, "closed before all were answered"
        self._gone(conn)
        self.closing.append(conn)

    def _deliver(self, action: Deliver) -> None:
        assert action.group
        for statement in action.group:
            self._answer(statement, action)

    def _fail(self, action: Fail) -> None:
        assert action.sent == any(action.request is s for group in self.running.values() for s in group) or (
            action.reason is Reason.LOST
        )
        self._answer(action.request, action)

    def _answer(self, request: Request, answer: Deliver | Fail) -> None:
        assert id(request) in self.answers, "answered after its caller had gone"
        assert self.answers[id(request)] is None, "answered twice"
        self.answers[id(request)] = answer
        del self._awaiting[id(request)]

    def _check_order(self, actions: Sequence[Action]) -> None:
        """First come, first served: a connection goes to the oldest of those who can be served."""
        served = (a for a in actions if isinstance(a, (Send, Lend)))
        tickets = [(a.group[0] if isinstance(a, Send) else a.waiter).ticket for a in served]
        assert tickets == sorted(tickets), "a connection was given to the later one first"
        queues = self.scheduler.queues
        for queue in (queues.alone, queues.sessions) if tickets else ():
            assert not queue or queue[0].ticket > tickets[-1], "a request that came first still waits"
        for queue in (queues.reads, queues.writes) if tickets else ():
            if queue and queue[0].ticket < tickets[-1]:
                enough = lanes_suffice(self.scheduler, queue[0].query.kind)
                assert enough, "a statement that came first still waits"


_CARRY_OUT: dict[type, Callable[[World, Any], None]] = {
    Open: World._open,
    Send: World._send,
    Lend: World._lend,
    Cancel: World._cancel,
    Reset: World._reset,
    Close: World._close,
    Deliver: World._deliver,
    Fail: World._fail,
}
