"""The turn to lock the database: fair, shared or exclusive, never for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.simple._sqlite_turn import Turn


class Someone:
    """Asks for the turn, and writes down what became of it."""

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
    """The time that `Turn` sees."""
    made = Clock()
    monkeypatch.setattr("db_pool_rs.simple._sqlite_turn.get_running_loop", lambda: made)
    return made


def people(names: str) -> tuple[list[str], list[Someone]]:
    story: list[str] = []
    return story, [Someone(name, story) for name in names]


def test_writers_one_at_a_time_in_the_order_they_came() -> None:
    story, (a, b, c) = people("abc")
    turn = Turn(60)
    assert turn.take(a, True)
    assert turn.take(a, True), "whoever has it may ask again"
    assert not turn.take(b, True)
    assert not turn.take(c, True)
    turn.release(b)  # who has nothing gives nothing back
    assert story == []
    turn.release(a)
    assert story == ["b"]
    turn.release(b)
    assert story == ["b", "c"]
    turn.release(c)
    assert turn.take(a, True)


def test_readers_together_and_no_writer_beside_them() -> None:
    story, (a, b, writer, late, c) = people("abwlc")
    turn = Turn(60)
    assert turn.take(a, False)
    assert turn.take(b, False)
    assert not turn.take(writer, True)
    assert not turn.take(late, False), "readers do not pass a waiting writer"
    assert not turn.take(c, False)
    turn.release(a)
    assert story == []
    turn.release(b)
    assert story == ["w"]
    turn.release(writer)
    assert story == ["w", "l", "c"]


def test_who_withdraws_makes_way() -> None:
    story, (a, writer, b) = people("awb")
    turn = Turn(60)
    turn.take(a, False)
    turn.take(writer, True)
    turn.take(b, False)
    turn.withdraw(writer)
    assert story == ["b"]
    turn.withdraw(writer)
    turn.release(a)
    turn.release(b)
    assert turn.take(writer, True)
    assert story == ["b"]


def test_who_is_kept_waiting_by_one_holder_is_refused(clock: Clock) -> None:
    story, (a, b, c) = people("abc")
    turn = Turn(5)
    turn.take(a, True)
    turn.take(b, True)
    clock.advance(3)
    turn.take(c, True)
    clock.advance(1.9)
    assert story == []
    clock.advance(0.1)
    assert story == ["b refused"]
    clock.advance(3)
    assert story == ["b refused", "c refused"]
    turn.release(a)
    assert turn.take(b, True)


def test_a_queue_that_moves_is_waited_for(clock: Clock) -> None:
    """Each holder has less than the patience of those who wait, all together have more."""
    story, crowd = people("abcdefgh")
    turn = Turn(5)
    assert [turn.take(one, True) for one in crowd] == [True] + [False] * 7
    for holder in crowd:
        clock.advance(4)
        turn.release(holder)
    assert story == [one.name for one in crowd[1:]]
    assert all(timer.cancelled for timer in clock.timers)


def test_a_reader_behind_a_refused_writer_goes_on(clock: Clock) -> None:
    story, (a, writer, b) = people("awb")
    turn = Turn(5)
    turn.take(a, False)
    turn.take(writer, True)
    clock.advance(1)
    assert not turn.take(b, False)
    clock.advance(4)
    assert story == ["w refused", "b"]


events = st.lists(st.tuples(st.sampled_from(["read", "write", "release", "withdraw"]), st.integers(0, 5)), max_size=60)


@given(events=events)
async def test_never_a_writer_beside_anybody_and_nobody_forgotten(events: list[tuple[str, int]]) -> None:
    turn = Turn(60)
    holding: dict[int, str] = {}
    waiting: list[tuple[int, str]] = []

    class One:
        def __init__(self, number: int) -> None:
            self.number = number

        def granted(self) -> None:
            found = next(entry for entry in waiting if entry[0] == self.number)
            assert found == waiting[0], "first come, first served"
            waiting.remove(found)
            holding[self.number] = found[1]

        def refused(self) -> None:
            raise AssertionError

    ones = [One(number) for number in range(6)]
    for what, number in events:
        busy = number in holding or any(entry[0] == number for entry in waiting)
        if what in ("read", "write") and not busy:
            if turn.take(ones[number], what == "write"):
                assert not waiting, "passed those who wait"
                holding[number] = what
            else:
                waiting.append((number, what))
        elif what == "release" and number in holding:
            del holding[number]
            turn.release(ones[number])
        elif what == "withdraw":
            waiting[:] = [entry for entry in waiting if entry[0] != number]
            turn.withdraw(ones[number])
        assert "write" not in holding.values() or len(holding) == 1
        if waiting:
            head = waiting[0][1]
            assert holding, "it is free, and somebody waits"
            assert head == "write" or "write" in holding.values()
    for number in list(range(6)) * 7:
        if number in holding:
            del holding[number]
            turn.release(ones[number])
    assert not waiting
