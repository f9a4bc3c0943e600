"""What ignores its cancellation is ended by force on asyncio, and the connection's ending goes on as usual."""

import asyncio
import gc
import logging
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocket

from consumers import AsyncWebsocketConsumer, BaseWSEndpoint, InMemoryChannelLayer

from ..support.wire import connected, eventually

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
    assert Stubborn.cleanup_timeout <= seconds < Stubborn.cleanup_timeout + 1
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

        async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            await self.come_to("register")

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            await self.come_to("handler")

        async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
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


async def test_the_applications_own_tasks_around_a_consumer_are_left_alone(layer: InMemoryChannelLayer) -> None:
    log: list[Any] = []
    app = Stubborn.as_asgi(hang=shield, log=log)

    returned = anyio.Event()

    async def save() -> None:
        with anyio.CancelScope(shield=True):
            await returned.wait()
            log.append("saved")

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(save)
            await app(scope, receive, send)
            log.append("returned")
            returned.set()

    async with connected(middleware) as wire:
        wire.text("hang")
        await eventually(lambda: log == ["hang"])
        wire.disconnect()
        await wire.end()
    assert log == ["hang", ("disconnect", 1000), "returned", "saved"]


async def test_what_a_handlers_own_tasks_shield_is_ended_too(layer: InMemoryChannelLayer) -> None:
    async def hang() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shield)

    log: list[Any] = []
    before = others()
    async with connected(Stubborn.as_asgi(hang=hang, log=log)) as wire:
        wire.text("hang")
        await eventually(lambda: log == ["hang"])
        wire.disconnect()
        await wire.end()
    assert log == ["hang", ("disconnect", 1000)]
    assert not others() - before


async def test_an_endpoint_disconnects_after_its_tasks_even_if_they_need_force() -> None:
    log: list[str] = []

    class Endpoint(BaseWSEndpoint):
        EXIT_MAX_DELAY = 0.2

        def __eq__(self, other: object) -> bool:  # which makes it unhashable
            return self is other

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            log.append("hangs")
            await shield()

        async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
            await anyio.sleep(0.05)
            log.append("unregistered")

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            log.append("disconnected")

    async with connected(Endpoint) as wire:
        wire.text("go")
        await eventually(lambda: log == ["hangs"])
        wire.disconnect()
        await wire.end()
    assert log == ["hangs", "unregistered", "disconnected"]


async def test_a_handler_is_not_blamed_for_a_loop_that_was_blocked(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[Any] = []
    saving = anyio.Event()

    async def save() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                saving.set()
                await anyio.sleep(0.02)
                log.append("saved")

    class Patient(Stubborn):
        disconnect_timeout = 0.0
        cleanup_timeout = 1.0

    async with connected(Patient.as_asgi(hang=save, log=log)) as wire:
        wire.text("hang")
        await eventually(lambda: log == ["hang"])
        wire.disconnect()
        await saving.wait()
        time.sleep(1.2)  # noqa: ASYNC251 - by which the handler's time is over, and more
        await wire.end()
    assert log == ["hang", "saved", ("disconnect", 1000)]
    assert "ignores its cancellation" not in caplog.text


@pytest.mark.parametrize("use_uvloop", [False, True])
def test_an_event_loop_is_not_kept_whatever_the_times_are(use_uvloop: bool) -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    class Hurried(Stubborn):
        groups = []
        cleanup_timeout = 0.001  # so short that uvloop makes no timer of it

    async def live(number: int) -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        log: list[Any] = []
        async with connected((Hurried if number else Patient).as_asgi(hang=shield, log=log)) as wire:
            if not number:
                wire.text("hang")
                await eventually(lambda: log == ["hang"])
            wire.disconnect()
            await wire.end()
            assert wire.error is None
        assert log[-1] == ("disconnect", 1000)

    class Patient(Stubborn):
        groups = []

    options = {"use_uvloop": use_uvloop}
    for number in range(20):
        anyio.run(live, number, backend="asyncio", backend_options=options)
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1  # the last one may be
