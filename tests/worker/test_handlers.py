"""A worker gives a message when a handler is free, whatever else the consumer, or what is around it, does."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from consumers import AsyncConsumer, BaseChannelLayer, InMemoryChannelLayer, StopConsumer, channel_layers
from consumers.types import ASGIApp, Message, Receive, Scope, Send
from consumers.worker import Worker

from ..support.wire import eventually
from ..support.workers import Impatient, note, running

pytestmark = pytest.mark.anyio


class Jobs(AsyncConsumer):
    """Sends itself a note for each job, on its own channel, and counts both."""

    jobs: list[int]
    notes: list[int]

    def __init_subclass__(cls) -> None:
        cls.jobs, cls.notes = [], []

    async def job(self, message: Message) -> None:
        await self.channel_layer.send(self.channel_name, {"type": "job.note", "n": message["n"]})
        await anyio.lowlevel.checkpoint()
        self.jobs.append(message["n"])

    async def job_note(self, message: Message) -> None:
        self.notes.append(message["n"])


def job(n: int) -> Message:
    return {"type": "job", "n": n}


@pytest.mark.parametrize("tasks", [1, 3])
async def test_a_consumer_may_get_messages_on_its_own_channel_too(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Own(Jobs):
        max_tasks = tasks

    async with running(Impatient(Own.as_asgi(), ["images"])):
        for n in range(30):
            await layer.send("images", job(n))
        await eventually(lambda: len(Own.jobs) == len(Own.notes) == 30)
    assert sorted(Own.jobs) == sorted(Own.notes) == list(range(30))


@pytest.mark.parametrize("tasks", [1, 3])
async def test_middleware_may_drop_and_add_messages(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Plain(Jobs):
        max_tasks = tasks

        async def job(self, message: Message) -> None:
            self.jobs.append(message["n"])

    def middleware(app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            added: list[Message] = []

            async def changed() -> Message:
                while True:
                    if added:
                        return added.pop()
                    message = await receive()
                    if message["type"] == "job" and message["n"] % 3 == 0:
                        continue
                    if message["type"] == "job" and message["n"] % 3 == 1:
                        added.append(job(100 + message["n"]))
                    return dict(message)

            await app(scope, changed, send)

        return wrapped

    async with running(Impatient(middleware(Plain.as_asgi()), ["images"])):
        for n in range(12):
            await layer.send("images", job(n))
        await eventually(lambda: len(Plain.jobs) == 12)
    assert sorted(Plain.jobs) == [1, 2, 4, 5, 7, 8, 10, 11, 101, 104, 107, 110]


async def test_a_handler_that_runs_has_the_consumers_time_although_more_waits(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(Jobs):
        gate = anyio.Event()
        started = anyio.Event()

        async def job(self, message: Message) -> None:
            self.started.set()
            await self.gate.wait()
            self.jobs.append(message["n"])

    worker = Impatient(Slow.as_asgi(), ["images"])
    async with running(worker):
        await layer.send("images", job(1))
        await Slow.started.wait()
        await layer.send("images", job(2))
        worker.stop()
        await eventually(lambda: anyio.current_time() > worker.deadline + 0.05)
        Slow.gate.set()
    assert Slow.jobs == [1]
    assert "1 message(s) are left" in caplog.text
    assert "cancelled" not in caplog.text


async def test_two_workers_of_one_process_share_a_channel_and_stop_at_once(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Shared(Jobs):
        async def job(self, message: Message) -> None:
            await anyio.lowlevel.checkpoint()
            self.jobs.append(message["n"])

    workers = [Worker(Shared.as_asgi(), ["images"]) for _ in range(2)]
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        for n in range(40):
            await layer.send("images", job(n))
        for worker in workers:
            worker.stop()
        began = anyio.current_time()
    assert anyio.current_time() - began < 5  # not disconnect_timeout, which is 10
    assert sorted(Shared.jobs) == list(range(40))
    assert not caplog.records


@pytest.mark.parametrize("tasks", [1, 3])
async def test_what_a_consumer_that_stops_has_not_handled_is_the_next_ones(
    layer: InMemoryChannelLayer, tasks: int
) -> None:
    class Stopping(Jobs):
        max_tasks = tasks

        async def job(self, message: Message) -> None:
            self.jobs.append(message["n"])
            raise StopConsumer

    async with running(Impatient(Stopping.as_asgi(), ["images"])):
        for n in range(20):
            await layer.send("images", job(n))
        await eventually(lambda: len(Stopping.jobs) >= 20)
    assert sorted(Stopping.jobs) == list(range(20))


class Sealing(InMemoryChannelLayer):
    """Seals what it sends, and opens what it receives."""

    async def send(self, channel: str, message: Message) -> None:
        await super().send(channel, {"type": "sealed", "content": dict(message)})

    async def receive(self, channel: str) -> dict[str, Any]:
        content: dict[str, Any] = (await super().receive(channel))["content"]
        return content


async def test_a_layers_own_way_to_send_is_not_gone_past_when_a_message_goes_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = Sealing()
    monkeypatch.setitem(channel_layers.backends, "default", layer)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        worker = scope["extensions"]["consumers.worker"]
        worker.serve(lambda: 2)
        got = [await receive(), await receive()]
        taken.set()
        try:
            await anyio.sleep_forever()
        finally:
            worker.give_back(got)

    taken = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(application, ["images"]).run)
        for n in range(2):
            await layer.send("images", note(n))
        await taken.wait()
        tasks.cancel_scope.cancel()
    assert "2 message(s) are left that no handler has got" in caplog.text
    assert not layer.channels


class Odd(BaseChannelLayer):
    """A foreign layer, which gives what is no message."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = ["text", None, {"type": "job", "n": 1}]

    async def receive(self, channel: str) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        if not self.given:
            await anyio.sleep_forever()
        return self.given.pop(0)  # type: ignore[no-any-return]


async def test_what_is_no_message_is_dropped_and_the_next_one_is_handled(
    caplog: pytest.LogCaptureFixture, no_layer: None
) -> None:
    class Plain(Jobs):
        async def job(self, message: Message) -> None:
            self.jobs.append(message["n"])

    async with running(Impatient(Plain.as_asgi(), ["images"], Odd())):
        await eventually(lambda: Plain.jobs == [1])
    assert caplog.text.count("a message was dropped") == 2
