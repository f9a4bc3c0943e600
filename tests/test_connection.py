"""The rules of a connection, on both event loops."""

import asyncio
import gc
import logging
import random
import weakref
from contextvars import ContextVar, Token
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest
from starlette.websockets import WebSocketDisconnect

from consumers import (
    AsyncConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    ChannelFull,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    InvalidFrame,
    StopConsumer,
    channel_layers,
)
from consumers.types import ASGIApp

from .wire import KEEPS_NATIVE_CANCELLATIONS, Wire, connected, connecting, eventually, run_app, start, websocket_scope

pytestmark = pytest.mark.anyio


def nothing_left(layer: InMemoryChannelLayer) -> bool:
    return not layer.groups and not layer.channels


class Recorder(AsyncWebsocketConsumer):
    """Records what happens to it in `log`, a list given to `as_asgi()`."""

    groups = ["everyone"]
    disconnect_timeout = 0.2
    cleanup_timeout = 0.5

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    async def connect(self) -> None:
        self.log.append("connect")
        await self.accept()

    async def receive(self, text_data: str) -> None:
        self.log.append(text_data)
        match text_data.split():
            case ["boom"]:
                raise RuntimeError("boom")
            case ["sleep"]:
                await anyio.sleep(60)
            case ["close", code]:
                await self.close(int(code), "because")
            case ["stop"]:
                raise StopConsumer
            case ["echo", *_]:
                await self.send(text_data)

    async def disconnect(self, code: int) -> None:
        self.log.append(("disconnect", code))


def disconnects(log: list[Any]) -> list[Any]:
    return [entry for entry in log if isinstance(entry, tuple)]


# The endings


