"""The lock of a database: fair, shared or exclusive, never for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.drivers.sqlite.write_lock import WriteLock


class Someone:
    """Asks for the lock, and writes down what became of it."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.name = name
        self.story = story

    def granted(self) -> None:
        self.story.append(self.name)

    def refused(self) -> None:
        self.story.append(f"{self.name} refused")


class Clock:
    """A loop whose time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return self.call_at(self.now + delay, callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(when, callback)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for timer in [one for one in self.timers if one.when <= self.now]:
            self.timers.remove(timer)
            if not timer.cancelled:
                timer.callback()


class Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that `WriteLock` sees."""
    made = Clock()
    monkeypatch.setattr("db_pool_rs.drivers.sqlite.write_lock.get_running_loop", lambda: made)
    return made


def people(names: str) -> tuple[list[str], list[Someone]]:
    story: list[str] = []
    return story, [Someone(name, story) for name in names]


def test_writers_one_at_a_time_in_the_order_they_came() -> None:
    story, (a, b, c) = people("abc")
    lock = WriteLock(60)
    assert lock.take(a, True)
    assert lock.take(a, True), "its holder may ask again"
    assert not lock.take(b, True)
    assert not lock.take(c, True)
    lock.release(b)  # who has nothing gives nothing back
    assert story == []
    lock.release(a)
    assert story == ["b"]
    lock.release(b)
    assert story == ["b", "c"]
    lock.release(c)
    assert lock.take(a, True)


def test_readers_together_and_no_writer_beside_them() -> None:
    story, (a, b, writer, late, c) = people("abwlc")
    lock = WriteLock(60)
    assert lock.take(a, False)
    assert lock.take(b, False)
    assert not lock.take(writer, True)
    assert not lock.take(late, False), "readers do not pass a waiting writer"
    assert not lock.take(c, False)
    lock.release(a)
    assert story == []
    lock.release(b)
    assert story == ["w"]
    lock.release(writer)
    assert story == ["w", "l", "c"]


def test_who_withdraws_makes_way() -> None:
    story, (a, writer, b) = people("awb")
    lock = WriteLock(60)
    lock.take(a, False)
    lock.take(writer, True)
    lock.take(b, False)
    lock.withdraw(writer)
    assert story == ["b"]
    lock.withdraw(writer)
    lock.release(a)
    lock.release(b)
    assert lock.take(writer, True)
    assert story == ["b"]


def test_who_is_kept_waiting_by_one_holder_is_refused(clock: Clock) -> None:
    story, (a, b, c) = people("abc")
    lock = WriteLock(5)
    lock.take(a, True)
    lock.take(b, True)
    clock.advance(3)
    lock.take(c, True)
    clock.advance(1.9)
    assert story == []
    clock.advance(0.1)
    assert story == ["b refused"]
    clock.advance(3)
    assert story == ["b refused", "c refused"]
    lock.release(a)
    assert lock.take(b, True)


def test_a_queue_that_moves_is_waited_for(clock: Clock) -> None:
    """Each holder has less than the patience of those who wait, all together have more."""
    story, crowd = people("abcdefgh")
    lock = WriteLock(5)
    assert [lock.take(one, True) for one in crowd] == [True] + [False] * 7
    for holder in crowd:
        clock.advance(4)
        lock.release(holder)
    assert story == [one.name for one in crowd[1:]]
    assert all(timer.cancelled for timer in clock.timers)


def test_a_reader_behind_a_refused_writer_goes_on(clock: Clock) -> None:
    story, (a, writer, b) = people("awb")
    lock = WriteLock(5)
    lock.take(a, False)
    lock.take(writer, True)
    clock.advance(1)
    assert not lock.take(b, False)
    clock.advance(4)
    assert story == ["w refused", "b"]


class World:
    """A lock, who holds it and who waits for it, as they know themselves."""

    def __init__(self) -> None:
        self.lock = WriteLock(60)
        self.holding: dict[int, str] = {}
        self.waiting: list[tuple[int, str]] = []
        self.people = [Neighbour(self, number) for number in range(6)]

    def take(self, number: int, what: str) -> None:
        if number in self.holding or any(one == number for one, _ in self.waiting):
            return
        if self.lock.take(self.people[number], what == "write"):
            assert not self.waiting, "passed those who wait"
            self.holding[number] = what
        else:
            self.waiting.append((number, what))

    def release(self, number: int) -> None:
        if self.holding.pop(number, None):
            self.lock.release(self.people[number])

    def withdraw(self, number: int) -> None:
        self.waiting = [entry for entry in self.waiting if entry[0] != number]
        self.lock.withdraw(self.people[number])

    def check(self) -> None:
        assert "write" not in self.holding.values() or len(self.holding) == 1
        if self.waiting:
            assert self.holding, "it is free, and a connection waits"
            assert self.waiting[0][1] == "write" or "write" in self.holding.values()


class Neighbour:
    """One of those who ask for the lock."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number

    def granted(self) -> None:
        number, what = self.world.waiting.pop(0)
        assert number == self.number, "first come, first served"
        self.world.holding[number] = what

    def refused(self) -> None:
        raise AssertionError("there was time enough")


events = st.lists(st.tuples(st.sampled_from(["read", "write", "release", "withdraw"]), st.integers(0, 5)), max_size=60)


@given(events=events)
def test_never_a_writer_beside_another_and_none_forgotten(events: list[tuple[str, int]]) -> None:
    world = World()
    for what, number in events:
        if what in ("read", "write"):
            world.take(number, what)
        elif what == "release":
            world.release(number)
        else:
            world.withdraw(number)
        world.check()
    while world.holding:
        world.release(next(iter(world.holding)))
    assert not world.waiting
