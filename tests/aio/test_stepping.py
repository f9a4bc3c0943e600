"""The worker's steps that are taken without its task, on asyncio."""

import asyncio
import contextvars
import gc
import threading
import weakref
from asyncio import tasks as asyncio_tasks
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers._aio.stepping import SteppingMailbox
from consumers.types import Message

from ..support.threads import in_two_threads

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["waits", "serves"])
def crowd_class(request: pytest.FixtureRequest) -> "type[Crowd]":
    return ServingCrowd if request.param == "serves" else Crowd


def make_mailbox() -> SteppingMailbox:
    return SteppingMailbox(100, 2**20, 100)


def step_now(mailbox: SteppingMailbox) -> None:
    """Let the worker handle a message within the running task's step, as `feed()` does."""
    mailbox.put({})
    mailbox._step_now()


async def raise_it(error: BaseException, message: Message) -> None:
    raise error


async def serve(mailbox: SteppingMailbox, *jobs: Callable[[], Awaitable[Any]]) -> None:
    """Serve as many messages as there are jobs, each of which does one, and then no more."""
    left = list(jobs)

    async def do(job: Callable[[], Awaitable[Any]]) -> None:
        mailbox.is_closed = not left
        await job()

    await mailbox.serve(lambda message, _: do(left.pop(0)), raise_it)


