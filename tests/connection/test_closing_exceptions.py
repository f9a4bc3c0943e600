"""A consumer's handler that raises `WebSocketDisconnect` or `WebSocketException` while its client is there."""

import logging
from typing import Any

import anyio
import pytest
import websockets.sync.client
from asgiref.sync import async_to_sync
from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed

from consumers import (
    AsyncConsumer,
    AsyncHttpConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    InvalidFrame,
    WebsocketConsumer,
)
from consumers.testing import HttpCommunicator
from consumers.types import Message

from ..support.servers import uvicorn_server
from ..support.wire import connected, connecting, eventually

pytestmark = pytest.mark.anyio

PLACES = ["connect", "receive", "layer message", "background task", "on_error"]


class Raising(AsyncWebsocketConsumer):
    """Raises `exc` at one place, while a background task waits; for the message "go", or in `connect()`."""

    groups = ["room"]
    place = ""
    exc: Exception

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    async def at(self, place: str) -> None:
        if place == self.place:
            await self.act()

    async def act(self) -> None:
        raise self.exc

    async def connect(self) -> None:
        await self.accept()
        self.start_background_task(self.wait)
        await self.at("connect")

    async def wait(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.log.append("cancelled")

    async def receive(self, text_data: str) -> None:
        await self.at("receive")
        if self.place == "layer message":
            await self.channel_layer.group_send("room", {"type": "room.message"})
        if self.place == "background task":
            self.start_background_task(self.fail)
        if self.place == "on_error":
            raise LookupError

    async def fail(self) -> None:
        await self.at("background task")

    async def room_message(self, event: Message) -> None:
        await self.at("layer message")

    async def on_error(self, exc: BaseException, message: Message | None) -> None:
        await self.at("on_error")
        raise exc

    async def disconnect(self, code: int) -> None:
        self.log.append(code)


class SyncRaising(WebsocketConsumer):
    groups = ["room"]
    place = ""
    exc: Exception

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def at(self, place: str) -> None:
        if place == self.place:
            raise self.exc

    def connect(self) -> None:
        self.accept()
        self.at("connect")

    def receive(self, text_data: str) -> None:
        self.at("receive")
        async_to_sync(self.channel_layer.group_send)("room", {"type": "room.message"})

    def room_message(self, event: Message) -> None:
        self.at("layer message")

    def disconnect(self, code: int) -> None:
        self.log.append(code)


def raising(base: type[Any], where: str, error: Exception, tasks: int = 1) -> type[Any]:
    return type("Raiser", (base,), {"place": where, "exc": error, "max_tasks": tasks})


ERRORS = [WebSocketDisconnect(4001, "enough"), WebSocketException(4001, "enough")]


@pytest.mark.parametrize("max_tasks", [1, 4])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_an_exception_with_a_code_of_its_own_closes_with_it(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, error: Exception, place: str, max_tasks: int
) -> None:
    log: list[Any] = []
    with caplog.at_level(logging.INFO):
        async with connected(raising(Raising, place, error, max_tasks).as_asgi(log=log)) as wire:
            wire.text("go")
            await wire.end()
    assert wire.sent[-1] == {"type": "websocket.close", "code": 4001, "reason": "enough"}
    assert wire.error is None
    assert log == ["cancelled", 4001]
    assert not layer.groups
    record = caplog.records[0]  # with several tasks a second may say that a handler was cancelled
    assert record.levelno == (logging.INFO if isinstance(error, WebSocketDisconnect) else logging.WARNING)
    assert record.message == "Raiser at '/ws' is closed with 4001: 'enough'"
    assert record.exc_info is None


@pytest.mark.parametrize("place", ["connect", "receive", "layer message"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_so_does_that_of_a_sync_consumer(
    layer: InMemoryChannelLayer, anyio_backend: str, error: Exception, place: str
) -> None:
    if anyio_backend == "trio":
        return  # sync consumers are for asyncio only
    log: list[Any] = []
    async with connected(raising(SyncRaising, place, error).as_asgi(log=log)) as wire:
        wire.text("go")
        await wire.end()
    assert wire.sent[-1] == {"type": "websocket.close", "code": 4001, "reason": "enough"}
    assert wire.error is None
    assert log == [4001]


@pytest.mark.parametrize("place", PLACES)
async def test_a_code_that_no_frame_may_carry_is_1011(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    log: list[Any] = []
    async with connected(raising(Raising, place, WebSocketDisconnect(1006)).as_asgi(log=log)) as wire:
        wire.text("go")
        await wire.end()
    assert wire.sent[-1] == {"type": "websocket.close", "code": 1011, "reason": ""}
    assert wire.error is None
    assert log == ["cancelled", 1011]
    [record] = caplog.records
    assert (
        record.message == "Raiser at '/ws' is closed with 1011 (in place of 1006, which no close frame may carry): ''"
    )


@pytest.mark.parametrize("place", ["receive", "layer message", "background task"])
async def test_a_send_to_a_client_that_has_gone_ends_that_handler_and_closes_nothing(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    tried = anyio.Event()

    class Sending(Raising):
        async def act(self) -> None:
            wire.gone = True
            tried.set()
            await self.send("anyone there?")

    log: list[Any] = []
    async with connected(raising(Sending, place, LookupError()).as_asgi(log=log)) as wire:
        wire.text("go")
        await tried.wait()
    assert [event["type"] for event in wire.sent] == ["websocket.accept"]
    assert wire.error is None
    assert log[0] == "cancelled"
    assert not caplog.records


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_before_the_accept_it_rejects(layer: InMemoryChannelLayer, error: Exception) -> None:
    class Rejecting(Raising):
        async def connect(self) -> None:
            raise error

    log: list[Any] = []
    async with connecting(Rejecting.as_asgi(log=log)) as wire:
        await wire.end()
    assert wire.sent == [{"type": "websocket.close", "code": 4001, "reason": "enough"}]
    assert log == [4001]
    assert wire.error is None


@pytest.mark.parametrize("error", [*ERRORS, InvalidFrame(1003, "no")], ids=lambda error: type(error).__name__)
async def test_while_a_connection_drains_it_ends_that_handler_only(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    class Draining(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            await gate.wait()
            log.append(text_data)
            raise error

        async def disconnect(self, code: int) -> None:
            log.append(code)
            raise error

    log: list[Any] = []
    gate = anyio.Event()
    async with connected(Draining.as_asgi()) as wire:
        for text in "abc":
            wire.text(text)
        wire.disconnect(1001)
        await eventually(lambda: wire.everything_is_read)
        gate.set()
        await wire.end()
    assert log == ["a", "b", "c", 1001]
    assert wire.error is None
    assert not caplog.records


async def test_a_request_has_no_close_code(layer: InMemoryChannelLayer) -> None:
    class Answering(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            raise WebSocketException(4001)

    communicator = HttpCommunicator(Answering.as_asgi(), "GET", "/")
    with pytest.raises(WebSocketException):
        await communicator.get_response()


async def test_nor_has_a_named_channel(layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture) -> None:
    class Working(AsyncConsumer):
        async def work(self, message: Message) -> None:
            raise WebSocketException(4001)

    async def receive() -> Message:
        return {"type": "work"}

    async def send(event: Message) -> None:
        raise AssertionError

    with pytest.raises(WebSocketException):
        await Working.as_asgi()({"type": "channel", "channel": "work"}, receive, send)


@pytest.mark.parametrize("place", PLACES)
def test_a_client_of_a_real_server_sees_the_code(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, place: str, ws: Any
) -> None:
    log: list[Any] = []
    app = raising(Raising, place, ERRORS[0]).as_asgi(log=log)
    with uvicorn_server(app, ws=ws) as server, websockets.sync.client.connect(f"ws://{server.host}") as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.send("go")
            client.recv(5)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")
    assert log == ["cancelled", 4001]
    assert not caplog.records
