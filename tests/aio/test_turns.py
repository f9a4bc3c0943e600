"""Waking thousands of tasks, on asyncio."""

import asyncio
import contextvars
import gc
import weakref
from asyncio import tasks as asyncio_tasks
from collections.abc import Awaitable, Coroutine, Generator
from contextlib import suppress
from types import coroutine
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers._aio.turns import TurnWaker
from consumers._aio.wake import CrowdWaker, Waker, make_crowd_waker

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["awaits", "is driven"])
def crowd_class(request: pytest.FixtureRequest) -> "type[Crowd]":
    return DrivenCrowd if request.param == "is driven" else Crowd


class Crowd:
    """Tasks that wait for the crowd's wakers."""

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


class DrivenCrowd(Crowd):
    """The same with generators that are driven."""

    def __init__(self, size: int) -> None:
        self.task_steps = 0
        super().__init__(size)

    async def run(self, number: int) -> None:
        await CountingSteps(self, self.wakers[number].drive(self.go_on(number)))

    @coroutine
    def go_on(self, number: int) -> Generator[Any, Any, None]:
        while True:
            yield self.wakers[number]
            self.steps.append(number)
            self.on_step(number)


class CountingSteps:
    """Counts in `crowd.task_steps` how often a task steps what it awaits."""

    def __init__(self, crowd: DrivenCrowd, awaitable: Awaitable[None]) -> None:
        self.crowd, self.steps = crowd, awaitable.__await__()

    def __await__(self) -> Any:
        return self

    def __next__(self) -> object:
        self.crowd.task_steps += 1
        return next(self.steps)

    def throw(self, error: BaseException) -> object:
        self.crowd.task_steps += 1
        return self.steps.throw(error)


async def test_a_crowd_goes_on_in_one_turn_of_the_loop_and_in_order(crowd_class: type[Crowd]) -> None:
    crowd = crowd_class(5)
    await checkpoint()
    for number in (3, 0, 4, 1):
        crowd.wakers[number].wake()
        crowd.wakers[number].wake()  # once more is nothing more
    assert crowd.steps == []
    await checkpoint()
    assert crowd.steps == [3, 0, 4, 1]
    await crowd.cancel()


async def test_whom_a_woken_task_wakes_goes_on_in_the_next_turn(crowd_class: type[Crowd]) -> None:
    crowd = crowd_class(2)
    turns: list[int] = []
    crowd.on_step = lambda number: crowd.wakers[1 - number].wake()  # type: ignore[method-assign]
    await checkpoint()
    crowd.wakers[0].wake()
    for _ in range(4):
        await checkpoint()
        turns.append(len(crowd.steps))
    assert turns == [1, 2, 3, 4]  # everybody else has their turns between
    await crowd.cancel()


async def test_a_task_that_is_woken_and_cancelled_is_cancelled(crowd_class: type[Crowd]) -> None:
    crowd = crowd_class(1)
    await checkpoint()
    crowd.wakers[0].wake()
    crowd.tasks[0].cancel()
    await asyncio.wait(crowd.tasks)
    assert crowd.tasks[0].cancelled()
    assert crowd.steps == []


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


async def test_going_on_runs_the_step_as_its_own_task_before_it_returns(crowd_class: type[Crowd]) -> None:
    seen: list[object] = []
    crowd = crowd_class(1)
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


def test_an_exit_in_one_tasks_step_leaves_the_loop_and_keeps_the_others_wakes(crowd_class: type[Crowd]) -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Crowd:
        crowd = crowd_class(4)
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


def test_an_exit_in_a_step_within_another_tasks_is_the_loops(crowd_class: type[Crowd]) -> None:
    loop = asyncio.new_event_loop()
    outcome: list[str] = []

    async def start() -> None:
        crowd = crowd_class(2)
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


async def test_a_driven_step_is_none_of_its_tasks() -> None:
    crowd = DrivenCrowd(3)
    await checkpoint()
    before = crowd.task_steps
    for _ in range(4):
        for waker in crowd.wakers:
            waker.wake()
        await checkpoint()
    crowd.wakers[0].go_on()
    assert len(crowd.steps) == 13
    assert crowd.task_steps == before
    crowd.wakers[0].go_on(as_task=True)
    assert len(crowd.steps) == 14
    assert crowd.task_steps > before
    await crowd.cancel()


async def test_a_task_that_is_cancelled_in_its_own_driven_step_hears_of_it_at_once() -> None:
    def cancel(number: int) -> None:
        crowd.tasks[number].cancel("enough")

    crowd = DrivenCrowd(1)
    crowd.on_step = cancel  # type: ignore[method-assign]
    await checkpoint()
    crowd.wakers[0].wake()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await crowd.tasks[0]
    assert crowd.steps == [0]


