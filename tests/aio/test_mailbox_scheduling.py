"""How a worker hears of its messages, with each kind of mailbox and on each event loop that it is for."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers._aio import choice
from consumers._aio.mailbox import Failed, Handle, Mailbox
from consumers._aio.portable import PortableMailbox
from consumers._aio.stepping import SteppingMailbox
from consumers.types import Message

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[PortableMailbox, SteppingMailbox], ids=["portable", "stepping"])
def kind(request: pytest.FixtureRequest, anyio_backend: str) -> type[Mailbox]:
    """Each kind of mailbox; where the event loop is none of its, the reference again."""
    kind: type[Mailbox] = request.param
    return kind if anyio_backend == "asyncio" else PortableMailbox


Job = Callable[[], Awaitable[Any]]


class Worker:
    """Handles messages, each of which is a job, and notes what it has done."""

    def __init__(self, kind: type[Mailbox]) -> None:
        self.mailbox = kind(100, 2**20, 100)
        self.done: list[object] = []
        self.failures: list[BaseException] = []
        self.has_ended = False

    async def handle(self, job: Job) -> None:
        self.done.append(await job())

    async def failed(self, error: BaseException, message: Message) -> None:
        self.failures.append(error)
        if not isinstance(error, ValueError):
            raise error

    async def run(self) -> None:
        try:
            await self.mailbox.serve(lambda message, _: self.handle(message["job"]), self.failed)
            self.done.append("the end")
        finally:
            self.has_ended = True

    async def do(self, *jobs: Job) -> None:
        for job in jobs:
            assert self.mailbox.put_layer({"job": job})
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def working(kind: type[Mailbox]) -> AsyncIterator[Worker]:
    worker = Worker(kind)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await anyio.wait_all_tasks_blocked()
        yield worker
        tasks.cancel_scope.cancel()
    assert worker.has_ended


def give(value: object) -> Job:
    async def job() -> object:
        return value

    return job


def give_later(value: object) -> Job:
    async def job() -> object:
        for _ in range(3):
            await checkpoint()
        return value

    return job


def fail(error: BaseException) -> Job:
    async def job() -> object:
        raise error

    return job


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("", SteppingMailbox), ("stepping", SteppingMailbox), ("portable", PortableMailbox)],
)
async def test_one_place_decides_which_it_is_and_can_be_told(
    variable: str, expected: type[Mailbox], anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Owner:
        def _on_overflow(self) -> None: ...

        def _on_layer_room(self) -> None: ...

    monkeypatch.setenv(choice.VARIABLE, variable)
    monkeypatch.setattr(choice, "_forced", choice._read_variable())
    mailbox = choice.make_mailbox(100, 2**20, 100, Owner())
    assert type(mailbox) is (expected if anyio_backend == "asyncio" else PortableMailbox)


def test_a_kind_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "fast")
    with pytest.raises(ValueError, match=r"CONSUMERS_MAILBOX is 'fast': use 'portable' or 'stepping'"):
        choice._read_variable()


async def test_messages_are_handled_one_after_the_other_whenever_they_come(kind: type[Mailbox]) -> None:
    async with working(kind) as worker:
        await worker.do(give(1), give(2))
        await worker.do()
        await worker.do(give_later(3), give(4))
        await worker.do(give(5))
    assert worker.done == [1, 2, 3, 4, 5]


async def test_a_handler_may_await_whatever_a_task_can(kind: type[Mailbox]) -> None:
    finished = anyio.Event()

    async def wait() -> object:
        await finished.wait()
        return 3

    async with working(kind) as worker:
        await worker.do(give(1), give_later(2), wait, give_later(4))
        assert worker.done == [1, 2]
        worker.mailbox.notify()  # which it does not wait for
        finished.set()
        await anyio.wait_all_tasks_blocked()
        await worker.do(give(5))
    assert worker.done == [1, 2, 3, 4, 5]


async def test_what_nothing_handles_is_passed_over(kind: type[Mailbox]) -> None:
    worker = Worker(kind)
    seen: list[tuple[object, bool]] = []

    def handle(message: Message, is_clients: bool) -> Awaitable[None] | None:
        seen.append((message["number"], is_clients))
        return worker.handle(give(message["number"])) if message["number"] == 2 else None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, worker.mailbox, handle, worker.failed)
        await anyio.wait_all_tasks_blocked()
        worker.mailbox.put({"number": 1})
        worker.mailbox.put_layer({"number": 2})
        worker.mailbox.put_layer({"number": 3})
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert seen == [(1, True), (2, False), (3, False)]
    assert worker.done == [2]


async def test_a_handlers_error_is_told_and_the_next_message_is_handled(kind: type[Mailbox]) -> None:
    error = ValueError("mine")
    async with working(kind) as worker:
        await worker.do(give(1), fail(error), give_later(2))
        await worker.do(fail(error), give(3))
    assert worker.done == [1, 2, 3]
    assert worker.failures[:2] == [error, error]


@pytest.mark.parametrize("job", [give, give_later])
async def test_what_is_raised_when_it_is_told_leaves_the_task(
    kind: type[Mailbox], job: Callable[[object], Job]
) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with working(kind) as worker:
            await worker.do(job(1), fail(ZeroDivisionError()), give(2))
    assert caught.group_contains(ZeroDivisionError)
    assert worker.done == [1]


@pytest.mark.parametrize("job", [give, give_later])
async def test_serving_ends_when_the_mailbox_is_closed_and_empty(
    kind: type[Mailbox], job: Callable[[object], Job]
) -> None:
    async with working(kind) as worker:
        worker.mailbox.put_layer({"job": job(1)})
        worker.mailbox.is_closed = True
        worker.mailbox.put_anyhow({"job": job(2)})
        await anyio.wait_all_tasks_blocked()
        assert worker.done == [1, 2, "the end"]
        async with anyio.create_task_group() as tasks:  # the worker may wait in the usual way again
            tasks.start_soon(wait, worker.mailbox)
            await anyio.wait_all_tasks_blocked()
            assert worker.mailbox.is_idle
            worker.mailbox.notify()


async def wait(mailbox: Mailbox) -> None:
    await mailbox.wait()


async def serve(mailbox: Mailbox, handle: Handle, failed: Failed, pauses_between: int = 0) -> None:
    await mailbox.serve(handle, failed, pauses_between)


async def test_a_worker_that_waits_is_idle_until_it_is_told(kind: type[Mailbox]) -> None:
    async with working(kind) as worker:
        assert worker.mailbox.is_idle
        worker.mailbox.put_layer({"job": give(1)})
        assert not worker.mailbox.is_idle
        await anyio.wait_all_tasks_blocked()
        assert worker.mailbox.is_idle


async def test_a_mailbox_that_is_stopped_hands_nothing_out(kind: type[Mailbox]) -> None:
    async with working(kind) as worker:
        worker.mailbox.is_stopped = True
        await worker.do(give(1))
        assert len(worker.mailbox.messages) == 1
    assert worker.done == []


async def test_telling_a_worker_that_does_not_wait_is_not_kept(kind: type[Mailbox]) -> None:
    mailbox = kind(100, 2**20, 100)
    mailbox.notify()
    with anyio.move_on_after(0.05) as scope:
        await mailbox.wait()
    assert scope.cancelled_caught
    mailbox.notify()  # a wait that was cancelled
    await checkpoint()
    with anyio.move_on_after(0.05) as scope:
        await mailbox.wait()
    assert scope.cancelled_caught


async def test_a_cancellation_reaches_what_a_handler_awaits_and_the_wait_for_messages(kind: type[Mailbox]) -> None:
    async with working(kind) as worker:
        await worker.do(anyio.sleep_forever)
    assert [type(error) for error in worker.failures] == [anyio.get_cancelled_exc_class()]
    async with working(kind) as worker:
        await worker.do(give(1))
    assert worker.done == [1]
    assert worker.failures == []


async def test_handlers_share_one_context_which_is_not_that_of_whoever_sends(kind: type[Mailbox]) -> None:
    name = contextvars.ContextVar[str]("name")

    async def set_name() -> object:
        name.set("worker")
        return "set"

    async def get_name() -> object:
        return name.get()

    async with working(kind) as worker:
        name.set("sender")
        await worker.do(set_name)
        await worker.do(get_name)
        assert name.get() == "sender"
    assert worker.done == ["set", "worker"]


async def test_the_loop_runs_between_two_messages_as_often_as_it_should(kind: type[Mailbox]) -> None:
    mailbox, turns, seen = kind(100, 2**20, 100), [0], list[int]()

    async def count() -> None:
        while True:
            turns[0] += 1
            await checkpoint()

    async def note() -> None:
        seen.append(turns[0])

    async def failed(error: BaseException, message: Message) -> None:
        raise error

    for _ in range(3):
        mailbox.put_layer({})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, mailbox, lambda message, _: note(), failed, 6)
        tasks.start_soon(count)
        while len(seen) < 3:
            await checkpoint()
        tasks.cancel_scope.cancel()
    assert min(seen[1] - seen[0], seen[2] - seen[1]) >= 5


async def test_what_the_reader_puts_is_handled_before_it_waits_for_more_or_soon_after(kind: type[Mailbox]) -> None:
    async with working(kind) as worker:

        async def read() -> None:
            for number in range(3):
                worker.mailbox.put({"job": give(number), "text": ""})
            await anyio.wait_all_tasks_blocked()
            worker.done.append("read")

        await worker.mailbox.feed(read())
    assert worker.done == [0, 1, 2, "read"]


async def test_what_a_reader_raises_and_a_cancellation_of_it_leave_it(kind: type[Mailbox]) -> None:
    async def read() -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            await checkpoint_that_is_shielded()
            raise

    async def checkpoint_that_is_shielded() -> None:
        with anyio.CancelScope(shield=True):
            await checkpoint()

    async def fail_to_read() -> None:
        await checkpoint()
        raise ZeroDivisionError

    mailbox = kind(100, 2**20, 100)
    with anyio.move_on_after(0.01) as scope:
        await mailbox.feed(read())
    assert scope.cancelled_caught
    with pytest.raises(ZeroDivisionError):
        await mailbox.feed(fail_to_read())


async def test_a_wait_is_cancelled_with_its_message_on_asyncio(kind: type[Mailbox], anyio_backend: str) -> None:
    mailbox = kind(100, 2**20, 100)
    if anyio_backend == "asyncio":
        task = asyncio.create_task(wait(mailbox))
        await checkpoint()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
