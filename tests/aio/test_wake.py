"""Waking the one task that waits, on every event loop."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from types import coroutine
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers._aio.turns import TurnWaker
from consumers._aio.wake import EventWaker, FutureWaker, Waker, make_crowd_waker, make_waker

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("make", [make_waker, make_crowd_waker])
Make = Callable[[], Waker]


async def wait_and_count(waker: Waker, woken: list[int]) -> None:
    await waker
    woken.append(1)


async def test_asyncio_has_a_cheaper_one(anyio_backend: str) -> None:
    is_asyncio = anyio_backend == "asyncio"
    assert isinstance(make_waker(), FutureWaker if is_asyncio else EventWaker)
    assert isinstance(make_crowd_waker(), TurnWaker if is_asyncio else EventWaker)


async def test_the_portable_one_works_on_every_event_loop() -> None:
    waker, woken = EventWaker(), list[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_and_count, waker, woken)
        await anyio.wait_all_tasks_blocked()
        waker.wake()
    assert woken == [1]


@BOTH
async def test_a_wait_ends_when_it_is_woken_and_not_before(make: Make) -> None:
    waker, woken = make(), list[int]()
    for round_ in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_and_count, waker, woken)
            await anyio.wait_all_tasks_blocked()
            assert len(woken) == round_
            waker.wake()


@BOTH
async def test_waking_nobody_is_not_kept_for_the_next_wait(make: Make) -> None:
    waker = make()
    waker.wake()
    with anyio.move_on_after(0.05) as scope:
        await waker
    assert scope.cancelled_caught


@BOTH
async def test_waking_a_cancelled_wait_does_nothing(make: Make) -> None:
    waker, woken = make(), list[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_and_count, waker, woken)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        waker.wake()
    await checkpoint()
    waker.wake()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_and_count, waker, woken)
        await anyio.wait_all_tasks_blocked()
        waker.wake()
    assert woken[-1:] == [1]


async def test_going_on_wakes_too() -> None:
    waker, woken = make_crowd_waker(), list[int]()
    waker.go_on()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_and_count, waker, woken)
        await anyio.wait_all_tasks_blocked()
        waker.go_on()
    assert woken == [1]


@BOTH
async def test_a_wait_can_be_cancelled_by_its_task_and_by_a_scope(make: Make, anyio_backend: str) -> None:
    waker = make()
    with anyio.move_on_after(0.01) as scope:
        await waker
    assert scope.cancelled_caught
    if anyio_backend == "asyncio":
        task = asyncio.create_task(wait_and_count(waker, []))
        await checkpoint()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task


class Worker:
    """Runs jobs, one after the other, in a generator that is driven."""

    def __init__(self) -> None:
        self.waker = make_crowd_waker()
        self.jobs: list[Any] = []  # coroutines
        self.done: list[object] = []
        self.has_ended = False
        self.on_cancellation: Callable[[], object] = lambda: None

    @coroutine
    def steps(self) -> Generator[Any, Any, None]:
        try:
            while True:
                while self.jobs:
                    self.done.append((yield from self.jobs.pop(0)))
                try:
                    yield self.waker
                except anyio.get_cancelled_exc_class():
                    self.on_cancellation()
                    raise
        except EOFError:
            pass
        finally:
            self.has_ended = True

    async def run(self) -> None:
        await self.waker.drive(self.steps())
        self.done.append("the end")

    async def do(self, *jobs: Coroutine[Any, Any, object]) -> None:
        self.jobs += jobs
        self.waker.wake()
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def working() -> AsyncIterator[Worker]:
    worker = Worker()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await anyio.wait_all_tasks_blocked()
        yield worker
        tasks.cancel_scope.cancel()
    assert worker.has_ended


async def give(value: object) -> object:
    return value


async def give_later(value: object) -> object:
    for _ in range(3):
        await checkpoint()
    return value


async def fail(error: BaseException) -> object:
    raise error


async def test_a_driven_generator_goes_on_with_each_wake() -> None:
    async with working() as worker:
        await worker.do(give(1), give(2))
        await worker.do()
        await worker.do(give(3))
        worker.jobs.append(give(4))
        worker.waker.go_on()
        await anyio.wait_all_tasks_blocked()
        worker.jobs.append(give(5))
        worker.waker.go_on(as_task=True)
        await anyio.wait_all_tasks_blocked()
        await worker.do(give(6))
    assert worker.done == [1, 2, 3, 4, 5, 6]


async def test_it_may_await_whatever_a_task_can() -> None:
    finished = anyio.Event()

    async def wait() -> object:
        await finished.wait()
        return 3

    async with working() as worker:
        await worker.do(give(1), give_later(2), wait(), give_later(4))
        assert worker.done == [1, 2]
        worker.waker.wake()  # which it does not wait for
        finished.set()
        await anyio.wait_all_tasks_blocked()
        await worker.do(give(5))
    assert worker.done == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("job", [give, give_later])
async def test_what_it_raises_leaves_the_task(job: Callable[[object], Coroutine[Any, Any, object]]) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with working() as worker:
            await worker.do(job(1), fail(ZeroDivisionError()), give(2))
    assert caught.group_contains(ZeroDivisionError)
    worker.jobs.pop().close()
    assert worker.done == [1]
    assert worker.has_ended


@pytest.mark.parametrize("job", [give, give_later])
async def test_its_end_is_the_end_of_the_wait(job: Callable[[object], Coroutine[Any, Any, object]]) -> None:
    woken = list[int]()
    async with working() as worker:
        await worker.do(job(1), fail(EOFError()))
        assert worker.done == [1, "the end"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_and_count, worker.waker, woken)  # it can be used in the usual way again
            await anyio.wait_all_tasks_blocked()
            assert woken == []
            worker.waker.wake()
        assert woken == [1]


async def test_a_cancellation_reaches_what_it_waits_for() -> None:
    seen: list[str] = []

    async def linger() -> object:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            seen.append("a job")
            raise
        return None

    async with working() as worker:
        await worker.do(linger())
    async with working() as worker:
        await worker.do(give(1))
        worker.on_cancellation = lambda: seen.append("the wait")
    assert seen == ["a job", "the wait"]


async def test_its_steps_share_one_context_which_is_not_that_of_whoever_wakes_it() -> None:
    name = contextvars.ContextVar[str]("name")

    async def set_name() -> object:
        name.set("worker")
        return "set"

    async def get_name() -> object:
        return name.get()

    async with working() as worker:
        name.set("waker")
        await worker.do(set_name())
        await worker.do(get_name())
        worker.jobs.append(get_name())
        worker.waker.go_on()
        await anyio.wait_all_tasks_blocked()
        assert name.get() == "waker"
    assert worker.done == ["set", "worker", "worker"]