async def test_a_sleeping_handler_does_not_hide_a_disconnect(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        started = anyio.current_time()
        wire.disconnect(1001)
        await wire.end()
        assert anyio.current_time() - started < 2
    assert disconnects(log) == [("disconnect", 1001)]
    assert nothing_left(layer)
    assert "handlers cancelled: 1, waiting messages dropped: 0" in caplog.text


async def test_messages_before_the_close_are_handled_before_disconnect(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        for number in range(50):
            wire.text(str(number))
        wire.disconnect(1000)
        await wire.end()
    assert log == ["connect", *map(str, range(50)), ("disconnect", 1000)]


async def test_what_the_drain_has_no_time_for_is_dropped_and_counted(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.text("sleep")
        wire.text("never")
        wire.text("ever")
        wire.disconnect()
        await wire.end()
    assert log == ["connect", "sleep", ("disconnect", 1000)]
    assert "handlers cancelled: 1, waiting messages dropped: 2" in caplog.text


async def send_and_leave_in_one_go(app: ASGIApp, text: str) -> None:
    """Let a client connect, and its one message and its disconnect come together."""
    wire = Wire()
    script: list[dict[str, Any]] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": text},
        {"type": "websocket.disconnect", "code": 1000},
    ]

    async def receive() -> dict[str, Any]:
        event = script.pop(0)
        if event["type"] == "websocket.receive":
            await wire.accepted()
        return event

    with anyio.fail_after(5):
        await app(websocket_scope(), receive, wire.app_send)


async def test_the_drain_has_an_end_if_messages_and_the_disconnect_come_in_one_go(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    await send_and_leave_in_one_go(Recorder.as_asgi(log=log), "sleep")
    assert log == ["connect", "sleep", ("disconnect", 1000)]


@pytest.mark.parametrize("handling", [0.0, 0.02])
async def test_disconnect_has_its_own_time_after_the_drain(layer: InMemoryChannelLayer, handling: float) -> None:
    class Thorough(Recorder):
        disconnect_timeout = 0.1
        cleanup_timeout = 5.0

        async def receive(self, text_data: str) -> None:
            if handling:
                await anyio.sleep(handling)
            self.log.append(text_data)

        async def disconnect(self, code: int) -> None:
            await anyio.sleep(2 * self.disconnect_timeout)
            await super().disconnect(code)

    log: list[Any] = []
    await send_and_leave_in_one_go(Thorough.as_asgi(log=log), "hi")
    assert log == ["connect", "hi", ("disconnect", 1000)]


async def test_a_handler_error_closes_with_1011_then_disconnects_then_leaves_the_application(
    layer: InMemoryChannelLayer,
) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.text("boom")
        await wire.end()
    assert isinstance(wire.error, RuntimeError)
    assert str(wire.error) == "boom"
    assert wire.sent[-1] == {"type": "websocket.close", "code": 1011, "reason": "internal error"}
    assert disconnects(log) == [("disconnect", 1011)]
    assert nothing_left(layer)


async def test_an_error_before_accept_sends_nothing_and_leaves(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []

    class Failing(Recorder):
        async def connect(self) -> None:
            raise RuntimeError("no")

    async with connecting(Failing.as_asgi(log=log)) as wire:
        await wire.end()
    assert wire.sent == []
    assert isinstance(wire.error, RuntimeError)
    assert disconnects(log) == [("disconnect", 1011)]
    assert nothing_left(layer)


async def test_an_error_in_disconnect_never_replaces_an_earlier_one(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Recorder):
        async def disconnect(self, code: int) -> None:
            await super().disconnect(code)
            raise LookupError("second")

    log: list[Any] = []
    async with connected(Failing.as_asgi(log=log)) as wire:
        wire.text("boom")
        await wire.end()
    assert isinstance(wire.error, RuntimeError)
    assert "second" in caplog.text
    async with connected(Failing.as_asgi(log=log)) as wire:
        wire.disconnect()
        await wire.end()
    assert isinstance(wire.error, LookupError)
    assert nothing_left(layer)


async def test_on_error_that_returns_keeps_the_connection(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []

    class Forgiving(Recorder):
        async def on_error(self, exc: Exception, message: Any) -> None:
            self.log.append((repr(exc), message["text"]))

    async with connected(Forgiving.as_asgi(log=log)) as wire:
        wire.text("boom")
        wire.text("echo still here")
        assert await wire.next_text() == "echo still here"
    assert wire.error is None
    assert ("RuntimeError('boom')", "boom") in log


async def test_stop_consumer_closes_cleanly(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.text("stop")
        await wire.end()
    assert wire.error is None
    assert wire.close_code == 1000
    assert disconnects(log) == [("disconnect", 1000)]
    assert nothing_left(layer)


async def test_a_close_by_the_application_ends_when_the_server_reports_it(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.text("close 4001")
        assert await wire.next() == {"type": "websocket.close", "code": 4001, "reason": "because"}
        wire.disconnect(4001)
        await wire.end()
    assert disconnects(log) == [("disconnect", 4001)]
    assert nothing_left(layer)


async def test_a_close_by_the_application_ends_even_if_the_server_never_reports_it(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.text("close 4001")
        await wire.end()
    assert disconnects(log) == [("disconnect", 4001)]
    assert nothing_left(layer)


async def test_a_failed_send_ends_the_connection_with_1006(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.gone = True
        wire.text("echo")
        await wire.end()
    assert wire.error is None
    assert disconnects(log) == [("disconnect", 1006)]
    assert nothing_left(layer)


@pytest.mark.parametrize("where", ["connect", "handler", "disconnect", "idle"])
async def test_cancellation_by_the_server_runs_disconnect_once(layer: InMemoryChannelLayer, where: str) -> None:
    log: list[Any] = []
    async with connecting(slow_in(where).as_asgi(log=log)) as wire:
        await bring_to(where, wire, log)
        assert wire.scope is not None
        wire.scope.cancel()
        await wire.end()
    assert disconnects(log) == [("disconnect", 1000 if where == "disconnect" else 1012)]
    assert ("cut" in log) == (where in ("connect", "handler"))
    assert nothing_left(layer)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("where", ["connect", "handler", "disconnect", "idle"])
async def test_native_cancellation_by_the_server_runs_disconnect_once(layer: InMemoryChannelLayer, where: str) -> None:
    log: list[Any] = []
    tasks_before = asyncio.all_tasks()
    wire = Wire()
    wire.client("connect")
    task = asyncio.ensure_future(slow_in(where).as_asgi(log=log)(websocket_scope(), wire.app_receive, wire.app_send))
    await bring_to(where, wire, log)
    task.cancel()
    await anyio.lowlevel.checkpoint()
    task.cancel()  # a server may lose its patience
    with pytest.raises(asyncio.CancelledError):
        await task
    assert disconnects(log) == [("disconnect", 1000 if where == "disconnect" else 1012)]
    assert nothing_left(layer)
    assert asyncio.all_tasks() == tasks_before


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_cancellation_is_not_lost_in_an_ending_with_background_tasks(
    layer: InMemoryChannelLayer,
) -> None:
    class Stopping(Recorder):
        async def receive(self, text_data: str) -> None:
            self.start_background_task(anyio.sleep_forever)
            await anyio.lowlevel.checkpoint()
            raise StopConsumer

        async def disconnect(self, code: int) -> None:
            await super().disconnect(code)
            task.cancel()
            await anyio.lowlevel.checkpoint()

    log: list[Any] = []
    wire = Wire()
    wire.client("connect")
    wire.text("stop")
    task = asyncio.ensure_future(Stopping.as_asgi(log=log)(websocket_scope(), wire.app_receive, wire.app_send))
    await asyncio.wait([task])
    assert task.cancelled() == KEEPS_NATIVE_CANCELLATIONS
    assert disconnects(log) == [("disconnect", 1000)]


def slow_in(where: str) -> type[Recorder]:
    class Slow(Recorder):
        cleanup_timeout = 5.0

        async def pause(self, place: str) -> None:
            self.log.append(f"in {place}")
            if place == where:
                try:
                    await anyio.sleep(0.05 if place == "disconnect" else 60)
                except anyio.get_cancelled_exc_class():
                    self.log.append("cut")
                    raise

        async def connect(self) -> None:
            await self.pause("connect")
            await self.accept()
            self.log.append("in idle")

        async def receive(self, text_data: str) -> None:
            await self.pause("handler")

        async def disconnect(self, code: int) -> None:
            await self.pause("disconnect")
            await super().disconnect(code)

    return Slow


async def bring_to(where: str, wire: Wire, log: list[Any]) -> None:
    if where == "handler":
        wire.text("go")
    elif where == "disconnect":
        await eventually(lambda: "in idle" in log)
        wire.disconnect()
    await eventually(lambda: f"in {where}" in log)


async def test_uvicorns_shutdown_code_cancels_handlers_at_once(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []

    class Patient(Recorder):
        disconnect_timeout = 60.0

    async with connected(Patient.as_asgi(log=log)) as wire:
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        wire.disconnect(1012)
        await wire.end()
    assert disconnects(log) == [("disconnect", 1012)]


async def test_a_disconnect_that_hangs_is_cut_and_logged(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Hanging(Recorder):
        async def disconnect(self, code: int) -> None:
            await super().disconnect(code)
            await anyio.sleep(60)

    log: list[Any] = []
    async with connected(Hanging.as_asgi(log=log)) as wire:
        wire.disconnect()
        await wire.end()
    assert "disconnect() was cut short: cleanup_timeout (0.5 s) was over" in caplog.text
    assert nothing_left(layer)


async def test_an_error_in_leaving_groups_keeps_nothing_else_from_running(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def group_discard(group: str, channel: str) -> None:
        raise ConnectionError("the layer is down")

    monkeypatch.setattr(layer, "group_discard", group_discard)
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.disconnect()
        await wire.end()
    assert wire.error is None
    assert disconnects(log) == [("disconnect", 1000)]
    assert "could not leave the group 'everyone'" in caplog.text
    assert nothing_left(layer)


async def test_a_plain_consumer_ends_after_a_disconnect_although_nothing_stops_it() -> None:
    class Plain(AsyncConsumer):
        async def websocket_connect(self, message: Any) -> None:
            await self.send({"type": "websocket.accept"})

    async with connected(Plain.as_asgi()) as wire:
        wire.disconnect()
        await wire.end()
    assert wire.error is None


async def test_a_thousand_connections_leave_nothing(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    app = Recorder.as_asgi(log=log)
    tasks_before = len(anyio.get_running_tasks())
    for _ in range(1_000):
        wire = Wire()
        wire.client("connect")
        wire.disconnect()
        await run_app(wire, app, websocket_scope())
        assert wire.error is None
    assert len(disconnects(log)) == 1_000
    assert nothing_left(layer)
    assert len(anyio.get_running_tasks()) == tasks_before
    gc.collect()
    assert sum(isinstance(thing, Recorder) for thing in gc.get_objects()) <= 1


async def test_a_cancellation_while_it_drains_ends_the_drain(layer: InMemoryChannelLayer) -> None:
    class Patient(Recorder):
        disconnect_timeout = 60.0

    log: list[Any] = []
    async with connected(Patient.as_asgi(log=log)) as wire:
        wire.text("sleep")
        wire.disconnect(1001)
        await eventually(lambda: "sleep" in log and wire.everything_is_read)
        assert wire.scope is not None
        wire.scope.cancel()
        await wire.end()
    assert disconnects(log) == [("disconnect", 1001)]
    assert nothing_left(layer)


async def test_a_client_that_does_not_read_its_close_frame_keeps_disconnect_from_nothing(
    layer: InMemoryChannelLayer,
) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.hold_sends = anyio.Event()
        wire.text("boom")
        await wire.end()
    assert isinstance(wire.error, RuntimeError)
    assert disconnects(log) == [("disconnect", 1011)]


@pytest.mark.parametrize("background", [True, False])
async def test_a_handler_that_outlasts_its_cancellation_keeps_disconnect_from_nothing(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, background: bool
) -> None:
    class Stubborn(Recorder):
        max_tasks = 2
        release: anyio.Event

        async def receive(self, text_data: str) -> None:
            if background:
                self.start_background_task(self.refuse_to_end)
            else:
                await self.refuse_to_end()

        async def refuse_to_end(self) -> None:
            with anyio.CancelScope(shield=True):
                self.log.append("stubborn")
                await self.release.wait()

    Stubborn.release = anyio.Event()
    log: list[Any] = []
    async with connected(Stubborn.as_asgi(log=log)) as wire:
        wire.text("go")
        await eventually(lambda: "stubborn" in log)
        wire.disconnect()
        await eventually(lambda: disconnects(log) == [("disconnect", 1000)])
        assert not wire.finished.is_set()
        Stubborn.release.set()
        await wire.end()
    assert "handlers still run 0.25 s after they were cancelled" in caplog.text


async def test_a_close_that_is_cancelled_still_sends_its_frame(layer: InMemoryChannelLayer) -> None:
    class Closing(Recorder):
        max_tasks = 2

        async def receive(self, text_data: str) -> None:
            if text_data == "close":
                await self.close(4001)
            else:
                raise RuntimeError("boom")

    async with connected(Closing.as_asgi(log=[])) as wire:
        wire.hold_sends = anyio.Event()
        wire.text("close")
        wire.text("boom")
        await eventually(lambda: wire.sends == 2)
        wire.hold_sends.set()
        await wire.end()
    assert wire.close_code == 4001


@pytest.mark.parametrize(
    ("exception", "code"),
    [(StopConsumer(), 1000), (InvalidFrame(1008, "no"), 1008), (WebSocketDisconnect(1008, "no"), 1008)],
)
async def test_what_ends_connect_before_the_accept_rejects_the_handshake(
    layer: InMemoryChannelLayer, exception: Exception, code: int
) -> None:
    class Rejecting(Recorder):
        async def connect(self) -> None:
            raise exception

    log: list[Any] = []
    async with connecting(Rejecting.as_asgi(log=log)) as wire:
        await wire.end()
    assert wire.error is None
    assert wire.close_code == code
    assert disconnects(log) == [("disconnect", code)]


async def test_an_on_error_that_sends_to_a_client_that_has_gone_is_no_error(layer: InMemoryChannelLayer) -> None:
    class Sorry(Recorder):
        gate: anyio.Event

        async def receive(self, text_data: str) -> None:
            await self.gate.wait()
            self.log.append(text_data)
            raise LookupError(text_data)

        async def on_error(self, exc: Exception, message: Any) -> None:
            await self.send("sorry")

    Sorry.gate = anyio.Event()
    log: list[Any] = []
    async with connected(Sorry.as_asgi(log=log)) as wire:
        for text in "ab":
            wire.text(text)
        wire.disconnect()
        await eventually(lambda: wire.everything_is_read)
        Sorry.gate.set()
        await wire.end()
    assert wire.error is None
    assert log == ["connect", "a", "b", ("disconnect", 1000)]


@pytest.mark.parametrize("answer", [StopConsumer(), InvalidFrame(1008, "no"), LookupError("another")])
async def test_on_error_may_end_the_connection_its_own_way(layer: InMemoryChannelLayer, answer: Exception) -> None:
    class Ending(Recorder):
        async def on_error(self, exc: Exception, message: Any) -> None:
            raise answer

    async with connected(Ending.as_asgi(log=[])) as wire:
        wire.text("boom")
        await wire.end()
    assert wire.close_code == {StopConsumer: 1000, InvalidFrame: 1008, LookupError: 1011}[type(answer)]
    assert wire.error is (answer if isinstance(answer, LookupError) else None)


async def test_a_group_of_nothing_but_disconnects_is_no_error(layer: InMemoryChannelLayer) -> None:
    class Grouping(Recorder):
        async def receive(self, text_data: str) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.send, "x")

    async with connected(Grouping.as_asgi(log=[])) as wire:
        wire.gone = True
        wire.text("go")
        await wire.end()
    assert wire.error is None


@pytest.mark.parametrize("tasks", [1, 2])
async def test_an_error_mixed_with_cancellations_leaves_as_the_handlers_group(
    layer: InMemoryChannelLayer, tasks: int
) -> None:
    class Mixing(Recorder):
        max_tasks = tasks

        async def receive(self, text_data: str) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.start_soon(self.fail_at_the_end)

        async def fail_at_the_end(self) -> None:
            self.log.append("waiting")
            try:
                await anyio.sleep_forever()
            finally:
                raise LookupError("at the end")

    log: list[Any] = []
    async with connected(Mixing.as_asgi(log=log)) as wire:
        wire.text("go")
        await eventually(lambda: "waiting" in log)
        assert wire.scope is not None
        wire.scope.cancel()
        await wire.end()
    assert disconnects(log) == [("disconnect", 1012)]
    assert isinstance(wire.error, ExceptionGroup)
    assert [type(error) for error in wire.error.exceptions] == [LookupError]


async def test_a_failing_receive_of_the_server_ends_the_connection_with_its_error(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    wire = Wire()
    wire.client("connect")

    async def receive() -> Any:
        if wire.everything_is_read:
            await wire.accepted()
            raise EOFError("the server is broken")
        return await wire.app_receive()

    with pytest.raises(EOFError):
        await Recorder.as_asgi(log=log)(websocket_scope(), receive, wire.app_send)
    assert disconnects(log) == [("disconnect", 1006)]
    assert nothing_left(layer)


async def test_a_layer_that_hangs_in_leaving_groups_leaves_time_for_disconnect(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def group_discard(group: str, channel: str) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(layer, "group_discard", group_discard)
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:
        wire.disconnect()
        await wire.end()
    assert disconnects(log) == [("disconnect", 1000)]
    assert "could not leave its groups within 0.25 s" in caplog.text


# Order and concurrency


async def test_one_task_handles_200_messages_in_order_whatever_they_await(layer: InMemoryChannelLayer) -> None:
    class Dawdling(Recorder):
        disconnect_timeout = 5.0

        async def receive(self, text_data: str) -> None:
            await anyio.sleep(random.random() / 1000)
            self.log.append(text_data)

    log: list[Any] = []
    async with connected(Dawdling.as_asgi(log=log)) as wire:
        for number in range(200):
            wire.text(str(number))
    assert log == ["connect", *map(str, range(200)), ("disconnect", 1000)]


async def test_with_more_tasks_a_sleeping_handler_holds_back_nothing(layer: InMemoryChannelLayer) -> None:
    class Concurrent(Recorder):
        max_tasks = 2

    log: list[Any] = []
    async with connected(Concurrent.as_asgi(log=log)) as wire:
        wire.text("sleep")
        delays = []
        for number in range(10):
            started = anyio.current_time()
            wire.text(f"echo {number}")
            assert await wire.next_text() == f"echo {number}"
            delays.append(anyio.current_time() - started)
    assert min(delays) < 0.05  # the least, as the machine may be busy
    assert disconnects(log) == [("disconnect", 1000)]
    assert nothing_left(layer)


async def test_never_more_than_max_tasks_run_and_messages_start_in_order(layer: InMemoryChannelLayer) -> None:
    class Concurrent(Recorder):
        max_tasks = 3
        running = 0
        disconnect_timeout = 5.0

        async def receive(self, text_data: str) -> None:
            self.log.append(int(text_data))
            Concurrent.running += 1
            assert Concurrent.running <= self.max_tasks
            await anyio.sleep(random.random() / 1000)
            Concurrent.running -= 1

    log: list[Any] = []
    async with connected(Concurrent.as_asgi(log=log)) as wire:
        for number in range(100):
            wire.text(str(number))
    assert log == ["connect", *range(100), ("disconnect", 1000)]


@pytest.mark.parametrize("tasks", [1, 4])
async def test_an_error_in_one_task_cancels_the_others(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Concurrent(Recorder):
        max_tasks = tasks

        async def connect(self) -> None:
            await super().connect()
            self.start_background_task(self.forever)

        async def forever(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                self.log.append("background ended")

    log: list[Any] = []
    async with connected(Concurrent.as_asgi(log=log)) as wire:
        if tasks > 1:
            wire.text("sleep")
        wire.text("boom")
        await wire.end()
    assert isinstance(wire.error, RuntimeError)
    assert log[-2:] == ["background ended", ("disconnect", 1011)]
    assert nothing_left(layer)


async def test_background_tasks_stop_on_request_and_never_delay_a_disconnect(layer: InMemoryChannelLayer) -> None:
    class Pushing(Recorder):
        disconnect_timeout = cleanup_timeout = 60.0

        async def receive(self, text_data: str) -> None:
            if text_data == "start":
                self.task = self.start_background_task(self.push, "tick")
            else:
                self.task.cancel()

        async def push(self, text: str) -> None:
            try:
                while True:
                    await self.send(text)
                    await anyio.sleep(0.001)
            finally:
                self.log.append("pushed")

    log: list[Any] = []
    async with connected(Pushing.as_asgi(log=log)) as wire:
        wire.text("start")
        assert await wire.next_text() == "tick"
        assert await wire.next_text() == "tick"
        wire.text("stop")
        await eventually(lambda: log.count("pushed") == 1)
        wire.text("start")
        assert await wire.next_text() == "tick"
        wire.disconnect()
        await wire.end()
    assert log == ["connect", "pushed", "pushed", ("disconnect", 1000)]


async def test_a_background_tasks_error_counts_as_a_handlers(layer: InMemoryChannelLayer) -> None:
    class Failing(Recorder):
        async def receive(self, text_data: str) -> None:
            self.start_background_task(self.fail)

        async def fail(self) -> None:
            raise RuntimeError("in the background")

    log: list[Any] = []
    async with connected(Failing.as_asgi(log=log)) as wire:
        wire.text("go")
        await wire.end()
    assert str(wire.error) == "in the background"
    assert wire.close_code == 1011


async def test_nothing_is_handled_before_connect_has_returned(layer: InMemoryChannelLayer) -> None:
    class Slow(Recorder):
        max_tasks = 5

        async def connect(self) -> None:
            await layer.group_send("everyone", {"type": "note"})
            await anyio.wait_all_tasks_blocked()
            await super().connect()

        async def note(self, event: Any) -> None:
            self.log.append("note")

    log: list[Any] = []
    async with connected(Slow.as_asgi(log=log)) as wire:
        wire.text("hi")
    assert log[0] == "connect"
    assert sorted(log[1:3]) == ["hi", "note"]


# Context variables

user: ContextVar[str] = ContextVar("user", default="nobody")


async def test_a_senders_context_is_not_seen_by_the_receivers(layer: InMemoryChannelLayer) -> None:
    class Reading(Recorder):
        async def note(self, event: Any) -> None:
            await self.send(user.get())

    async with connected(Reading.as_asgi(log=[])) as wire:
        user.set("the sender")
        for _ in range(2):
            await layer.group_send("everyone", {"type": "note"})
            assert await wire.next_text() == "nobody"


@pytest.mark.parametrize("tasks", [1, 3])
async def test_a_variable_set_in_connect_is_seen_in_receive(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Setting(Recorder):
        max_tasks = tasks
        token: Token[str]

        async def connect(self) -> None:
            self.token = user.set("alice")
            await super().connect()

        async def receive(self, text_data: str) -> None:
            await self.send(user.get())

        async def disconnect(self, code: int) -> None:
            user.reset(self.token)
            self.log.append(user.get())

    log: list[Any] = []
    async with connected(Setting.as_asgi(log=log)) as wire:
        wire.text("who")
        assert await wire.next_text() == "alice"
    assert log == ["connect", "nobody"]


# Layer messages


async def test_unknown_and_framework_types_are_logged_once_and_dropped(
    unchecked_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    types: list[Any] = [
        "send",
        "close",
        "accept",
        "deny",
        "dispatch",
        "as.asgi",
        "as_asgi",
        "connect",
        "disconnect",
        "receive",
        "on_error",
        "base_send",
        "scope",
        "groups",
        "channel_layer",
        "start_background_task",
        "websocket.disconnect",
        "websocket.connect",
        "websocket.receive",
        "websocket.send",
        "http.request",
        "nobody.knows",
        "_private",
        "__init__",
    ]
    types += ["", "a\nb", 7, None, ["x"]]

    class Guarded(Recorder):
        pass  # a class of its own: what was logged is remembered by class

    log: list[Any] = []
    async with connected(Guarded.as_asgi(log=log)) as wire:
        for _ in range(2):
            for kind in types:
                await unchecked_layer.group_send("everyone", {"type": kind, "code": 1000, "text": "x"})
            await unchecked_layer.group_send("everyone", {"no": "type"})
            wire.text("echo alive")
            assert await wire.next_text() == "echo alive"
    assert log == ["connect", "echo alive", "echo alive", ("disconnect", 1000)]
    lines = [record.getMessage() for record in caplog.records if record.name == "consumers.connection"]
    assert (
        len(lines) == len(set(lines)) == len(types)
    )  # as.asgi and as_asgi are one; the message without a type is another
    assert not any("\n" in line for line in lines)


async def test_types_invented_by_a_client_do_not_flood_the_log(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Flooded(Recorder):
        pass

    async with connected(Flooded.as_asgi(log=[])) as wire:
        for number in range(1_000):
            await layer.group_send("everyone", {"type": f"invented.{number}"})
        wire.text("echo")
        await wire.next_text()
    assert len([r for r in caplog.records if "invented" in r.getMessage()]) == 101


async def test_strict_types_raise_for_an_unknown_type(layer: InMemoryChannelLayer) -> None:
    class Strict(Recorder):
        strict_types = True

    async with connected(Strict.as_asgi(log=[])) as wire:
        await layer.group_send("everyone", {"type": "nobody.knows"})
        await wire.end()
    assert isinstance(wire.error, ValueError)
    assert "No handler for message type nobody.knows" in str(wire.error)
    async with connected(Strict.as_asgi(log=[])) as wire:
        await layer.group_send("everyone", {"type": "close"})
        wire.text("echo")
        assert await wire.next_text() == "echo"


async def test_a_handler_of_the_applications_is_reached(layer: InMemoryChannelLayer) -> None:
    class Own(AsyncJsonWebsocketConsumer):
        groups = ["everyone"]

        async def websocket_send(self, event: Any) -> None:
            await self.send(event["text"])

    async with connected(Own.as_asgi()) as wire:
        await layer.group_send("everyone", {"type": "websocket.send", "text": "mine"})
        assert await wire.next_text() == "mine"


@pytest.mark.parametrize("tasks", [1, 3])
async def test_a_property_is_never_read_for_a_layer_message(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Guarded(Recorder):
        max_tasks = tasks

        @property
        def current(self) -> None:
            raise LookupError("read")

    async with connected(Guarded.as_asgi(log=[])) as wire:
        await layer.group_send("everyone", {"type": "current"})
        wire.text("echo")
        assert await wire.next_text() == "echo"
    assert wire.error is None


async def test_groups_without_a_layer_say_what_to_configure(no_layer: None) -> None:
    async with connecting(Recorder.as_asgi(log=[])) as wire:
        await wire.end()
    assert isinstance(wire.error, InvalidChannelLayerError)
    assert "groups = ['everyone']" in str(wire.error)
    assert "there is no channel layer 'default'" in str(wire.error)


@pytest.mark.parametrize("max_tasks", [1, 4])
async def test_300_group_sends_in_a_row_reach_20_healthy_members(layer: InMemoryChannelLayer, max_tasks: int) -> None:
    received: list[int] = []

    class Member(Recorder):
        async def note(self, event: Any) -> None:
            await anyio.lowlevel.checkpoint()
            received.append(event["number"])

    Member.max_tasks = max_tasks
    wires = [Wire() for _ in range(20)]
    async with anyio.create_task_group() as tasks:
        for wire in wires:
            start(tasks, wire, Member.as_asgi(log=[]))
        for wire in wires:
            await wire.accepted()
        for number in range(300):
            await layer.group_send("everyone", {"type": "note", "number": number})
        await eventually(lambda: len(received) == 6_000)
        for wire in wires:
            wire.disconnect()
    assert layer.dropped == 0


# Backpressure


async def test_a_flood_stops_being_read_at_the_limit_and_nothing_read_is_lost(layer: InMemoryChannelLayer) -> None:
    class Narrow(Recorder):
        inbox_limit = 10
        disconnect_timeout = 5.0
        gate: anyio.Event

        async def receive(self, text_data: str) -> None:
            await self.gate.wait()
            self.log.append(int(text_data))

    Narrow.gate = anyio.Event()
    log: list[Any] = []
    async with connected(Narrow.as_asgi(log=log)) as wire:
        for number in range(500):
            wire.text(str(number))
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert wire.receive_calls == 1 + 10 + 1  # connect, the inbox, the one in its handler
        Narrow.gate.set()
        await eventually(lambda: len(log) == 501)
    assert log == ["connect", *range(500), ("disconnect", 1000)]


async def test_a_client_with_no_end_of_messages_leaves_others_their_turns(layer: InMemoryChannelLayer) -> None:
    handled: list[str] = []

    class Busy(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            handled.append(text_data)

    remaining = 3_000

    async def receive() -> Any:  # never waits
        nonlocal remaining
        remaining -= 1
        if remaining == 2_999:
            return {"type": "websocket.connect"}
        if remaining:
            return {"type": "websocket.receive", "text": str(remaining)}
        return {"type": "websocket.disconnect", "code": 1000}

    turns = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Busy.as_asgi(), websocket_scope(), receive, Wire().app_send)
        while remaining > 0:
            await anyio.lowlevel.checkpoint()
            turns += 1
    assert len(handled) == 2_998
    assert turns >= 2_998 / (2 * Busy.inbox_limit)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_message_is_handled_in_the_same_turn_of_the_loop_by_the_worker(layer: InMemoryChannelLayer) -> None:
    tasks: list[object] = []

    class Worker(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            tasks.append(asyncio.current_task())
            await self.accept()

        async def receive(self, text_data: str) -> None:
            tasks.append(asyncio.current_task())
            await self.send(text_data)

    async with connected(Worker.as_asgi()) as wire:
        await anyio.wait_all_tasks_blocked()
        wire.text("hello")
        turns = 0
        while len(wire.sent) < 2:
            await anyio.lowlevel.checkpoint()
            turns += 1
        assert turns == 1
    worker, again = tasks
    assert worker is again
    assert worker is not asyncio.current_task()


async def test_a_client_that_floods_and_vanishes_is_gone_within_stall_timeout(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Stalled(Recorder):
        inbox_limit = 10
        stall_timeout = 0.1

    log: list[Any] = []
    async with connected(Stalled.as_asgi(log=log)) as wire:
        for _ in range(100):
            wire.text("sleep")
        await wire.end()
    assert wire.close_code == 1013
    assert disconnects(log) == [("disconnect", 1013)]
    assert nothing_left(layer)
    assert "no message was taken for 0.1 s while 10 wait" in caplog.text


async def test_a_client_that_never_reads_fills_its_mailbox_and_slows_nobody(layer: InMemoryChannelLayer) -> None:
    class Member(Recorder):
        async def note(self, event: Any) -> None:
            await self.send(str(event["number"]))

    async with connected(Member.as_asgi(log=[])) as stuck, connected(Member.as_asgi(log=[])) as healthy:
        stuck.hold_sends = anyio.Event()
        for number in range(1_000):
            await layer.group_send("everyone", {"type": "note", "number": number})
            assert await healthy.next_text() == str(number)
        assert layer.dropped == 1_000 - layer.capacity - 1
        stuck.hold_sends.set()
        for number in range(layer.capacity + 1):
            assert await stuck.next_text() == str(number)


async def test_overflow_close_ends_the_slow_connection_with_1013(layer: InMemoryChannelLayer) -> None:
    class Member(Recorder):
        overflow = "close"

    log: list[Any] = []
    async with connected(Member.as_asgi(log=log)) as wire:
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        for _ in range(101):
            await layer.group_send("everyone", {"type": "note"})
        await wire.end()
    assert wire.close_code == 1013
    assert disconnects(log) == [("disconnect", 1013)]


@pytest.mark.parametrize(("before", "chosen"), [("drop", "close"), ("close", "drop")])
async def test_overflow_may_be_chosen_for_each_connection(
    layer: InMemoryChannelLayer, before: Literal["drop", "close"], chosen: Literal["drop", "close"]
) -> None:
    class Member(Recorder):
        overflow = before

        async def connect(self) -> None:
            self.overflow = chosen
            await super().connect()

    log: list[Any] = []
    async with connected(Member.as_asgi(log=log)) as wire:
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        for _ in range(101):
            await layer.group_send("everyone", {"type": "note"})
        if chosen == "close":
            await wire.end()
        assert wire.close_code == (1013 if chosen == "close" else None)


async def test_a_direct_send_to_a_full_mailbox_raises(layer: InMemoryChannelLayer) -> None:
    class Telling(Recorder):
        async def connect(self) -> None:
            await super().connect()
            await self.send(self.channel_name)

    log: list[Any] = []
    async with connected(Telling.as_asgi(log=log)) as wire:
        name = await wire.next_text()
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        for _ in range(100):
            await layer.send(name, {"type": "note"})
        with pytest.raises(ChannelFull, match=name):
            await layer.send(name, {"type": "note"})


# What may be sent


async def test_a_send_to_a_client_that_has_gone_raises_and_the_drain_goes_on(layer: InMemoryChannelLayer) -> None:
    class Answering(Recorder):
        gate: anyio.Event

        async def receive(self, text_data: str) -> None:
            await self.gate.wait()
            self.log.append(text_data)
            try:
                await self.send(text_data)
            except WebSocketDisconnect as gone:
                self.log.append(gone.code)
                raise

    Answering.gate = anyio.Event()
    log: list[Any] = []
    async with connected(Answering.as_asgi(log=log)) as wire:
        for text in "abc":
            wire.text(text)
        wire.disconnect(1001)
        await eventually(lambda: wire.everything_is_read)
        Answering.gate.set()
        await wire.end()
    assert wire.error is None
    assert log == ["connect", "a", 1001, "b", 1001, "c", 1001, ("disconnect", 1001)]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1])
async def test_a_close_code_that_cannot_be_sent_never_reaches_the_wire(layer: InMemoryChannelLayer, code: int) -> None:
    async with connected(Recorder.as_asgi(log=[])) as wire:
        wire.text(f"close {code}")
        await wire.end()
    assert isinstance(wire.error, ValueError)
    assert str(code) in str(wire.error)
    assert wire.close_code == 1011


async def test_a_long_reason_is_cut_to_123_bytes_at_a_characters_border(layer: InMemoryChannelLayer) -> None:
    class Wordy(Recorder):
        async def receive(self, text_data: str) -> None:
            await self.close(4000, "é" * 100)
            await self.close(4001)

    async with connected(Wordy.as_asgi(log=[])) as wire:
        wire.text("go")
        assert await wire.next() == {"type": "websocket.close", "code": 4000, "reason": "é" * 61}
    assert len([event for event in wire.sent if event["type"] == "websocket.close"]) == 1


async def test_a_send_before_accept_says_what_to_do(layer: InMemoryChannelLayer) -> None:
    class Early(Recorder):
        async def connect(self) -> None:
            await self.send("too early")

    async with connecting(Early.as_asgi(log=[])) as wire:
        await wire.end()
    assert isinstance(wire.error, RuntimeError)
    assert "accept()" in str(wire.error)
    assert wire.sent == []


async def test_a_server_that_refuses_the_close_frame_does_not_hide_the_error(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[Any] = []
    async with connected(Recorder.as_asgi(log=log)) as wire:

        async def refuse(event: Any) -> None:
            raise RuntimeError("the server is confused")

        wire.app_send = refuse  # type: ignore[method-assign]
        wire.text("boom")
        await wire.end()
    assert str(wire.error) == "boom"
    assert disconnects(log) == [("disconnect", 1011)]


async def test_an_invalid_frame_closes_with_its_code_and_one_line(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(Recorder):
        async def receive(self, text_data: str) -> None:
            raise InvalidFrame(1008, "not\nlike this")

    log: list[Any] = []
    async with connected(Picky.as_asgi(log=log), client=("192.0.2.1", 5)) as wire:
        wire.text("x")
        await wire.end()
    assert wire.error is None
    assert wire.close_code == 1008
    assert disconnects(log) == [("disconnect", 1008)]
    [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.getMessage() == "Picky at '/ws' from 192.0.2.1:5 is closed with 1008: 'not\\nlike this'"
    assert record.exc_info is None


# Foreign layers


async def test_a_layer_that_offers_only_receive_is_pumped(layer: InMemoryChannelLayer) -> None:
    class Foreign:
        """Channels' contract, without attach() and detach()."""

        capacity = 100
        group_add, group_discard, group_send = layer.group_add, layer.group_discard, layer.group_send
        new_channel, receive, get_capacity = layer.new_channel, layer.receive, layer.get_capacity

    class Member(Recorder):
        async def note(self, event: Any) -> None:
            await self.send(event["text"])

    channel_layers.set("default", Foreign())  # type: ignore[arg-type]
    log: list[Any] = []
    async with connected(Member.as_asgi(log=log)) as wire:
        await layer.group_send("everyone", {"type": "note", "text": "pumped"})
        assert await wire.next_text() == "pumped"
    assert disconnects(log) == [("disconnect", 1000)]
    assert not layer.groups


async def test_a_pump_waits_for_room_and_its_failure_ends_the_connection() -> None:
    class Foreign:
        def __init__(self) -> None:
            self.numbers = iter(range(20))

        async def new_channel(self) -> str:
            return "foreign"

        def get_capacity(self, channel: str) -> int:
            return 3

        async def receive(self, channel: str) -> Any:
            await anyio.lowlevel.checkpoint()
            for number in self.numbers:
                return {"type": "note", "number": number}
            raise ConnectionError("the layer is down")

    class Member(Recorder):
        groups: Any = None

        async def note(self, event: Any) -> None:
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            self.log.append(event["number"])

        async def on_error(self, exc: Exception, message: Any) -> None:
            raise AssertionError("it is no handler's")

    log: list[Any] = []
    old = channel_layers.set("default", Foreign())  # type: ignore[arg-type]
    try:
        async with connected(Member.as_asgi(log=log)) as wire:
            await wire.end()
    finally:
        channel_layers.set("default", old)
    assert isinstance(wire.error, ConnectionError)
    # What it has taken when the layer fails is cut off with everything else.
    assert log[1:-1] == list(range(len(log) - 2))
    assert len(log) - 2 >= 16
    assert log[-1] == ("disconnect", 1011)


@pytest.mark.parametrize("limits", [{}, {"idle_timeout": 60.0, "raw_frames": True}])
async def test_a_connection_that_has_ended_leaves_nothing_to_the_garbage_collector(
    limits: dict[str, Any], layer: InMemoryChannelLayer
) -> None:
    consumers: list[weakref.ref[Any]] = []

    class Member(AsyncWebsocketConsumer):
        groups = ["room"]

        async def connect(self) -> None:
            consumers.append(weakref.ref(self))
            await self.accept()

    for name, value in limits.items():
        setattr(Member, name, value)
    gc.collect()
    gc.disable()
    try:
        async with connected(Member.as_asgi()):
            assert consumers[0]() is not None
        await anyio.lowlevel.checkpoint()
        assert consumers[0]() is None
    finally:
        gc.enable()


async def test_a_coroutine_that_two_handlers_return_is_run_by_one(layer: InMemoryChannelLayer) -> None:
    runs: list[str] = []
    members: list[Any] = []
    go_on = anyio.Event()

    async def work() -> None:
        runs.append("begun")
        await go_on.wait()
        runs.append("done")

    class Member(AsyncWebsocketConsumer):
        shared = work()

        async def connect(self) -> None:
            members.append(self)
            await self.accept()

        def chat(self, event: dict[str, Any]) -> Any:
            return self.shared

    async with connected(Member.as_asgi()), connected(Member.as_asgi()) as second:
        for member in members:
            await layer.send(member.channel_name, {"type": "chat"})
            await anyio.wait_all_tasks_blocked()
        assert isinstance(second.error, RuntimeError)
        assert "awaited already" in str(second.error)
        go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert runs == ["begun", "done"]
