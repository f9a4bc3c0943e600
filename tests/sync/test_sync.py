"""Sync consumers in their threads."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from asgiref.sync import async_to_sync, sync_to_async

from consumers import InMemoryChannelLayer, JsonWebsocketConsumer, WebsocketConsumer, _sync
from consumers.testing import WebsocketCommunicator

from ..support.wire import Wire, connected, connecting, eventually, start, websocket_scope

pytestmark = pytest.mark.anyio


only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@only_asyncio
async def test_twenty_blocking_consumers_finish_in_under_three_seconds(layer: InMemoryChannelLayer) -> None:
    class Blocking(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            time.sleep(1)
            self.send(threading.current_thread().name)

    wires = [Wire() for _ in range(20)]
    async with anyio.create_task_group() as tasks:
        for wire in wires:
            start(tasks, wire, Blocking.as_asgi())
        for wire in wires:
            await wire.accepted()
            wire.text("go")
        with anyio.fail_after(3):
            threads = {await wire.next_text() for wire in wires}
        for wire in wires:
            wire.disconnect()
    assert len(threads) == 20


class Room(JsonWebsocketConsumer):
    """Joins a group from its thread, and passes on what it gets."""

    def connect(self) -> None:
        async_to_sync(self.channel_layer.group_add)("room", self.channel_name)
        self.accept()

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        async_to_sync(self.channel_layer.group_send)("room", {"type": "note", "content": content})

    def note(self, event: Any) -> None:
        self.send_json(event["content"])

    def disconnect(self, code: int) -> None:
        async_to_sync(self.channel_layer.group_discard)("room", self.channel_name)


@only_asyncio
async def test_a_sync_consumer_reaches_the_layer_through_async_to_sync(layer: InMemoryChannelLayer) -> None:
    communicators = [WebsocketCommunicator(Room.as_asgi(), "/") for _ in range(3)]
    for communicator in communicators:
        assert await communicator.connect() == (True, None)
    await communicators[0].send_json_to("hi")
    for communicator in communicators:
        assert await communicator.receive_json_from() == "hi"
    for communicator in communicators:
        await communicator.disconnect()
    assert not layer.groups
    assert not layer.channels


@only_asyncio
async def test_senders_in_threads_and_on_other_loops_arrive(layer: InMemoryChannelLayer) -> None:
    async with connected(Room.as_asgi()) as wire:
        message = {"type": "note", "content": "a thread"}
        await anyio.to_thread.run_sync(async_to_sync(layer.group_send), "room", message)
        assert await wire.next_text() == '"a thread"'

        def two_loops() -> None:
            for number in range(2):
                asyncio.run(layer.group_send("room", {"type": "note", "content": number}))

        thread = threading.Thread(target=two_loops)
        thread.start()
        assert [await wire.next_text(), await wire.next_text()] == ["0", "1"]
        await anyio.to_thread.run_sync(thread.join)


@only_asyncio
async def test_context_variables_cross_into_the_threads_and_stay(layer: InMemoryChannelLayer) -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")

    class Setting(WebsocketConsumer):
        def connect(self) -> None:
            user.set("alice")
            self.accept()

        def receive(self, text_data: str) -> None:
            self.send(user.get())

    async with connected(Setting.as_asgi()) as wire:
        wire.text("who")
        assert await wire.next_text() == "alice"


@only_asyncio
async def test_a_thread_keeps_nothing_of_a_connection_that_has_ended(layer: InMemoryChannelLayer) -> None:
    class Secret:
        pass

    secret: ContextVar[Secret | None] = ContextVar("secret", default=None)
    kept: list[weakref.ref[Secret]] = []

    class Holding(WebsocketConsumer):
        def connect(self) -> None:
            value = Secret()
            kept.append(weakref.ref(value))
            secret.set(value)
            self.accept()

    async with connected(Holding.as_asgi()):
        pass
    await eventually(lambda: gc.collect() >= 0 and kept[0]() is None)  # the thread may still be returning


@only_asyncio
async def test_a_sync_handlers_error_leaves_as_it_was_raised(layer: InMemoryChannelLayer) -> None:
    codes: list[int] = []

    class Failing(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            raise LookupError("in a thread")

        def disconnect(self, code: int) -> None:
            codes.append(code)

    async with connected(Failing.as_asgi()) as wire:
        wire.text("go")
        await wire.end()
    assert isinstance(wire.error, LookupError)
    assert wire.close_code == 1011
    assert codes == [1011]


@only_asyncio
async def test_disconnect_waits_for_a_blocked_thread(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    release = threading.Event()

    class Blocking(WebsocketConsumer):
        disconnect_timeout = 0.05

        def receive(self, text_data: str) -> None:
            log.append("blocked")
            release.wait(5)
            log.append("released")

        def disconnect(self, code: int) -> None:
            log.append(code)

    async with connected(Blocking.as_asgi()) as wire:
        wire.text("go")
        await eventually(lambda: log)
        wire.disconnect(1001)
        with anyio.move_on_after(0.2):
            await wire.finished.wait()
        assert log == ["blocked"]
        release.set()
        await wire.end()
    assert log == ["blocked", "released", 1001]


@only_asyncio
async def test_disconnect_is_skipped_and_logged_if_the_thread_never_ends(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[Any] = []
    release = threading.Event()

    class Blocking(WebsocketConsumer):
        disconnect_timeout = 0.05
        cleanup_timeout = 0.1

        def receive(self, text_data: str) -> None:
            log.append("blocked")
            release.wait(5)

        def disconnect(self, code: int) -> None:
            log.append(code)

    async with connected(Blocking.as_asgi()) as wire:
        wire.text("go")
        await eventually(lambda: log)
        wire.disconnect()
        await wire.end()
    release.set()
    assert log == ["blocked"]
    assert "disconnect() was skipped: a handler still blocks its thread" in caplog.text
    assert not layer.channels


@only_asyncio
async def test_a_sync_on_error_that_returns_keeps_the_connection(layer: InMemoryChannelLayer) -> None:
    class Forgiving(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            raise LookupError(text_data)

        def on_error(self, exc: Exception, message: Any) -> None:
            self.send(f"sorry: {exc}")

    async with connected(Forgiving.as_asgi()) as wire:
        for text in "ab":
            wire.text(text)
            assert await wire.next_text() == f"sorry: {text}"
    assert wire.error is None


@only_asyncio
async def test_a_sync_consumer_starts_background_tasks_on_its_loop(layer: InMemoryChannelLayer) -> None:
    class Pushing(WebsocketConsumer):
        def connect(self) -> None:
            self.accept()
            self.start_background_task(self.push, "tick")

        async def push(self, text: str) -> None:
            await self.send(text)
            await anyio.sleep_forever()

    async with connecting(Pushing.as_asgi()) as wire:
        await wire.accepted()
        assert await wire.next_text() == "tick"


@only_asyncio
async def test_a_native_cancellation_in_a_sync_handler_still_disconnects(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    release = threading.Event()

    class Blocking(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            log.append("blocked")
            release.wait(5)

        def disconnect(self, code: int) -> None:
            log.append(code)

    wire = Wire()
    wire.client("connect")
    task = asyncio.ensure_future(Blocking.as_asgi()(websocket_scope(), wire.app_receive, wire.app_send))
    await wire.accepted()
    wire.text("go")
    await eventually(lambda: log)
    task.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["blocked", 1012]
    assert not layer.channels


@only_asyncio
async def test_an_accept_after_the_cancellation_is_followed_by_a_close_frame(layer: InMemoryChannelLayer) -> None:
    entered, release = threading.Event(), threading.Event()

    class Late(WebsocketConsumer):
        def connect(self) -> None:
            entered.set()
            release.wait(5)
            self.accept()

    async with connecting(Late.as_asgi()) as wire:
        await eventually(entered.is_set)
        assert wire.scope is not None
        wire.scope.cancel()
        release.set()
        await wire.end()
    assert [event["type"] for event in wire.sent] == ["websocket.accept", "websocket.close"]
    assert wire.close_code == 1012


@only_asyncio
async def test_a_handler_that_is_cancelled_before_its_thread_begins_never_runs(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    begin: list[Callable[[], None]] = []

    class Hesitant(Executor):
        """Has taken what it is to run, so that it cannot be cancelled, but has not begun."""

        def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_running_or_notify_cancel()
            begin.append(lambda: future.set_result(function(*args, **kwargs)))
            return future

    monkeypatch.setattr(_sync, "_threads", Hesitant())
    threads = _sync.Threads(thread_sensitive=False)
    task = asyncio.ensure_future(threads.run(log.append, "handled"))
    await eventually(lambda: begin)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await threads.wait()  # the connection ends now
    begin[0]()
    assert log == []


@only_asyncio
async def test_forty_blocked_handlers_of_others_keep_no_disconnect_from_running(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    release = threading.Event()

    class Blocking(WebsocketConsumer):
        disconnect_timeout = 0.05

        def connect(self) -> None:
            self.accept()

        def receive(self, text_data: str) -> None:
            log.append("blocked")
            release.wait(10)

        def disconnect(self, code: int) -> None:
            log.append(code)

    wires = [Wire() for _ in range(41)]
    async with anyio.create_task_group() as tasks:
        for wire in wires:
            start(tasks, wire, Blocking.as_asgi())
        for wire in wires:
            await wire.accepted()
        for wire in wires[:40]:
            wire.text("go")
        await eventually(lambda: log == ["blocked"] * 40)
        wires[40].text("go")
        wires[40].disconnect(1001)
        await wires[40].end()
        assert log[40:] == [1001]
        release.set()
        for wire in wires[:40]:
            wire.disconnect()


@only_asyncio
async def test_a_stop_iteration_in_a_sync_handler_is_an_error_like_others(layer: InMemoryChannelLayer) -> None:
    class Iterating(WebsocketConsumer):
        groups = ["room"]

        def note(self, event: Any) -> None:
            next(iter([]))

    async with connected(Iterating.as_asgi()) as wire:
        await layer.group_send("room", {"type": "note"})
        await wire.end()
    assert "note raised StopIteration" in str(wire.error)


@only_asyncio
@pytest.mark.parametrize("sensitive", [True, False])
async def test_a_sync_consumers_background_tasks_may_use_threads_and_fail(
    layer: InMemoryChannelLayer, sensitive: bool
) -> None:
    class Pushing(WebsocketConsumer):
        thread_sensitive = sensitive

        def receive(self, text_data: str) -> None:
            self.start_background_task(self.run_async if text_data == "async" else self.run_plain, text_data)

        async def run_async(self, text: str) -> None:
            await self.send(await sync_to_async(str.upper)(text))
            raise LookupError("as it was")

        def run_plain(self, text: str) -> None:
            self.send(text)

    async with connected(Pushing.as_asgi()) as wire:
        wire.text("plain")
        assert await wire.next_text() == "plain"
        wire.text("async")
        assert await wire.next_text() == "ASYNC"
        await wire.end()
    assert isinstance(wire.error, LookupError)


@only_asyncio
async def test_an_async_handler_of_a_sync_consumer_says_what_to_write(layer: InMemoryChannelLayer) -> None:
    class Mixed(WebsocketConsumer):
        groups = ["room"]

        async def note(self, event: Any) -> None: ...

    async with connected(Mixed.as_asgi()) as wire:
        await layer.group_send("room", {"type": "note"})
        await wire.end()
    assert "Mixed.note() must be a plain `def`" in str(wire.error)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_sync_consumer_on_trio_says_that_it_needs_asyncio() -> None:
    async with connecting(WebsocketConsumer.as_asgi()) as wire:
        await wire.end()
    assert "sync consumers need asyncio" in str(wire.error)


@only_asyncio
async def test_a_sync_handler_stops_a_background_task_and_a_task_starts_another(layer: InMemoryChannelLayer) -> None:
    log: list[str] = []

    class Ticking(WebsocketConsumer):
        cleanup_timeout = 60.0

        def receive(self, text_data: str) -> None:
            if text_data == "start":
                self.task = self.start_background_task(self.first)
            else:
                self.task.cancel()

        async def first(self) -> None:
            self.start_background_task(self.second)
            try:
                await anyio.sleep_forever()
            finally:
                log.append("stopped")

        async def second(self) -> None:
            log.append("second")

    async with connected(Ticking.as_asgi()) as wire:
        wire.text("start")
        await eventually(lambda: log == ["second"])
        wire.text("stop")
        await eventually(lambda: log == ["second", "stopped"])


@only_asyncio
async def test_an_error_in_disconnect_is_not_lost_when_the_handlers_threads_are_busy(
    layer: InMemoryChannelLayer,
) -> None:
    release = threading.Event()
    blocked: list[int] = []

    class Blocking(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            blocked.append(1)
            release.wait(10)

    class Failing(WebsocketConsumer):
        def disconnect(self, code: int) -> None:
            raise LookupError("in disconnect")

    wires = [Wire() for _ in range(40)]
    async with anyio.create_task_group() as tasks:
        for wire in wires:
            start(tasks, wire, Blocking.as_asgi())
        for wire in wires:
            await wire.accepted()
        failing = Wire()
        start(tasks, failing, Failing.as_asgi())
        await failing.accepted()
        for wire in wires:
            wire.text("go")
        await eventually(lambda: len(blocked) == 40)
        failing.disconnect()
        await failing.end()
        assert isinstance(failing.error, LookupError)
        release.set()
        for wire in wires:
            wire.disconnect()
