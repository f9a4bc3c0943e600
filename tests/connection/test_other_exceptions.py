"""What a handler raises that is no Exception: a cancellation that nobody asked for, and pytest's own."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocket

from consumers import AsyncWebsocketConsumer, BaseWSEndpoint, WebsocketConsumer
from consumers.types import Message

from ..support.servers import uvicorn_server
from ..support.wire import connected, eventually

pytestmark = pytest.mark.anyio


Act = Callable[[], Coroutine[Any, Any, None]]


class Escape(BaseException):
    """No Exception."""


async def escape() -> None:
    raise Escape("out of here")


async def fail() -> None:
    pytest.fail("no")


async def escape_in_a_group() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(escape)
        await anyio.sleep_forever()


async def await_what_was_cancelled() -> None:
    task = asyncio.ensure_future(asyncio.sleep(10))
    task.cancel()
    await task


async def cancel_oneself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(10)


OTHERS = [escape, fail, escape_in_a_group]
STRAYS = [await_what_was_cancelled, cancel_oneself]
PLACES = ["connect", "receive", "layer message", "background task"]


class Raising(AsyncWebsocketConsumer):
    groups = ["room"]
    cleanup_timeout = 1.0
    place = ""
    act: Act

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    async def at(self, place: str) -> None:
        if place == self.place:
            await type(self).act()

    async def connect(self) -> None:
        await self.accept()
        await self.at("connect")

    async def receive(self, text_data: str) -> None:
        if self.place == "background task":
            self.start_background_task(self.at, "background task")
            await anyio.sleep_forever()
        await self.at("receive")
        await self.channel_layer.group_send("room", {"type": "room.message"})

    async def room_message(self, event: Message) -> None:
        await self.at("layer message")

    async def on_error(self, exc: Exception, message: Message | None) -> None:
        self.log.append(type(exc))
        raise exc

    async def disconnect(self, code: int) -> None:
        self.log.append(code)


def raising(where: str, act: Act, tasks: int) -> type[Raising]:
    class Raiser(Raising):
        place = where
        max_tasks = tasks

    Raiser.act = act
    return Raiser


def causes(error: BaseException | None) -> list[BaseException]:
    """Return what a RuntimeError stands for; the exceptions in it, if that is a group."""
    assert isinstance(error, RuntimeError)
    cause = error.__cause__
    assert cause is not None
    return list(cause.exceptions) if isinstance(cause, BaseExceptionGroup) else [cause]


@pytest.mark.parametrize("max_tasks", [1, 4])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("act", OTHERS)
@pytest.mark.usefixtures("layer")
async def test_what_is_no_exception_closes_with_1011_and_leaves_as_the_cause_of_a_runtime_error(
    act: Act, place: str, max_tasks: int
) -> None:
    log: list[Any] = []
    async with connected(raising(place, act, max_tasks).as_asgi(log=log)) as wire:
        wire.text("go")
        await wire.end()
    assert wire.close_code == 1011
    [cause] = causes(wire.error)
    assert isinstance(cause, Escape | pytest.fail.Exception)
    assert "is no Exception" in str(wire.error)
    assert any("Raiser" in note and "'/ws'" in note for note in wire.error.__notes__)  # type: ignore[union-attr]
    assert log == [1011]  # on_error() was not asked: nobody is to swallow it


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio's cancellations cannot be made by hand
@pytest.mark.parametrize("max_tasks", [1, 4])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("act", STRAYS)
@pytest.mark.usefixtures("layer")
async def test_a_cancellation_that_nobody_asked_for_does_too_after_on_error_was_asked(
    act: Act, place: str, max_tasks: int
) -> None:
    log: list[Any] = []
    async with connected(raising(place, act, max_tasks).as_asgi(log=log)) as wire:
        wire.text("go")
        await wire.end()
    assert wire.close_code == 1011
    [cause] = causes(wire.error)
    assert isinstance(cause, asyncio.CancelledError)
    assert log == [RuntimeError, 1011]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("act", STRAYS)
@pytest.mark.usefixtures("layer")
async def test_on_error_may_swallow_it(act: Act) -> None:
    class Swallowing(Raising):
        place = "receive"

        async def on_error(self, exc: Exception, message: Message | None) -> None:
            await self.send("swallowed")

    Swallowing.act = act
    log: list[Any] = []
    async with connected(Swallowing.as_asgi(log=log)) as wire:
        for _ in range(3):
            wire.text("go")
            assert await wire.next_text() == "swallowed"
    assert wire.error is None
    assert log == [1000]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_consumers_too() -> None:
    class Sync(WebsocketConsumer):
        def connect(self) -> None:
            self.accept()

        def receive(self, text_data: str) -> None:
            raise Escape

    async with connected(Sync.as_asgi()) as wire:
        wire.text("go")
        await wire.end()
    assert wire.close_code == 1011
    [cause] = causes(wire.error)
    assert isinstance(cause, Escape)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("endpoint", [False, True], ids=["consumer", "endpoint"])
def test_keyboard_interrupts_and_exits_go_through(kind: type[BaseException], endpoint: bool) -> None:
    class Consumer(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            raise kind

    class Endpoint(BaseWSEndpoint):
        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            raise kind

    async def live() -> None:
        async with connected(Endpoint if endpoint else Consumer.as_asgi()) as wire:
            wire.text("go")
            await wire.end()

    with pytest.raises(BaseException) as raised:  # noqa: PT011
        anyio.run(live)
    assert isinstance(raised.value, kind) or raised.group_contains(kind)


@pytest.mark.parametrize("place", ["on_connect", "handler", "own task", "unregister"])
@pytest.mark.parametrize("act", OTHERS)
async def test_so_does_an_endpoints(act: Act, place: str) -> None:
    seen: list[Any] = []

    class Endpoint(BaseWSEndpoint):
        async def on_connect(self, websocket: WebSocket) -> None:
            await self.accept(websocket)
            if place == "on_connect":
                await act()

        async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
            if place == "handler":
                await act()
            if place == "own task":
                self.task_group.start_soon(act)

        async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
            if place == "unregister":
                await act()

        async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
            seen.append("asked")

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            seen.append(close_code)

    async with connected(Endpoint) as wire:
        wire.text("go")
        await wire.end()
    assert wire.close_code == 1011
    [cause] = causes(wire.error)
    assert isinstance(cause, Escape | pytest.fail.Exception)
    assert seen == [1011]


@pytest.mark.parametrize("how", ["disconnect", "the server", "the server, natively"])
@pytest.mark.parametrize("max_tasks", [1, 4])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_comes_back_from_a_thread_is_nobodys_error(how: str, max_tasks: int) -> None:
    started = anyio.Event()

    class Threaded(AsyncWebsocketConsumer):
        disconnect_timeout = 0.05

        async def receive(self, text_data: str) -> None:
            await anyio.to_thread.run_sync(anyio.from_thread.run, self.wait)

        async def wait(self) -> None:
            started.set()
            await anyio.sleep_forever()

    Threaded.max_tasks = max_tasks
    server: list[asyncio.Task[Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        server.append(task)
        await Threaded.as_asgi()(scope, receive, send)

    async with connected(app) as wire:
        wire.text("go")
        await started.wait()
        if how == "disconnect":
            wire.disconnect()
        elif how == "the server":
            assert wire.scope is not None
            wire.scope.cancel()
        else:
            server[0].cancel()
        await eventually(wire.finished.is_set)
    assert wire.error is None


def test_a_real_server_logs_the_place_and_goes_on(caplog: pytest.LogCaptureFixture, ws: Any) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    app = raising("receive", escape, 1)
    app.groups = []
    log: list[Any] = []
    with uvicorn_server(app.as_asgi(log=log), ws=ws, log_config=None) as server:
        for _ in range(2):
            with connect(f"ws://{server.host}") as client:
                client.send("go")
                with pytest.raises(ConnectionClosed) as closed:
                    client.recv(5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    for record in errors:
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], RuntimeError)
        assert isinstance(record.exc_info[1].__cause__, Escape)
