"""Waking the one task that waits, on every event loop."""

import asyncio
import contextvars
import gc
import weakref
from asyncio import tasks as asyncio_tasks
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers.wake import EventWaker, FutureWaker, TurnWaker, Waker, make_crowd_waker, make_waker

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


@BOTH
async def test_going_on_wakes_too(make: Make) -> None:
    waker, woken = make(), list[int]()
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


class Crowd:
    """Tasks that wait for the crowd's wakers; asyncio only."""

    def __init__(self, size: int) -> None:
        self.wakers = [make_crowd_waker() for _ in range(size)]
        self.steps: list[int] = []
        self.tasks = [asyncio.create_task(self.run(number)) for number in range(size)]

    async def run(self, number: int) -> None:
        while True:
            await self.wakers[number]
            self.steps.append(number)
            self.on_step(number)

    def on_step(self, number: int) -> None:
        """What a test does in a step."""

    async def cancel(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


asyncio_only = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@asyncio_only
async def test_a_crowd_goes_on_in_one_turn_of_the_loop_and_in_order() -> None:
    crowd = Crowd(5)
    await checkpoint()
    for number in (3, 0, 4, 1):
        crowd.wakers[number].wake()
        crowd.wakers[number].wake()  # once more is nothing more
    assert crowd.steps == []
    await checkpoint()
    assert crowd.steps == [3, 0, 4, 1]
    await crowd.cancel()


@asyncio_only
async def test_whom_a_woken_task_wakes_goes_on_in_the_next_turn() -> None:
    crowd = Crowd(2)
    turns: list[int] = []
    crowd.on_step = lambda number: crowd.wakers[1 - number].wake()  # type: ignore[method-assign]
    await checkpoint()
    crowd.wakers[0].wake()
    for _ in range(4):
        await checkpoint()
        turns.append(len(crowd.steps))
    assert turns == [1, 2, 3, 4]  # everybody else has their turns between
    await crowd.cancel()


@asyncio_only
async def test_a_task_that_is_woken_and_cancelled_is_cancelled() -> None:
    crowd = Crowd(1)
    await checkpoint()
    crowd.wakers[0].wake()
    crowd.tasks[0].cancel()
    await asyncio.wait(crowd.tasks)
    assert crowd.tasks[0].cancelled()
    assert crowd.steps == []


@asyncio_only
async def test_each_goes_on_in_its_own_context() -> None:
    name = contextvars.ContextVar[str]("name")
    seen: list[str] = []
    wakers = [make_crowd_waker() for _ in range(2)]

    async def run(number: int) -> None:
        name.set(f"task {number}")
        await wakers[number]
        seen.append(name.get())

    running = [asyncio.create_task(run(number)) for number in range(2)]
    await checkpoint()
    name.set("the waking one")
    wakers[0].go_on()
    wakers[1].wake()
    await asyncio.wait(running)
    assert seen == ["task 0", "task 1"]
    assert name.get() == "the waking one"


@asyncio_only
async def test_going_on_runs_the_step_as_its_own_task_before_it_returns() -> None:
    seen: list[object] = []
    crowd = Crowd(1)
    crowd.on_step = lambda number: seen.append(asyncio.current_task())  # type: ignore[method-assign]
    await checkpoint()
    me = asyncio.current_task()
    crowd.wakers[0].go_on()
    assert seen == crowd.tasks
    assert asyncio.current_task() is me
    await crowd.cancel()


def exit_in_a_step(number: int) -> None:
    if number == 1:
        raise SystemExit(number)


def test_an_exit_in_one_tasks_step_leaves_the_loop_and_keeps_the_others_wakes() -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Crowd:
        crowd = Crowd(4)
        await checkpoint()
        crowd.on_step = exit_in_a_step  # type: ignore[method-assign]
        return crowd

    async def wake() -> None:
        for waker in crowd.wakers:
            waker.wake()
        await checkpoint()

    crowd = loop.run_until_complete(start())
    waking = loop.create_task(wake())
    with pytest.raises(SystemExit):
        loop.run_until_complete(waking)
    assert crowd.steps == [0, 1]
    loop.run_until_complete(waking)
    assert crowd.steps == [0, 1, 2, 3]
    with pytest.raises(SystemExit):
        crowd.tasks[1].result()
    loop.run_until_complete(crowd.cancel())
    loop.close()


def test_an_exit_in_a_step_within_another_tasks_is_the_loops() -> None:
    loop = asyncio.new_event_loop()
    outcome: list[str] = []

    async def start() -> None:
        crowd = Crowd(2)
        await checkpoint()
        crowd.on_step = exit_in_a_step  # type: ignore[method-assign]
        crowd.wakers[1].go_on()
        outcome.append("unharmed")
        await crowd.cancel()

    task = loop.create_task(start())
    with pytest.raises(SystemExit):
        loop.run_until_complete(task)
    assert outcome == ["unharmed"]
    loop.run_until_complete(task)
    loop.close()


@asyncio_only
async def test_tasks_written_in_python_can_wait_for_it_too() -> None:
    python_task: Any = asyncio_tasks._PyTask  # type: ignore[attr-defined]
    loop = asyncio.get_running_loop()
    done: list[str] = []

    async def run(waker: Waker) -> None:
        try:
            await waker
            done.append("woken")
        except asyncio.CancelledError:
            done.append("cancelled")

    def start(coroutine: Coroutine[Any, Any, None]) -> Any:
        return python_task(coroutine, loop=loop)

    wakers = [make_crowd_waker() for _ in range(2)]
    running = [start(run(waker)) for waker in wakers]
    await checkpoint()
    wakers[0].wake()
    running[1].cancel()
    for task in running:
        await task
    assert done == ["woken", "cancelled"]


def test_a_loop_that_has_ended_is_not_kept() -> None:
    async def make() -> Waker:
        return make_crowd_waker()

    loop = asyncio.new_event_loop()
    waker = loop.run_until_complete(make())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert isinstance(waker, TurnWaker)
