"""Workers: named channels of a layer are handled by an application, until they are told to stop."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from consumers import (
    AsyncConsumer,
    ChannelNameRouter,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    ProtocolTypeRouter,
    StopConsumer,
    SyncConsumer,
)
from consumers.types import ASGIApp, Message, Receive, Scope, Send
from consumers.worker import Worker

from ..support.pages import ROOT
from ..support.wire import PATIENCE, Queue, eventually


class Log(Queue):
    """What consumers have done, in order."""

    def add(self, *entry: Any) -> None:
        self.put({"entry": entry})

    async def next(self) -> tuple[Any, ...]:
        with anyio.fail_after(PATIENCE):
            entry: tuple[Any, ...] = (await self.get())["entry"]
            return entry


@pytest.fixture
def log() -> Log:
    return Log()


def recorder(log: Log, **attributes: Any) -> ASGIApp:
    """Make a consumer that logs what it gets, fails, stops or waits as it is told to."""

    class Recorder(AsyncConsumer):
        instances = 0

        def __init__(self) -> None:
            type(self).instances += 1
            self.number = self.instances

        async def note(self, message: Message) -> None:
            log.add(self.scope["channel"], self.number, message["n"])

        async def wait(self, message: Message) -> None:
            log.add("waits")
            await message_gate(message).wait()
            log.add("waited")

        async def crash(self, message: Message) -> None:
            raise RuntimeError("as told")

        async def finish(self, message: Message) -> None:
            raise StopConsumer

        async def answer(self, message: Message) -> None:
            await self.send({"type": "chat.message"})

    for name, value in attributes.items():
        setattr(Recorder, name, value)
    return Recorder.as_asgi()


_gates: dict[str, anyio.Event] = {}


def message_gate(message: Message) -> anyio.Event:
    """Return the event that a handler waits for; messages themselves are copied on their way."""
    return _gates[message["gate"]]


@pytest.fixture
def gate() -> anyio.Event:
    """An event that `{"type": "wait", "gate": "gate"}` waits for."""
    event = _gates["gate"] = anyio.Event()
    return event


WAIT = {"type": "wait", "gate": "gate"}


def note(n: int) -> Message:
    return {"type": "note", "n": n}


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    """Run a worker; on leaving, it is stopped and no task is left."""
    tasks_before = len(anyio.get_running_tasks())
    with anyio.fail_after(4 * PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            try:
                yield
                worker.stop()
            except BaseException:
                tasks.cancel_scope.cancel()
                raise
    assert len(anyio.get_running_tasks()) == tasks_before


class Impatient(Worker):
    restart_delay = 0.01
    disconnect_timeout = 0.05


@pytest.mark.anyio
async def test_each_channel_has_one_consumer_that_gets_its_messages_in_order(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    channels: dict[str, ASGIApp] = {"images": recorder(log), "mails": recorder(log)}
    application = ProtocolTypeRouter({"channel": ChannelNameRouter(channels)})
    async with running(Worker(application, ["images", "mails"])):
        for n in (1, 2):
            await layer.send("images", note(n))
            assert await log.next() == ("images", 1, n)
        await layer.send("mails", note(3))
        assert await log.next() == ("mails", 1, 3)


@pytest.mark.anyio
async def test_it_receives_from_the_layer_it_is_given(layer: InMemoryChannelLayer, log: Log) -> None:
    other = InMemoryChannelLayer()
    await other.send("images", note(1))
    async with running(Worker(recorder(log), ["images"], other)):
        assert await log.next() == ("images", 1, 1)


@pytest.mark.anyio
async def test_a_channel_named_twice_is_run_once(layer: InMemoryChannelLayer, log: Log) -> None:
    async with running(Worker(recorder(log), ["images", "images"])):
        for n in (1, 2):
            await layer.send("images", note(n))
            assert await log.next() == ("images", 1, n)


async def others_had_a_chance() -> None:
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_while_its_handler_runs_a_consumer_takes_no_further_message(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event
) -> None:
    async with running(Worker(recorder(log), ["images"])):
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
        for n in range(40):
            await layer.send("images", note(n))
        await others_had_a_chance()
        assert layer.channels["images"] == 40
        gate.set()
        assert await log.next() == ("waited",)
        assert [(await log.next())[2] for _ in range(40)] == list(range(40))


@pytest.mark.anyio
async def test_a_consumer_takes_as_many_messages_as_it_has_handlers_free(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event
) -> None:
    async with running(Worker(recorder(log, max_tasks=3), ["images"])):
        for _ in range(5):
            await layer.send("images", WAIT)
        assert [await log.next() for _ in range(3)] == [("waits",)] * 3
        await others_had_a_chance()
        assert layer.channels["images"] == 2
        gate.set()
        assert sorted([await log.next() for _ in range(7)]) == [("waited",)] * 5 + [("waits",)] * 2


@pytest.mark.anyio
async def test_what_waits_in_this_process_alone_is_handled_before_it_stops(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event
) -> None:
    worker = Worker(recorder(log), ["images"])
    async with running(worker):
        await layer.send("images", WAIT)
        for n in range(3):
            await layer.send("images", note(n))
        assert await log.next() == ("waits",)
        worker.stop()
        await layer.send("images", note(3))
        gate.set()
    assert await log.next() == ("waited",)
    assert [(await log.next())[2] for _ in range(3)] == [0, 1, 2]
    assert not log
    assert layer.channels == {"images": 1}


@pytest.mark.anyio
@pytest.mark.parametrize("max_tasks", [1, 4])
async def test_no_message_is_lost_behind_one_whose_handler_raises(
    max_tasks: int, layer: InMemoryChannelLayer, log: Log
) -> None:
    class Quick(Worker):
        restart_delay = 0.001

    layer.capacity = 200
    async with running(Quick(recorder(log, max_tasks=max_tasks), ["images"])):
        for n in range(200):
            await layer.send("images", {"type": "crash"} if n % 10 == 9 else note(n))
        handled = [(await log.next())[2] for _ in range(180)]
    assert sorted(handled) == [n for n in range(200) if n % 10 != 9]


@pytest.mark.anyio
async def test_what_a_failed_application_had_not_handed_to_a_handler_is_given_to_the_next_one(
    layer: InMemoryChannelLayer,
) -> None:
    got: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        worker = scope["extensions"]["consumers.worker"]
        worker.serve(lambda: 2)
        messages = [await receive(), await receive()]
        got.extend(message["n"] for message in messages)
        if len(got) == 2:
            worker.give_back(messages[1:])
            raise RuntimeError("as told")
        await receive()

    async with running(Impatient(application, ["images"])):
        for n in (1, 2, 3):
            await layer.send("images", note(n))
        await eventually(lambda: len(got) == 4)
    assert got == [1, 2, 2, 3]


@pytest.mark.anyio
async def test_what_nobody_can_handle_any_more_is_put_back_before_what_waits(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        worker = scope["extensions"]["consumers.worker"]
        worker.serve(lambda: 2)
        messages = [await receive(), await receive()]
        log.add(*(message["n"] for message in messages))
        try:
            await anyio.sleep_forever()
        finally:
            worker.give_back(messages)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(application, ["images"]).run)
        for n in (1, 2, 3):
            await layer.send("images", note(n))
        assert await log.next() == (1, 2)
        tasks.cancel_scope.cancel()
    assert [(await layer.receive("images"))["n"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.anyio
async def test_what_no_handler_gets_in_time_is_counted_in_the_log(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Impatient(recorder(log), ["images"])):
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
        await layer.send("images", note(1))
    assert "channel 'images': 1 message(s) are left that no handler has got" in caplog.text
    assert layer.channels == {"images": 1}


@pytest.mark.anyio
async def test_a_handler_that_does_not_end_is_cancelled_after_the_consumers_disconnect_timeout(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Worker(recorder(log, disconnect_timeout=0.05), ["images"])):
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
    assert not log
    assert "handlers cancelled: 1" in caplog.text


@pytest.mark.anyio
async def test_an_application_that_asks_no_more_is_cancelled_after_the_workers_disconnect_timeout(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        log.add((await receive())["n"])
        await anyio.sleep_forever()

    async with running(Impatient(application, ["images"])):
        await layer.send("images", note(1))
        assert await log.next() == (1,)
    assert "channel 'images': the application was cancelled" in caplog.text


@pytest.mark.anyio
async def test_the_workers_own_timeout_leaves_a_consumer_its_time_to_finish(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event
) -> None:
    worker = Impatient(recorder(log), ["images"])
    async with running(worker):
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
        worker.stop()
        await anyio.sleep(2 * worker.disconnect_timeout)
        gate.set()
    assert await log.next() == ("waited",)


@pytest.mark.anyio
async def test_a_crash_is_logged_and_its_channel_gets_a_fresh_consumer(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    application = ChannelNameRouter({"images": recorder(log), "mails": recorder(log)})
    async with running(Impatient(application, ["images", "mails"])):
        await layer.send("mails", note(1))
        assert await log.next() == ("mails", 1, 1)
        await layer.send("images", {"type": "crash"})
        await eventually(lambda: "the application failed" in caplog.text)
        await layer.send("images", note(2))
        assert await log.next() == ("images", 2, 2)
        await layer.send("mails", note(3))
        assert await log.next() == ("mails", 1, 3)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "channel 'images': the application failed and is restarted in 0.01 s"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "as told"


@pytest.mark.anyio
async def test_stopping_does_not_wait_for_a_restart(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(recorder(log), ["images"])
    worker.restart_delay = 1000
    async with running(worker):
        await layer.send("images", {"type": "crash"})
        await eventually(lambda: "the application failed" in caplog.text)
        await layer.send("images", note(1))
        await others_had_a_chance()
        assert layer.channels == {"images": 1}
    assert await log.next() == ("images", 2, 1)


@pytest.mark.anyio
async def test_an_idle_worker_stops_without_a_pause(layer: InMemoryChannelLayer, log: Log) -> None:
    worker = Worker(recorder(log), ["images"])
    worker.restart_delay = 1000
    async with running(worker):
        await others_had_a_chance()


@pytest.mark.anyio
async def test_a_crash_while_it_stops_is_logged_without_a_restart(
    layer: InMemoryChannelLayer, log: Log, gate: anyio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(recorder(log), ["images"])
    async with running(worker):
        await layer.send("images", WAIT)
        await layer.send("images", {"type": "crash"})
        assert await log.next() == ("waits",)
        worker.stop()
        gate.set()
    assert [r.getMessage() for r in caplog.records if r.exc_info] == ["channel 'images': the application failed"]


@pytest.mark.anyio
async def test_a_channel_whose_application_returns_at_once_keeps_no_other_waiting(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    consumer = recorder(log)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["channel"] == "images":
            await consumer(scope, receive, send)

    async with running(Worker(application, ["images", "mails"])):
        await layer.send("images", note(1))
        assert await log.next() == ("images", 1, 1)


@pytest.mark.anyio
async def test_a_layer_that_is_down_is_asked_only_after_a_pause(log: Log) -> None:
    calls = []

    class Down(InMemoryChannelLayer):
        async def receive(self, channel: str) -> dict[str, Any]:
            calls.append(channel)
            raise ConnectionError("Redis is down")

    worker = Worker(recorder(log), ["images"], Down())
    worker.restart_delay = 1000
    async with running(worker):
        await others_had_a_chance()
    assert calls == ["images"]


@pytest.mark.anyio
async def test_a_consumer_that_stops_itself_is_followed_by_a_fresh_one(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(recorder(log), ["images"])
    worker.restart_delay = 1000
    async with running(worker):
        await layer.send("images", {"type": "finish"})
        await eventually(lambda: not layer.channels.get("images"))
        await others_had_a_chance()
        await layer.send("images", note(1))
        assert await log.next() == ("images", 2, 1)
    assert "failed" not in caplog.text


@pytest.mark.anyio
async def test_a_channel_without_an_application_stops_the_worker_before_any_message_is_taken(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    await layer.send("images", note(1))
    router = ChannelNameRouter({"images": recorder(log)})

    async def slow_to_fail(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["channel"] == "nope":
            await anyio.wait_all_tasks_blocked()
        await router(scope, receive, send)

    worker = Worker(slow_to_fail, ["images", "nope"])
    with anyio.fail_after(PATIENCE), pytest.raises(ValueError, match="'nope'; configured: 'images'") as caught:
        await worker.run()
    assert caught.value.__notes__ == ["The worker could not start the application for channel 'nope'"]
    assert layer.channels == {"images": 1}
    assert not log


@pytest.mark.anyio
async def test_an_application_that_returns_at_once_is_not_called_in_a_busy_loop(layer: InMemoryChannelLayer) -> None:
    calls = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append({key: value for key, value in scope.items() if key != "extensions"})

    async with running(Worker(application, ["images"])):
        await others_had_a_chance()
    assert calls == [{"type": "channel", "channel": "images"}]


@pytest.mark.anyio
async def test_an_application_that_knows_no_end_is_stopped_when_it_is_idle(layer: InMemoryChannelLayer) -> None:
    got: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            got.append((await receive())["type"])

    async with running(Worker(application, ["images"])):
        await layer.send("images", note(1))
        await eventually(lambda: got)
    assert got == ["note", "websocket.disconnect"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "message", [{}, {"type": None}, {"type": ["note"]}, {"type": "websocket.disconnect"}, {"type": "http.disconnect"}]
)
async def test_a_message_that_no_handler_may_get_is_dropped(
    message: Message, unchecked_layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Worker(recorder(log), ["images"])):
        await unchecked_layer.send("images", message)
        await unchecked_layer.send("images", note(1))
        assert await log.next() == ("images", 1, 1)
    assert f"channel 'images': a message was dropped, its type is {message.get('type')!r}" in caplog.text


@pytest.mark.anyio
async def test_a_failing_layer_is_asked_again_and_handlers_go_on(
    log: Log, gate: anyio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    class Flaky(InMemoryChannelLayer):
        calls = 0

        async def receive(self, channel: str) -> dict[str, Any]:
            self.calls += 1
            if self.calls == 2:
                raise ConnectionError("Redis is down")
            return await super().receive(channel)

    layer = Flaky()
    async with running(Impatient(recorder(log, max_tasks=2), ["images"], layer)):
        await layer.send("images", WAIT)
        await layer.send("images", note(1))
        assert await log.next() == ("waits",)
        assert await log.next() == ("images", 1, 1)
        gate.set()
        assert await log.next() == ("waited",)
    assert layer.calls >= 3
    assert "channel 'images': the layer failed and is asked again in 0.01 s" in caplog.text


@pytest.mark.anyio
async def test_a_handler_that_sends_to_the_client_is_told_that_there_is_none(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Impatient(recorder(log), ["images"])):
        await layer.send("images", {"type": "answer"})
        await eventually(lambda: "channel 'images' has no client to send 'chat.message' to" in caplog.text)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_sync_consumer_works(layer: InMemoryChannelLayer, log: Log) -> None:
    done = []

    class Thumbnails(SyncConsumer):
        def note(self, message: Message) -> None:
            done.append(message["n"])
            handled.set()

    handled = threading.Event()
    async with running(Worker(Thumbnails.as_asgi(), ["images"])):
        await layer.send("images", note(1))
        assert await anyio.to_thread.run_sync(handled.wait, PATIENCE)
    assert done == [1]


@pytest.mark.anyio
async def test_a_cancellation_ends_it_at_once(layer: InMemoryChannelLayer, log: Log, gate: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(recorder(log), ["images"]).run)
        await layer.send("images", WAIT)
        assert await log.next() == ("waits",)
        tasks.cancel_scope.cancel()
    assert not log


@pytest.mark.anyio
async def test_a_start_and_a_stop_are_one_line_each(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "consumers")
    async with running(Worker(recorder(log), ["images", "mails"])):
        await layer.send("images", note(1))
        await log.next()
    assert caplog.messages == ["worker starts: images, mails", "worker has stopped: images, mails"]


def test_a_missing_layer_is_named(no_layer: None, log: Log) -> None:
    with pytest.raises(InvalidChannelLayerError, match="'default'"):
        Worker(recorder(log), ["images"])


@pytest.mark.parametrize(
    ("application", "channels", "error", "match"),
    [
        (AsyncConsumer, ["images"], TypeError, r"write AsyncConsumer\.as_asgi\(\)"),
        (None, ["images"], TypeError, "None is no ASGI application"),
        (AsyncConsumer.as_asgi(), "images", TypeError, "a list of channel names, not the str 'images'"),
        (AsyncConsumer.as_asgi(), [], ValueError, "at least one"),
        (AsyncConsumer.as_asgi(), ["images", "no name"], TypeError, "'no name' has ' ' at position 2"),
    ],
)
def test_mistakes_are_found_before_it_runs(
    application: Any, channels: Any, error: type[Exception], match: str, layer: InMemoryChannelLayer
) -> None:
    with pytest.raises(error, match=match):
        Worker(application, channels)


# The command line

MODULE = """
import anyio
from consumers import AsyncConsumer, ChannelNameRouter, InMemoryChannelLayer, channel_layers, get_channel_layer


