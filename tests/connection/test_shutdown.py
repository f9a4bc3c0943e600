"""How a connection ends: by its application, its client, its server or a cancellation."""

import asyncio
import gc
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from consumers import AsyncConsumer, InMemoryChannelLayer, StopConsumer

from ..support.recorder import Recorder, disconnects, nothing_left
from ..support.slow import left_to_ci
from ..support.wire import KEEPS_NATIVE_CANCELLATIONS, Wire, connected, connecting, eventually, run_app, websocket_scope

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize(("own", "reported", "end"), [(4000, 1012, "cancelled"), (1012, 1000, "finished")])
async def test_the_code_that_the_server_reports_says_whether_handlers_finish(
    own: int, reported: int, end: str, layer: InMemoryChannelLayer
) -> None:
    closed, ends = anyio.Event(), []

    class Closing(Recorder):
        async def receive(self, text_data: str) -> None:
            await self.close(own)
            closed.set()
            try:
                await anyio.wait_all_tasks_blocked()
                ends.append("finished")
            except anyio.get_cancelled_exc_class():
                ends.append("cancelled")
                raise

    log: list[Any] = []
    async with connected(Closing.as_asgi(log=log)) as wire:
        wire.text("go")
        await closed.wait()
        wire.disconnect(reported)
        await wire.end()
    assert (ends, disconnects(log)) == ([end], [("disconnect", own)])


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


@pytest.mark.parametrize("anyio_backend", ["asyncio", *left_to_ci("trio")])
async def test_a_thousand_connections_leave_nothing(layer: InMemoryChannelLayer) -> None:
    class Counted(Recorder):
        """No other test has any of these."""

    log: list[Any] = []
    app = Counted.as_asgi(log=log)
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
    assert sum(isinstance(thing, Counted) for thing in gc.get_objects()) <= 1


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