class Crowd:
    """Tasks that wait for their mailboxes."""

    def __init__(self, size: int) -> None:
        self.mailboxes = [make_mailbox() for _ in range(size)]
        self.steps: list[int] = []
        self.tasks = [asyncio.create_task(self.run(number)) for number in range(size)]

    async def run(self, number: int) -> None:
        while True:
            await self.mailboxes[number].wait()
            self.steps.append(number)
            self.on_step(number)

    def on_step(self, number: int) -> None:
        """What a test does in a step."""

    def wake(self, number: int) -> None:
        self.mailboxes[number].notify()

    async def cancel(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


class ServingCrowd(Crowd):
    """Workers, each of which serves its mailbox."""

    def __init__(self, size: int) -> None:
        self.task_steps = 0
        super().__init__(size)

    async def run(self, number: int) -> None:
        await CountingSteps(self, self.mailboxes[number].serve(lambda message, _: self.handle(number), raise_it))

    async def handle(self, number: int) -> None:
        self.steps.append(number)
        self.on_step(number)

    def wake(self, number: int) -> None:
        self.mailboxes[number].put({})
        self.mailboxes[number].notify()


class CountingSteps:
    """Counts in `crowd.task_steps` how often a task steps what it awaits."""

    def __init__(self, crowd: ServingCrowd, awaitable: Awaitable[None]) -> None:
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
        crowd.wake(number)
    assert crowd.steps == []
    await checkpoint()
    assert crowd.steps == [3, 0, 4, 1]
    await crowd.cancel()


async def test_whom_a_woken_worker_wakes_goes_on_in_the_next_turn(crowd_class: type[Crowd]) -> None:
    crowd = crowd_class(2)
    turns: list[int] = []
    crowd.on_step = lambda number: crowd.wake(1 - number)  # type: ignore[method-assign]
    await checkpoint()
    crowd.wake(0)
    for _ in range(4):
        await checkpoint()
        turns.append(len(crowd.steps))
    assert turns == [1, 2, 3, 4]  # everybody else has their turns between
    await crowd.cancel()


async def test_a_worker_that_is_woken_and_cancelled_is_cancelled(crowd_class: type[Crowd]) -> None:
    crowd = crowd_class(1)
    await checkpoint()
    crowd.wake(0)
    crowd.tasks[0].cancel()
    await asyncio.wait(crowd.tasks)
    assert crowd.tasks[0].cancelled()
    assert crowd.steps == []


async def test_each_goes_on_in_its_own_context() -> None:
    name = contextvars.ContextVar[str]("name")
    seen: list[str] = []
    mailboxes = [make_mailbox() for _ in range(2)]

    async def note() -> None:
        seen.append(name.get())

    async def run(number: int) -> None:
        name.set(f"worker {number}")
        await serve(mailboxes[number], note)

    running = [asyncio.create_task(run(number)) for number in range(2)]
    await checkpoint()
    name.set("the waking one")
    step_now(mailboxes[0])
    mailboxes[1].put({})
    mailboxes[1].notify()
    await asyncio.wait(running)
    assert seen == ["worker 0", "worker 1"]
    assert name.get() == "the waking one"


async def test_a_step_within_another_tasks_is_the_workers_own() -> None:
    seen: list[object] = []
    crowd = ServingCrowd(1)
    crowd.on_step = lambda number: seen.append(asyncio.current_task())  # type: ignore[method-assign]
    await checkpoint()
    me = asyncio.current_task()
    step_now(crowd.mailboxes[0])
    assert seen == crowd.tasks
    assert asyncio.current_task() is me
    await crowd.cancel()


async def test_what_a_reader_puts_is_handled_in_its_own_step() -> None:
    crowd, seen = ServingCrowd(1), list[int]()
    await checkpoint()

    async def read() -> None:
        for _ in range(3):
            crowd.mailboxes[0].put({})
            crowd.mailboxes[0].put({})
            seen.append(len(crowd.steps))
            await checkpoint()

    await crowd.mailboxes[0].feed(read())
    assert seen == [0, 2, 4]
    await crowd.cancel()


async def test_a_worker_that_is_told_at_once_takes_its_step_before_that_returns() -> None:
    crowd = ServingCrowd(1)
    await checkpoint()
    crowd.mailboxes[0].put({})
    crowd.mailboxes[0].notify_now()
    assert crowd.steps == [0]
    crowd.wake(0)
    await checkpoint()
    assert crowd.steps == [0, 0]
    await crowd.cancel()


def exit_in_a_step(number: int) -> None:
    if number == 1:
        raise SystemExit(number)


def test_an_exit_in_one_workers_step_leaves_the_loop_and_keeps_the_others_wakes(crowd_class: type[Crowd]) -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Crowd:
        crowd = crowd_class(4)
        await checkpoint()
        crowd.on_step = exit_in_a_step  # type: ignore[method-assign]
        return crowd

    async def wake() -> None:
        for number in range(4):
            crowd.wake(number)
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
        crowd = ServingCrowd(2)
        await checkpoint()
        crowd.on_step = exit_in_a_step  # type: ignore[method-assign]
        step_now(crowd.mailboxes[1])
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

    async def run(mailbox: SteppingMailbox) -> None:
        try:
            await mailbox.wait()
            done.append("woken")
        except asyncio.CancelledError:
            done.append("cancelled")

    def start(coroutine: Coroutine[Any, Any, None]) -> Any:
        return python_task(coroutine, loop=loop)

    mailboxes = [make_mailbox() for _ in range(2)]
    running = [start(run(mailbox)) for mailbox in mailboxes]
    await checkpoint()
    mailboxes[0].notify()
    running[1].cancel()
    for task in running:
        await task
    assert done == ["woken", "cancelled"]


def test_a_loop_that_has_ended_is_not_kept() -> None:
    async def make() -> SteppingMailbox:
        return make_mailbox()

    loop = asyncio.new_event_loop()
    mailbox = loop.run_until_complete(make())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert mailbox.messages == []


async def test_a_step_from_one_wait_to_the_next_is_none_of_the_tasks() -> None:
    crowd = ServingCrowd(3)
    await checkpoint()
    before = crowd.task_steps
    for _ in range(4):
        for number in range(3):
            crowd.wake(number)
        await checkpoint()
    step_now(crowd.mailboxes[0])
    assert len(crowd.steps) == 13
    assert crowd.task_steps == before
    await crowd.cancel()


async def test_a_task_that_is_cancelled_in_a_step_of_its_own_hears_of_it_at_once() -> None:
    def cancel(number: int) -> None:
        crowd.tasks[number].cancel("enough")

    crowd = ServingCrowd(1)
    crowd.on_step = cancel  # type: ignore[method-assign]
    await checkpoint()
    crowd.wake(0)
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await crowd.tasks[0]
    assert crowd.steps == [0]


async def test_a_cancellation_in_the_last_step_is_not_lost() -> None:
    mailbox = make_mailbox()

    async def cancel() -> None:
        task.cancel()

    async def run() -> None:
        await serve(mailbox, cancel)
        await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await checkpoint()
    step_now(mailbox)
    with pytest.raises(asyncio.CancelledError):
        await task


class Stubborn(asyncio.Future[int]):
    def cancel(self, msg: object = None) -> bool:
        return False


async def cancel_itself_and_await(future: asyncio.Future[int]) -> None:
    """Let a worker do so in a step of its own."""
    mailbox = make_mailbox()

    async def cancel_and_await() -> None:
        task.cancel("enough")
        await future

    task = asyncio.create_task(serve(mailbox, cancel_and_await))
    await checkpoint()
    step_now(mailbox)
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task


async def test_what_a_worker_awaits_that_has_cancelled_itself_is_cancelled() -> None:
    shared = asyncio.get_running_loop().create_future()
    await cancel_itself_and_await(shared)
    assert shared.cancelled()


async def test_a_future_that_cannot_be_cancelled_any_more_can_still_be_awaited_by_others() -> None:
    shared = Stubborn()
    await cancel_itself_and_await(shared)
    asyncio.get_running_loop().call_soon(shared.set_result, 1)
    assert await shared == 1


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3)])
def test_an_error_in_a_step_is_not_lost_to_a_cancellation(error: BaseException) -> None:
    loop = asyncio.new_event_loop()
    seen: list[BaseException] = []

    async def start() -> None:
        mailbox = make_mailbox()

        async def cancel_and_raise() -> None:
            task.cancel()
            raise error

        async def run() -> None:
            try:
                await serve(mailbox, cancel_and_raise)
            except BaseException as caught:
                seen.append(caught)
            await asyncio.sleep(60)

        task = loop.create_task(run())
        await checkpoint()
        mailbox.put({})
        mailbox.notify()
        await asyncio.wait([task])
        assert task.cancelled()

    loop.run_until_complete(start())
    loop.close()
    assert seen == [error]