class Layer(InMemoryChannelLayer):
    async def close(self):
        print("layer: closed", flush=True)


channel_layers.configure({"default": {"BACKEND": Layer}})


class Mails(AsyncConsumer):
    async def go_on(self, message):
        print("mails: message", flush=True)
        await anyio.sleep(0.3)
        print("mails: handled", flush=True)

    async def hang(self, message):
        print("mails: hangs", flush=True)
        await anyio.sleep_forever()


class Images(AsyncConsumer):
    groups = ["never"]

    async def on(self, message):
        await get_channel_layer().send("mails", {"type": message["then"]})


class Starter(AsyncConsumer):
    async def __call__(self, scope, receive, send):
        self.start_with = scope["channel"]
        await get_channel_layer().send("images", {"type": "on", "then": scope["channel"]})
        await super().__call__(scope, receive, send)


application = ChannelNameRouter({
    "go.on": Starter.as_asgi(), "hang": Starter.as_asgi(), "images": Images.as_asgi(), "mails": Mails.as_asgi(),
})
nothing = None
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "asgi.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import no_such_library\n", encoding="utf-8")
    return tmp_path


def start_worker(project: Path, *arguments: str) -> subprocess.Popen[str]:
    # -P keeps Python from putting the current directory on its path: the command has to.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "consumers", "worker", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_command_when_the_handler_is_done(number: signal.Signals, project: Path) -> None:
    with start_worker(project, "shop.asgi:application", "go.on", "images", "mails") as process:
        assert next_line(process) == "mails: message"
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert output == "mails: handled\nlayer: closed\n"
    assert process.returncode == 0, errors
    warning, start, stop = errors.splitlines()
    assert "channel layer 'default' is in memory" in warning
    assert start.endswith("INFO consumers.worker: worker starts: go.on, images, mails")
    assert stop.endswith("INFO consumers.worker: worker has stopped: go.on, images, mails")


