"""What a caller awaits, in Python and in C: where its task goes on, and in which order."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.aio import ResultFuture

Kind = type[ResultFuture[int]]


@pytest.fixture(params=["simple", "balanced"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """The class of each engine that has one of its own."""
    return answers_of(request.param)


def answers_of(mode: str) -> Kind:
    if mode == "simple":
        return ResultFuture
    kind: Kind = pytest.importorskip("db_pool_rs_balanced").ResultFuture
    return kind


async def waiting(log: list[Any], answer: ResultFuture[int]) -> None:
    try:
        log.append(await answer)
    except BaseException as error:
        log.append(error)
        raise


async def started(kind: Kind, log: list[Any]) -> tuple[ResultFuture[int], asyncio.Task[None]]:
    """An answer, and the task that waits for it."""
    answer = kind(asyncio.get_running_loop())
    task = asyncio.create_task(waiting(log, answer))
    await asyncio.sleep(0)
    assert asyncio.isfuture(answer)
    return answer, task


def on_the_loop(function: Any, *args: Any) -> asyncio.Future[None]:
    """Call it as the loop calls what has arrived; done when it has returned."""
    loop = asyncio.get_running_loop()
    called = loop.create_future()

    def call() -> None:
        try:
            function(*args)
        except Exception as error:
            called.set_exception(error)
        else:
            called.set_result(None)

    loop.call_soon(call)
    return called


async def test_the_task_goes_on_where_the_answer_is_found(kind: Kind) -> None:
    log: list[Any] = []
    answer, task = await started(kind, log)

    def arrive() -> None:
        answer.set_result(7)
        log.append("after")

    await on_the_loop(arrive)
    assert log == [7, "after"]
    await task


async def test_inside_another_task_it_goes_through_the_loop(kind: Kind) -> None:
    log: list[Any] = []
    answer, task = await started(kind, log)
    answer.set_result(7)
    log.append("after")
    await task
    assert log == ["after", 7]


async def test_an_error_goes_through_the_loop(kind: Kind) -> None:
    log: list[Any] = []
    answer, task = await started(kind, log)
    error = ValueError("x")

    def arrive() -> None:
        answer.set_exception(error)
        log.append("after")

    await on_the_loop(arrive)
    with pytest.raises(ValueError, match="x"):
        await task
    assert log == ["after", error]


async def test_an_answer_that_is_there_is_not_waited_for(kind: Kind) -> None:
    loop = asyncio.get_running_loop()
    answer = kind(loop)
    answer.set_result(7)
    assert await answer == 7
    failed = kind(loop)
    failed.set_exception(ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        await failed
    with pytest.raises(asyncio.InvalidStateError):
        kind(loop).result()


async def test_a_task_that_is_cancelled_is_told_of_it(kind: Kind) -> None:
    log: list[Any] = []
    answer, task = await started(kind, log)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer.done()
    with pytest.raises(asyncio.CancelledError):
        answer.result()
    assert [type(error) for error in log] == [asyncio.CancelledError]


async def test_cancelled_when_the_answer_was_there_already(kind: Kind) -> None:
    log: list[Any] = []
    answer, task = await started(kind, log)
    answer.set_result(7)  # goes through the loop
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer.result() == 7


async def test_the_task_keeps_its_context(kind: Kind) -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    async def work() -> None:
        variable.set("inside")
        await answer
        seen.append(variable.get())

    answer = kind(asyncio.get_running_loop())
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await on_the_loop(answer.set_result, 1)
    assert (seen, variable.get()) == (["inside"], "outside")
    await task


async def test_many_go_on_one_after_the_other(kind: Kind) -> None:
    log: list[Any] = []
    pairs = [await started(kind, log) for _ in range(5)]

    def arrive() -> None:
        for number, (answer, _) in enumerate(pairs):
            answer.set_result(number)

    await on_the_loop(arrive)
    assert log == [0, 1, 2, 3, 4]
    await asyncio.gather(*(task for _, task in pairs))


def statement(answer: ResultFuture[int], value: Any = None, error: Exception | None = None) -> Any:
    """What `hand_out` looks at of a statement."""
    return SimpleNamespace(future=answer, value=value, error=error)


async def test_a_group_is_handed_out(kind: Kind) -> None:
    loop = asyncio.get_running_loop()
    log: list[Any] = []
    (one, first), (gone, second), (bad, third), (two, fourth) = [await started(kind, log) for _ in range(4)]
    unwatched = kind(loop)
    second.cancel()
    await asyncio.wait((second,))
    log.clear()
    error = ValueError("x")

    def arrive() -> None:
        group = [statement(one, 1), statement(gone, 9), statement(bad, 9, error), statement(two, 2)]
        log.append(kind.hand_out([*group, statement(unwatched, 3)], loop))

    await on_the_loop(arrive)
    await asyncio.gather(first, third, fourth, return_exceptions=True)
    assert log == [1, 2, 1, error], "values at once and in order; the error is counted, and comes later"
    assert unwatched.result() == 3


async def test_inside_a_task_a_group_goes_through_the_loop(kind: Kind) -> None:
    log: list[Any] = []
    pairs = [await started(kind, log) for _ in range(3)]
    group = [statement(answer, number) for number, (answer, _) in enumerate(pairs)]
    assert kind.hand_out(group, asyncio.get_running_loop()) == 0
    assert log == []
    await asyncio.gather(*(task for _, task in pairs))
    assert log == [0, 1, 2]


async def test_there_is_one_answer_and_one_waiter(kind: Kind) -> None:
    log: list[Any] = []
    answer, task = await started(kind, log)
    with pytest.raises(AssertionError, match="a second waiter"):
        answer.add_done_callback(print, context=contextvars.copy_context())
    answer.set_result(1)
    with pytest.raises(AssertionError, match="a second answer"):
        answer.set_result(2)
    with pytest.raises(AssertionError, match="a second answer"):
        answer.set_exception(ValueError())
    assert not answer.cancel()
    await task
    assert log == [1]


async def test_a_callback_for_what_is_done_comes_in_the_next_turn(kind: Kind) -> None:
    answer = kind(asyncio.get_running_loop())
    answer.set_result(1)
    called: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    answer.add_done_callback(called.set_result, context=contextvars.copy_context())
    assert not called.done()
    assert await called is answer


async def test_it_says_how_it_stands(kind: Kind) -> None:
    answer = kind(asyncio.get_running_loop())
    assert (repr(answer), answer.done(), answer.get_loop()) == (
        "<ResultFuture pending>",
        False,
        asyncio.get_running_loop(),
    )
    answer.set_result(1)
    assert (repr(answer), answer.done()) == ("<ResultFuture done>", True)


async def test_a_task_that_waits_for_ever_can_be_collected(kind: Kind) -> None:
    class Value:
        pass

    async def wait() -> None:
        value = Value()
        kept.append(weakref.ref(value))
        await kind(loop)

    loop, kept = asyncio.get_running_loop(), list[Any]()
    coroutine = wait()
    coroutine.send(None)
    coroutine.close()
    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    del coroutine, task
    gc.collect()
    assert [one() for one in kept] == [None, None]


#: asyncio's task in Python, which talks to futures differently from the one in C.
TaskInPython: Any = asyncio.tasks._PyTask  # type: ignore[attr-defined]


@pytest.mark.parametrize("debug", [False, True])
async def test_tasks_written_in_python_wait_for_it_too(kind: Kind, debug: bool) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(debug)
    log: list[Any] = []
    answer, failed = kind(loop), kind(loop)
    tasks = [TaskInPython(waiting(log, one), loop=loop) for one in (answer, failed)]
    await asyncio.sleep(0)
    error = ValueError("x")
    failed.set_exception(error)
    answer.set_result(1)
    await asyncio.wait(tasks)
    assert sorted(log, key=str) == [1, error]
    failed_task = tasks[1]
    assert failed_task.exception() is error


MOVES = st.lists(
    st.tuples(st.sampled_from(["result", "error", "cancel", "hand out", "tick", "inside"]), st.integers(0, 3)),
    max_size=12,
)


@given(moves=MOVES)
def test_both_do_the_same(moves: list[tuple[str, int]]) -> None:
    assert asyncio.run(history(answers_of("balanced"), moves)) == asyncio.run(history(ResultFuture, moves))


async def history(kind: Kind, moves: list[tuple[str, int]]) -> list[str]:
    """What happens to four tasks and their answers."""
    loop = asyncio.get_running_loop()
    log: list[str] = []

    async def wait(number: int) -> None:
        try:
            log.append(f"{number}: {await answers[number]}")
        except BaseException as error:
            log.append(f"{number}: {error!r}")

    def move(what: str, number: int) -> None:
        answer = answers[number]
        try:
            if what == "result":
                answer.set_result(number)
            elif what == "error":
                answer.set_exception(ValueError(number))
            elif what == "cancel":
                log.append(f"cancelled {number}: {answer.cancel()} {tasks[number].cancel()}")
            else:
                log.append(f"handed out: {kind.hand_out([statement(answers[i], i) for i in range(number, 4)], loop)}")
        except AssertionError as error:
            log.append(str(error))

    answers = [kind(loop) for _ in range(4)]
    tasks = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0)
    for what, number in moves:
        if what == "tick":
            await asyncio.sleep(0)
        elif what == "inside":
            move("result", number)
        else:
            await on_the_loop(move, what, number)
        log.append(" ".join(map(repr, answers)))
    for answer in answers:
        answer.cancel()
    await asyncio.wait(tasks)
    return log