async def test_a_cancellation_that_a_handler_swallows_is_over() -> None:
    mailbox = make_mailbox()
    seen: list[str] = []

    async def sleep() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        seen.append("slept")

    async def note() -> None:
        seen.append("handled")

    task = asyncio.create_task(serve(mailbox, sleep, note))
    await checkpoint()
    mailbox.put({})
    mailbox.notify()
    await checkpoint()
    task.cancel()
    await checkpoint()
    await checkpoint()
    assert seen == ["slept"]
    mailbox.put({})
    mailbox.notify()
    await task
    assert seen == ["slept", "handled"]


async def test_where_a_worker_waits_can_be_seen() -> None:
    mailbox = make_mailbox()
    forever = asyncio.get_running_loop().create_future()

    async def a_handler() -> None:
        await forever

    mailbox.put({})
    task = asyncio.create_task(serve(mailbox, a_handler))
    await anyio.wait_all_tasks_blocked()
    assert mailbox.cr_frame is not None
    assert mailbox.cr_frame.f_code.co_name == "serve_in_turn"
    assert mailbox.cr_await.cr_code.co_name == "do"
    assert mailbox.cr_await.cr_await.cr_code.co_name == "a_handler"
    forever.set_result(None)
    await task
    assert mailbox.cr_frame is None


def test_what_is_served_is_closed_with_its_task() -> None:
    loop = asyncio.new_event_loop()
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("closed")

    async def run() -> None:
        mailbox = make_mailbox()
        mailbox.put({})
        await serve(mailbox, wait)

    running = run()
    task = loop.create_task(running)
    loop.run_until_complete(checkpoint())
    running.close()
    assert seen == ["closed"]
    task.cancel()
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        loop.run_until_complete(task)
    loop.close()


def test_workers_of_two_event_loops_go_on_at_the_same_time() -> None:
    meeting = threading.Barrier(2)

    async def meet() -> None:
        meeting.wait(5)  # within the turn of each loop

    async def main() -> None:
        mailbox = make_mailbox()
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(mailbox, meet))
            await asyncio.sleep(0)
            mailbox.put_layer({})

    in_two_threads(lambda: asyncio.run(main()))


async def test_what_is_thrown_into_a_reader_is_thrown_once() -> None:
    mailbox = make_mailbox()
    caught: list[BaseException] = []

    async def read() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(60)
            except ZeroDivisionError as error:
                caught.append(error)
        await asyncio.sleep(0)

    reading: Any = mailbox.feed(read())
    reading.send(None)
    errors = [ZeroDivisionError(), ZeroDivisionError()]
    for error in errors:
        reading.throw(error)
    with pytest.raises(StopIteration):
        reading.send(None)
    assert caught == errors