def test_a_second_signal_cancels_the_handlers(project: Path) -> None:
    with start_worker(project, "shop.asgi:application", "hang", "images", "mails") as process:
        assert next_line(process) == "mails: hangs"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=8)
    assert process.returncode == 1, errors
    assert "again: handlers are cancelled" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shop.asgi:application", "images", "nope"], "channel name 'nope'; configured: 'go.on', 'hang', 'images'"),
        (["--layer", "spare", "shop.asgi:application", "images"], "no channel layer 'spare' (configured: 'default')"),
        (["shop.asgi", "images"], "'shop.asgi' is not of the form package.module:attribute"),
        (["shop.nope:application", "images"], "no module 'shop.nope'"),
        (["nope.asgi:application", "images"], "no module 'nope'"),
        (["shop.asgi:nope", "images"], "has no attribute 'nope'"),
        (["shop.asgi:nothing", "images"], "None is no ASGI application"),
        (["shop.asgi:Images", "images"], "write Images.as_asgi()"),
        (["shop.asgi:application", "no name"], "'no name' has ' ' at position 2"),
        (["shop.asgi:application"], "the following arguments are required: channel"),
    ],
)
def test_a_usage_error_says_what_is_wrong(arguments: list[str], message: str, project: Path) -> None:
    with start_worker(project, *arguments) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2, errors
    assert message in errors
    assert "Traceback" not in errors


def test_an_error_inside_the_module_keeps_its_traceback(project: Path) -> None:
    with start_worker(project, "broken:application", "images") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "import no_such_library" in errors