async def test_a_cancellation_in_the_last_driven_step_is_not_lost() -> None:
    waker = make_crowd_waker()

    @coroutine
    def go_on() -> Generator[Any, Any, None]:
        yield waker
        task.cancel()

    async def run() -> None:
        await waker.drive(go_on())
        await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await checkpoint()
    waker.go_on()
    with pytest.raises(asyncio.CancelledError):
        await task


class Stubborn(asyncio.Future[int]):
    def cancel(self, msg: object = None) -> bool:
        return False


async def cancel_itself_and_await(future: asyncio.Future[int]) -> None:
    """Let a task do so in a driven step."""
    waker = make_crowd_waker()

    async def cancel_and_await() -> None:
        task.cancel("enough")
        await future

    @coroutine
    def go_on() -> Generator[Any, Any, None]:
        yield waker
        yield from cancel_and_await()

    async def run() -> None:
        await waker.drive(go_on())

    task = asyncio.create_task(run())
    await checkpoint()
    waker.go_on()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task


async def test_what_a_task_awaits_that_has_cancelled_itself_in_a_driven_step_is_cancelled() -> None:
    shared = asyncio.get_running_loop().create_future()
    await cancel_itself_and_await(shared)
    assert shared.cancelled()


async def test_a_future_that_cannot_be_cancelled_any_more_can_still_be_awaited_by_others() -> None:
    shared = Stubborn()
    await cancel_itself_and_await(shared)
    asyncio.get_running_loop().call_soon(shared.set_result, 1)
    assert await shared == 1


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3)])
def test_an_error_in_a_driven_step_is_not_lost_to_a_cancellation(error: BaseException) -> None:
    loop = asyncio.new_event_loop()
    seen: list[BaseException] = []

    async def start() -> None:
        waker = make_crowd_waker()

        @coroutine
        def go_on() -> Generator[Any, Any, None]:
            yield waker
            task.cancel()
            raise error

        async def run() -> None:
            try:
                await waker.drive(go_on())
            except BaseException as caught:
                seen.append(caught)
            await asyncio.sleep(60)

        task = loop.create_task(run())
        await checkpoint()
        waker.wake()
        await asyncio.wait([task])
        assert task.cancelled()

    loop.run_until_complete(start())
    loop.close()
    assert seen == [error]


async def test_a_cancellation_that_is_swallowed_in_a_driven_step_is_over() -> None:
    waker = make_crowd_waker()
    seen: list[str] = []

    async def sleep() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        seen.append("slept")

    @coroutine
    def go_on() -> Generator[Any, Any, None]:
        for _ in range(2):
            try:
                yield waker
            except asyncio.CancelledError:
                seen.append("cancelled")
        yield from sleep()
        yield waker

    async def run() -> None:
        await waker.drive(go_on())

    task = asyncio.create_task(run())
    await checkpoint()
    task.cancel()
    await checkpoint()
    assert seen == ["cancelled"]
    waker.wake()
    await checkpoint()
    task.cancel()
    await checkpoint()
    assert seen == ["cancelled", "slept"]
    waker.wake()
    await task


async def test_where_a_driven_generator_waits_can_be_seen() -> None:
    waker = make_crowd_waker()
    forever = asyncio.get_running_loop().create_future()

    async def a_handler() -> None:
        await forever

    @coroutine
    def go_on() -> Generator[Any, Any, None]:
        yield from a_handler()

    async def run() -> None:
        await waker.drive(go_on())

    task = asyncio.create_task(run())
    await anyio.wait_all_tasks_blocked()
    assert isinstance(waker, TurnWaker)
    assert waker.cr_frame is not None
    assert waker.cr_frame.f_code.co_name == "go_on"
    assert waker.cr_await.cr_code.co_name == "a_handler"
    forever.set_result(None)
    await task
    assert waker.cr_frame is None


def test_a_driven_generator_is_closed_with_its_task() -> None:
    loop = asyncio.new_event_loop()
    seen: list[str] = []

    @coroutine
    def go_on(waker: CrowdWaker) -> Generator[Any, Any, None]:
        try:
            yield waker
        finally:
            seen.append("closed")

    async def run() -> None:
        waker = make_crowd_waker()
        await waker.drive(go_on(waker))

    running = run()
    task = loop.create_task(running)
    loop.run_until_complete(checkpoint())
    running.close()
    assert seen == ["closed"]
    task.cancel()
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        loop.run_until_complete(task)
    loop.close()
