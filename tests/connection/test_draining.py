"""What had arrived before a disconnect is finished, within its time."""

from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer
from consumers.types import ASGIApp

from ..support.recorder import Recorder, disconnects, nothing_left
from ..support.wire import Wire, connected, eventually, websocket_scope

pytestmark = pytest.mark.anyio


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
        disconnect_timeout = 0.3
        cleanup_timeout = 5.0

        async def receive(self, text_data: str) -> None:
            if handling:
                await anyio.sleep(handling)
            self.log.append(text_data)

        async def disconnect(self, code: int) -> None:
            await anyio.sleep(self.disconnect_timeout + 0.05)
            await super().disconnect(code)

    log: list[Any] = []
    await send_and_leave_in_one_go(Thorough.as_asgi(log=log), "hi")
    assert log == ["connect", "hi", ("disconnect", 1000)]


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


@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
async def test_a_handler_that_has_closed_gets_the_time_of_a_drain_once_the_disconnect_is_reported() -> None:
    log: list[str] = []

    class Closing(AsyncWebsocketConsumer):
        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await self.close()
            await anyio.sleep(1.5 * self.disconnect_timeout)
            log.append("done")

    async with connected(Closing.as_asgi()) as wire:
        wire.text("bye")
        await anyio.sleep(0.9 * Closing.disconnect_timeout)
        assert wire.close_code == 1000
        wire.disconnect()
        await wire.finished.wait()
    assert log == ["done"]
