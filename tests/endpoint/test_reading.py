"""An endpoint that does something while its client is silent: a timeout around `_receive()` loses no message."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from consumers.endpoint import BaseWSEndpoint
from consumers.server import WebSocketProtocol
from consumers.types import Message

from ..support.endpoints import Noted, accepted
from ..support.servers import hypercorn_server, uvicorn_server
from ..support.slow import left_to_ci

MESSAGES = 300
HEARTBEAT = "♥"


class Heartbeat(BaseWSEndpoint):
    """Sends a heartbeat whenever the client has been silent for a while."""

    encoding = "text"
    received: list[str]

    def __init_subclass__(cls) -> None:
        cls.received = []

    @property
    def silence(self) -> float:
        """Seconds, too short to be anything but in the way of the messages."""
        return random.random() * 0.002

    async def _receive(self, websocket: WebSocket) -> Message:
        while True:
            with anyio.move_on_after(self.silence):
                return await super()._receive(websocket)
            await websocket.send_text(HEARTBEAT)

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        self.received.append(data)

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        if data == "end":
            await websocket.send_text(data)


def talk(send: Callable[[str], object], receive: Callable[[], object]) -> int:
    """Send many messages, each time at another moment of the server's, and return how many heartbeats came."""
    heartbeats = 0
    for number in range(MESSAGES):
        for _ in range(random.randrange(3)):
            assert receive() == HEARTBEAT
            heartbeats += 1
        send(str(number))
    send("end")
    while receive() != "end":
        heartbeats += 1
    return heartbeats


SERVERS: dict[str, Callable[..., Any]] = {
    "uvicorn, websockets": lambda app: uvicorn_server(app, ws="websockets", lifespan="off"),
    "uvicorn, websockets-sansio": lambda app: uvicorn_server(app, ws="websockets-sansio", lifespan="off"),
    "uvicorn, wsproto": lambda app: uvicorn_server(app, ws="wsproto", lifespan="off"),
    "hypercorn, asyncio": lambda app: hypercorn_server(app, "asyncio"),
    "hypercorn, trio": lambda app: hypercorn_server(app, "trio"),
    "uvicorn, consumers.server": lambda app: uvicorn_server(app, ws=WebSocketProtocol, lifespan="off"),
}


@contextmanager
def serving(app: Any, server: str) -> Iterator[str]:
    with SERVERS[server](app) as running:
        yield f"ws://{getattr(running, 'host', running)}/"


@pytest.mark.slow
# uvicorn's oldest implementation is deprecated, and so is what it uses.
@pytest.mark.filterwarnings("ignore:The `websockets` implementation", "ignore::DeprecationWarning:websockets.legacy")
@pytest.mark.parametrize("server", [*SERVERS][:-1] + left_to_ci([*SERVERS][-1]))
def test_no_message_of_a_real_servers_client_is_lost_when_the_timeout_strikes(server: str) -> None:
    class Endpoint(Heartbeat):
        pass

    app = Starlette(routes=[WebSocketRoute("/", Endpoint)])
    with serving(app, server) as url, websockets.sync.client.connect(url) as client:
        heartbeats = talk(client.send, lambda: client.recv(5))
    assert Endpoint.received == [*map(str, range(MESSAGES)), "end"]
    assert heartbeats > MESSAGES / 2


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_message_of_starlettes_test_client_is_lost_when_the_timeout_strikes(backend: Any) -> None:
    class Endpoint(Heartbeat):
        pass

    client = TestClient(Starlette(routes=[WebSocketRoute("/", Endpoint)]), backend=backend)
    with client.websocket_connect("/") as session:
        heartbeats = talk(session.send_text, session.receive_text)
    assert Endpoint.received == [*map(str, range(MESSAGES)), "end"]
    assert heartbeats > MESSAGES / 2


@pytest.mark.anyio
async def test_a_disconnect_is_seen_between_heartbeats() -> None:
    class Endpoint(Heartbeat):
        closed: int | None = None

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            Endpoint.closed = close_code

    async with accepted(Endpoint) as server:
        assert (await server.event())["text"] == HEARTBEAT
        server.disconnect(4000)
        await server.end()
    assert server.error is None
    assert Endpoint.closed == 4000


@pytest.mark.anyio
async def test_heartbeats_do_not_keep_a_silent_client_from_its_idle_timeout() -> None:
    class Endpoint(Heartbeat):
        idle_timeout = 0.05

    async with accepted(Endpoint) as server:
        while (event := await server.event())["type"] == "websocket.send":
            assert event["text"] == HEARTBEAT
        assert event["code"] == 1001
        await server.end()


@pytest.mark.anyio
async def test_a_disconnect_that_receive_makes_up_ends_the_connection() -> None:
    class Endpoint(Noted):
        async def _receive(self, websocket: WebSocket) -> Message:
            with anyio.move_on_after(0.01):
                return await super()._receive(websocket)
            return {"type": "websocket.disconnect", "code": 4008, "reason": "silent"}

    async with accepted(Endpoint) as server:
        assert await server.end() == [{"type": "websocket.close", "code": 4008, "reason": "silent"}]
    assert server.error is None
    assert Endpoint.seen == [("disconnected", 4008)]


@pytest.mark.anyio
async def test_an_event_that_is_none_is_an_error_that_says_so() -> None:
    class Endpoint(Noted):
        async def _receive(self, websocket: WebSocket) -> Message:
            return {"type": "odd"}

    async with accepted(Endpoint) as server:
        await server.end()
    assert isinstance(server.error, ValueError)
    assert str(server.error) == ("_receive() returned an event of type 'odd': return what websocket.receive() returns")
    assert Endpoint.seen == [("disconnected", 1011)]
