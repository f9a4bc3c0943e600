"""`connect()` that returns without deciding: one warning, to those whose client still waits."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from consumers import AsyncHttpConsumer, AsyncWebsocketConsumer, DenyConnection, WebsocketConsumer
from consumers._aio.loops import set_alarm
from consumers._connection import undecided

from ..support.wire import Wire, connected, connecting, eventually, run_app
from .answers import execute, logged
from .mistake import Mistake
from .records import CONNECTING

pytestmark = pytest.mark.anyio


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Have alarms of five seconds ring at once, and give the test those that were set."""
    alarms: list[Any] = []

    def soon(seconds: float, *args: Any) -> Any:
        assert seconds == 5
        alarms.append(set_alarm(0.05, *args))
        return alarms[-1]

    monkeypatch.setattr(undecided, "set_alarm", soon)
    return alarms


@pytest.mark.parametrize("mistake", CONNECTING, ids=lambda mistake: mistake.title)
async def test_connect_that_decides_nothing_is_warned_of_once(
    mistake: Mistake, alarms: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with connecting((await execute(mistake))["app"], path=mistake.opens) as wire:
        await eventually(lambda: bool(logged(caplog)))
        wire.disconnect()
        await wire.end()
    assert logged(caplog) == [mistake.answer]
    assert wire.sent == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_consumers_connect_is_warned_of_too(alarms: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    class Silent(WebsocketConsumer):
        def connect(self) -> None:
            pass

    async with connecting(Silent.as_asgi()):
        await eventually(lambda: bool(logged(caplog)))
    assert len(logged(caplog)) == 1


async def accepts(self: Any) -> None:
    await self.accept()


async def closes(self: Any) -> None:
    await self.close()


async def raises(self: Any) -> None:
    raise DenyConnection


@pytest.mark.parametrize("connect", [accepts, closes, raises])
async def test_who_decides_in_connect_has_no_alarm(
    connect: Callable[[Any], Any], alarms: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with connecting(type("Room", (AsyncWebsocketConsumer,), {"connect": connect}).as_asgi()) as wire:  # type: ignore[attr-defined]
        await wire.next()
    assert alarms == []
    assert logged(caplog) == []


async def test_who_decides_a_little_later_is_not_warned(alarms: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    class Later(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            self.start_background_task(self.decide)

        async def decide(self) -> None:
            await eventually(lambda: bool(alarms))
            await self.accept()

    async with connecting(Later.as_asgi()) as wire:
        await wire.accepted()
        await anyio.sleep(0.1)  # the alarm rings
    assert len(alarms) == 1
    assert logged(caplog) == []


async def test_a_client_that_has_left_has_no_alarm_any_more(
    alarms: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Silent(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            pass

    async with connecting(Silent.as_asgi()) as wire:
        await eventually(lambda: bool(alarms))
        wire.disconnect()
        await wire.end()
    (alarm,) = alarms
    assert alarm.cancel_called if hasattr(alarm, "cancel_called") else alarm.cancelled()
    (line,) = logged(caplog)
    assert "the client left; connect() had not called accept()" in line


async def test_an_http_consumer_has_no_handshake_to_answer(alarms: list[Any]) -> None:
    class Waiting(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, b"")

    wire = Wire()
    wire.event({"type": "http.request", "body": b"", "more_body": True})
    wire.event({"type": "http.request", "body": b""})
    await run_app(wire, Waiting.as_asgi(), {"type": "http", "path": "/"})
    assert wire.error is None
    assert alarms == []


async def test_an_accepted_connection_has_no_alarm(alarms: list[Any]) -> None:
    async with connected(AsyncWebsocketConsumer.as_asgi()) as wire:
        wire.text("hello")
    assert alarms == []
