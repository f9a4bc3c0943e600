"""What ignores its cancellation is ended by force on asyncio, and the connection's ending goes on as usual."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocket

from consumers import AsyncWebsocketConsumer, BaseWSEndpoint, InMemoryChannelLayer

from .wire import connected, eventually

pytestmark = pytest.mark.anyio

user: ContextVar[str] = ContextVar("user")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def shield() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()


async def shield_and_swallow_once() -> None:
    with anyio.CancelScope(shield=True):
        with suppress(BaseException):
            await anyio.sleep_forever()
        await anyio.sleep_forever()


STUBBORN = pytest.mark.parametrize("hang", [shield, shield_and_swallow_once])


class Stubborn(AsyncWebsocketConsumer):
    """Hangs as it is told; `log` tells what happens, and in which tasks."""

    groups = ["everyone"]
    disconnect_timeout = 0.1
    cleanup_timeout = 0.4

    def __init__(self, hang: Callable[[], Awaitable[None]], log: list[Any]) -> None:
        super().__init__()
        self.hang = hang
        self.log = log
        self.token: Token[str] | None = None

    async def connect(self) -> None:
        self.token = user.set("ann")
        await self.accept()

    async def receive(self, text_data: str) -> None:
        self.log.append(text_data)
        match text_data:
            case "hang":
                await self.hang()
            case "boom":
                raise LookupError("boom")

    async def disconnect(self, code: int) -> None:
        assert self.token is not None
        user.reset(self.token)  # raises in another context than that of connect()
        self.log.append(("disconnect", code))


class StubbornOnError(Stubborn):
    """Its `on_error()` hangs."""

    async def on_error(self, exc: Exception, message: Any) -> None:
        await self.hang()


class StubbornAtTheEnd(Stubborn):
    """Its `disconnect()` hangs."""

    async def disconnect(self, code: int) -> None:
        await super().disconnect(code)
        await self.hang()


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


@STUBBORN
@pytest.mark.parametrize("max_tasks", [1, 2])
async def test_a_handler_holds_its_client_s_disconnect_for_no_longer_than_the_timeouts(
    layer: InMemoryChannelLayer,
    caplog: pytest.LogCaptureFixture,
    hang: Callable[[], Awaitable[None]],
    max_tasks: int,
) -> None:
    class Limited(Stubborn):
        pass

    Limited.max_tasks = max_tasks
    log: list[Any] = []
    before = others()
    async with connected(Limited.as_asgi(hang=hang, log=log)) as wire:
        for _ in range(max_tasks):
            wire.text("hang")
        wire.text("waits")
        await eventually(lambda: len(log) == max_tasks)
        await eventually(lambda: wire.everything_is_read)
        wire.disconnect()
        await wire.end()
        assert wire.error is None
    assert log == ["hang"] * max_tasks + [("disconnect", 1000)]
    assert layer.groups == {}
    assert layer.channels == {}
    assert not others() - before
    assert f"handlers cancelled: {max_tasks}, waiting messages dropped: 1" in caplog.text
    assert f"Stubborn.receive() ({__file__}:" in caplog.text


@STUBBORN
async def test_an_error_that_nobody_decided_about_still_leaves(
    layer: InMemoryChannelLayer, hang: Callable[[], Awaitable[None]]
) -> None:
    log: list[Any] = []
    async with connected(StubbornOnError.as_asgi(hang=hang, log=log)) as wire:
        wire.text("boom")
        await eventually(lambda: log == ["boom"])
        wire.disconnect()
        await wire.end()
        assert isinstance(wire.error, LookupError)
    assert log == ["boom", ("disconnect", 1000)]


@STUBBORN
async def test_disconnect_itself_is_given_its_time_and_no_more(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, hang: Callable[[], Awaitable[None]]
) -> None:
    log: list[Any] = []
    async with connected(StubbornAtTheEnd.as_asgi(hang=hang, log=log)) as wire:
        started = anyio.current_time()
        wire.disconnect()
        await wire.end()
        assert wire.error is None
        seconds = anyio.current_time() - started
    assert log == [("disconnect", 1000)]
    assert Stubborn.cleanup_timeout <= seconds < 2 * Stubborn.cleanup_timeout
    assert layer.groups == {}
    assert layer.channels == {}


async def test_a_handler_that_heeds_its_cancellation_meets_no_force(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[Any] = []
    async with connected(Stubborn.as_asgi(hang=anyio.sleep_forever, log=log)) as wire:
        wire.text("hang")
        await eventually(lambda: log == ["hang"])
        wire.disconnect()
        await wire.end()
    await anyio.sleep(Stubborn.cleanup_timeout)  # when it would have come
    assert log == ["hang", ("disconnect", 1000)]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@STUBBORN
@pytest.mark.parametrize("place", ["handler", "connect", "register", "unregister", "disconnect"])
async def test_an_endpoint_ends_too(
    caplog: pytest.LogCaptureFixture, hang: Callable[[], Awaitable[None]], place: str
) -> None:
    log: list[str] = []

    class Endpoint(BaseWSEndpoint):
        EXIT_MAX_DELAY = 0.2

        async def come_to(self, where: str) -> None:
            log.append(where)
            if where == place:
                await hang()

        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.accept()
            await self.come_to("connect")

        async def _register_background_task(self, task_id: int, websocket: WebSocket, data: Any) -> None:
            await self.come_to("register")

        async def _background_handler(self, task_id: int, websocket: WebSocket, data: Any) -> None:
            await self.come_to("handler")

        async def _unregister_background_task(self, task_id: int, websocket: WebSocket, task_result: Any) -> None:
            await self.come_to("unregister")

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            log.append("disconnect")
            if place == "disconnect":
                await hang()

    before = others()
    async with connected(Endpoint) as wire:
        wire.text("go")
        await eventually(lambda: place in log or place == "disconnect")
        wire.disconnect()
        await eventually(lambda: wire.everything_is_read or place in ("connect", "register"))
        assert wire.scope is not None
        if place in ("connect", "register"):  # while these run, nobody reads
            wire.scope.cancel()
        await wire.end()
        assert wire.error is None
    assert log.count("disconnect") == 1
    assert not others() - before
    assert "ignores its cancellation" in caplog.text
