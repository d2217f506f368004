"""Servers that are far away: a model of a client, the way, a server and its disk, in virtual time (rule 3.12)."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from db_pool_rs.drivers.base import STATUS
from db_pool_rs.scheduler.cost import Query
from db_pool_rs.scheduler.model import Action, ConnectionState, Deliver, Limits, Open, Send, StatementRequest
from db_pool_rs.scheduler.scheduler import Scheduler
from db_pool_rs.sql import Lexical, StatementClass
from tests.simple.machine import READ, WRITE, World

#: Seconds that a statement, and a group besides, cost the client and the server: the orders of size that were measured.
CLIENT, SERVER, GROUP = 0.000008, 0.000004, 0.00004
#: The way there and back on one machine.
NEAR = 0.00003


class FarModel:
    """Tasks that ask again and again. The client does one thing at a time, and so does the server.

    Commits that wait for the disk while it is busy share its next turn, as PostgreSQL's do.
    """

    def __init__(self, kind: StatementClass, tasks: int, way: float, commit: float = 0.0, **limits: Any) -> None:
        self.scheduler = Scheduler(Limits(max_size=10, **limits))
        self.kind, self.way, self.commit = kind, way, commit
        self.now = self.server = 0.0
        #: When the disk began what it does now, and when that ends.
        self.disk = (-1.0, -1.0)
        self.latencies: list[float] = []
        self.groups = 0
        self._born: dict[int, float] = {}
        self._coming: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = itertools.count()
        self._text = Query("X", Lexical(kind, "X", False, 1), groupable=True)
        self._carry_out(self.scheduler.start(0.0))
        chance = random.Random(5)
        for _ in range(tasks):
            self._at(2 * chance.random() * way, self._ask, 1)

    def run(self, seconds: float) -> float:
        """Let time pass; the statements that were answered in a second of it."""
        self.latencies.clear()
        self.groups, begun, end = 0, self.now, self.now + seconds
        while self.now < end:
            timeout = self.scheduler.timeouts.next_timeout()
            if self._coming[0][0] <= max(self.now, timeout):  # what has arrived is taken in before a timer goes off
                at, _, happen, arguments = heapq.heappop(self._coming)
                self.now = max(self.now, at)
                happen(*arguments)
            else:
                self.now = max(self.now, timeout)
                self._carry_out(self.scheduler.handle_timeout(self.now))
        self.latencies.sort()
        return len(self.latencies) / (self.now - begun)

    def _at(self, when: float, happen: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._coming, (when, next(self._number), happen, arguments))

    def _ask(self, count: int) -> None:
        for _ in range(count):
            statement = StatementRequest(self._text, (), STATUS, None)
            self._born[id(statement)] = self.now
            self.scheduler.submit([statement], self.now)
        self._carry_out(self.scheduler.end_of_tick(self.now, self.scheduler.delivered))

    def _opened(self, conn: ConnectionState) -> None:
        self._carry_out(self.scheduler.opened(conn, self.now, 3600.0, self.way + GROUP))

    def _finished(self, conn: ConnectionState, sent: float) -> None:
        self.now += GROUP
        self._carry_out(self.scheduler.finished(conn, True, self.now, self.now - sent, 0.0))

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Open):
                self._at(self.now + 2 * self.way, self._opened, action.conn)
            elif isinstance(action, Send):
                self.groups += 1
                done = max(self.now + self.way / 2, self.server) + GROUP + SERVER * len(action.group)
                self.server = done
                self._at(self._committed(done) + self.way / 2, self._finished, action.conn, self.now)
            elif isinstance(action, Deliver):
                self.latencies += [self.now - self._born.pop(id(statement)) for statement in action.group]
                self.now += CLIENT * len(action.group)
                self._ask(len(action.group))

    def _committed(self, done: float) -> float:
        """When what the server has done at `done` is on the disk."""
        if not self.commit:
            return done
        begun, ends = self.disk
        if done > begun:
            start = max(done, ends)
            self.disk = (start, start + self.commit)
        return self.disk[1]


def far_away(connections: int, round_trip: float = 0.02) -> World:
    """A world whose server is so far away."""
    world = World(min_size=connections, max_size=connections)
    world.start()
    while world.opening:
        world.opened(round_trip=round_trip)
    return world


def rates(kind: StatementClass, tasks: int, way: float, commit: float, **limits: Any) -> tuple[FarModel, float]:
    """The model at work, and what it carries."""
    model = FarModel(kind, tasks, way, commit, **limits)
    model.run(0.4 + 10 * way)
    return model, model.run(0.3 + 5 * way)


# rule 3.12
def test_all_connections_are_lanes_at_once_where_the_server_is_far_away() -> None:
    world = far_away(4)
    world.run(world.query(cost=0.000001), 250)
    assert world.sizes == [63, 63, 62, 62]


# rule 3.12
def test_where_the_server_is_far_away_no_call_waits_for_a_lane_beside_a_free_connection() -> None:
    world = far_away(4)
    query = world.query()
    for _ in range(4):
        world.run(query)
        assert world.sizes == [1]
    world.run(query, 9)
    assert not world.sends, "no connection is left"
    assert not world.opening
    world.finished(next(iter(world.running)), seconds=0.0201)
    assert world.sizes == [9], "the first lane that comes back takes all that waits"


# rule 3.12
def test_where_the_server_is_far_away_a_queue_opens_as_many_connections_as_it_has_pieces() -> None:
    world = World(min_size=1, max_size=10)
    world.start()
    world.opened(round_trip=0.005)
    query = world.query()
    world.run(query)
    world.run(query, 20)
    while world.opening:
        world.opened(round_trip=0.005)
    assert sorted(map(len, world.running.values())) == [1, 20]


# rule 3.12
def test_the_nearest_connection_says_how_far_the_server_is() -> None:
    """One that was opened while the event loop was busy looks far away, and is not."""
    world = World(min_size=4, max_size=4)
    world.start()
    for round_trip in (0.003, 0.00005, 0.004, 0.003):
        world.opened(round_trip=round_trip)
    world.run(world.query(), 64)
    assert world.sizes == [32, 32]


# rule 3.12
@pytest.mark.parametrize(("kind", "near"), [(READ, 2), (WRITE, 1)])
@pytest.mark.parametrize(("server", "far"), [(0.0001, True), (0.0009, True), (0.0012, False)])
def test_all_lanes_where_the_way_takes_longer_than_the_server(
    kind: StatementClass, near: int, server: float, far: bool
) -> None:
    """Else calls that wait for each other share a commit, or the time of a busy server or client."""
    world, lanes = far_away(4, 0.001), 4 if far else near
    query = world.query(kind)
    for _ in range(50):
        world.run(query)
        world.finished(world.sends[0].conn, seconds=0.001 + server)
        world.end_of_tick()
    for _ in range(4):
        world.run(query)
    assert len(world.running) == lanes


# rule 3.12
def test_where_the_way_is_not_known_it_counts_as_short() -> None:
    world = World(min_size=4, max_size=4)
    world.start()
    while world.opening:
        world.opened(round_trip=None)
    world.run(world.query(), 64)
    assert world.sizes == [32, 32]


# -- in the model ----------------------------------------------------------------------------------------------------


# rule 3.12
@pytest.mark.parametrize(("kind", "commit"), [(READ, 0.0), (WRITE, 0.00006)])
@pytest.mark.parametrize(("tasks", "way"), [(8, 0.001), (64, 0.001), (64, 0.002), (256, 0.005), (64, 0.02)])
def test_a_call_takes_little_more_than_a_round_trip(
    kind: StatementClass, commit: float, tasks: int, way: float
) -> None:
    """What a group costs, commit included, and a wait behind the others; a second round trip would double it."""
    model, rate = rates(kind, tasks, way, commit)
    assert model.latencies[len(model.latencies) // 2] < 1.15 * way + 0.0001
    assert rate > 0.75 * tasks / way


# rule 3.12
@pytest.mark.parametrize(("kind", "commit"), [(READ, 0.0), (WRITE, 0.00006)])
@pytest.mark.parametrize("way", [0.0005, 0.001, 0.005])
def test_many_tasks_get_most_of_what_they_get_from_a_server_that_is_near(
    kind: StatementClass, commit: float, way: float
) -> None:
    _, near = rates(kind, 1024, NEAR, commit)
    _, far = rates(kind, 1024, way, commit)
    assert far > 0.85 * near


# rule 3.12
@pytest.mark.parametrize(("kind", "commit"), [(READ, 0.0), (WRITE, 0.00006), (WRITE, 0.0013)])
def test_nothing_changes_where_the_server_is_near(kind: StatementClass, commit: float) -> None:
    model, rate = rates(kind, 64, NEAR, commit)
    other, unchanged = rates(kind, 64, NEAR, commit, far=float("inf"))
    assert (rate, model.groups) == (unchanged, other.groups)


# rule 3.12
def test_writes_share_commits_where_those_take_longer_than_the_way() -> None:
    model, _ = rates(WRITE, 64, 0.0003, 0.0013)
    assert len(model.latencies) / model.groups > 16


# rule 2.1
def test_more_tasks_than_all_groups_hold_are_a_matter_of_group_max() -> None:
    """640 of 1,024 tasks are under way at a time; with larger groups all are."""
    _, usual = rates(READ, 1024, 0.02, 0.0)
    _, larger = rates(READ, 1024, 0.02, 0.0, group_max=128)
    assert 0.95 * 640 / 0.02 < usual < 640 / 0.02
    assert larger > 0.85 * 1024 / 0.02
