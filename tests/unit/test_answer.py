"""What a caller awaits: where its task goes on, and in which order."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from db_pool_rs.simple.answer import Answer


async def waiting(log: list[Any], answer: Answer[int]) -> None:
    try:
        log.append(await answer)
    except BaseException as error:
        log.append(error)
        raise


async def started(log: list[Any]) -> tuple[Answer[int], asyncio.Task[None]]:
    """An answer, and the task that waits for it."""
    answer: Answer[int] = Answer(asyncio.get_running_loop())
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


async def test_the_task_goes_on_where_the_answer_is_found() -> None:
    log: list[Any] = []
    answer, task = await started(log)

    def arrive() -> None:
        answer.set_result(7)
        log.append("after")

    await on_the_loop(arrive)
    assert log == [7, "after"]
    await task


async def test_inside_another_task_it_goes_through_the_loop() -> None:
    log: list[Any] = []
    answer, task = await started(log)
    answer.set_result(7)
    log.append("after")
    await task
    assert log == ["after", 7]


async def test_an_error_goes_through_the_loop() -> None:
    log: list[Any] = []
    answer, task = await started(log)
    error = ValueError("x")

    def arrive() -> None:
        answer.set_exception(error)
        log.append("after")

    await on_the_loop(arrive)
    with pytest.raises(ValueError, match="x"):
        await task
    assert log == ["after", error]


async def test_an_answer_that_is_there_is_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    answer: Answer[int] = Answer(loop)
    answer.set_result(7)
    assert await answer == 7
    failed: Answer[int] = Answer(loop)
    failed.set_exception(ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        await failed
    with pytest.raises(asyncio.InvalidStateError):
        Answer(loop).result()


async def test_a_task_that_is_cancelled_hears_of_it() -> None:
    log: list[Any] = []
    answer, task = await started(log)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer.done()
    assert answer.cancelled()
    assert isinstance(log[0], asyncio.CancelledError)


async def test_cancelled_when_the_answer_was_there_already() -> None:
    log: list[Any] = []
    answer, task = await started(log)
    answer.set_result(7)  # goes through the loop
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not answer.cancelled()


async def test_the_task_keeps_its_context() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    async def work() -> None:
        variable.set("inside")
        await answer
        seen.append(variable.get())

    answer: Answer[int] = Answer(asyncio.get_running_loop())
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await on_the_loop(answer.set_result, 1)
    assert (seen, variable.get()) == (["inside"], "outside")
    await task


async def test_many_go_on_one_after_the_other() -> None:
    log: list[Any] = []
    pairs = [await started(log) for _ in range(5)]

    def arrive() -> None:
        for number, (answer, _) in enumerate(pairs):
            answer.set_result(number)

    await on_the_loop(arrive)
    assert log == [0, 1, 2, 3, 4]
    await asyncio.gather(*(task for _, task in pairs))
