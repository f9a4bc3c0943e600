"""What may be sent to a client, and when."""

import logging
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocketDisconnect

from consumers import InMemoryChannelLayer, InvalidFrame

from ..support.recorder import Recorder, disconnects
from ..support.wire import connected, connecting, eventually

pytestmark = pytest.mark.anyio


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
