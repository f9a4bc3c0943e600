"""Consumers inside Starlette and FastAPI, through Starlette's TestClient and httpx-ws."""

from typing import Any

import anyio
import httpx
import pytest
import starlette.websockets
from asgiref.sync import async_to_sync
from fastapi import FastAPI
from httpx_ws import AsyncWebSocketSession, WebSocketDisconnect, aconnect_ws
from httpx_ws.transport import ASGIWebSocketTransport
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient

from consumers import (
    AsyncHttpConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    channel_layers,
    get_channel_layer,
    lifespan,
)
from consumers.types import ASGIApp

backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Room(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send_json(self.scope["url_route"]["kwargs"])

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        raise LookupError(content)


class Hello(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        name = self.scope["url_route"]["kwargs"].get("name", "you")
        await self.send_response(200, f"hello {name} {len(body)}".encode(), headers=[(b"content-type", b"text/plain")])


routes = [WebSocketRoute("/ws/{room:int}", Room.as_asgi()), Route("/hello/{name}", Hello.as_asgi(), methods=["POST"])]

applications: dict[str, tuple[ASGIApp, str]] = {
    "starlette": (Starlette(routes=routes, lifespan=lifespan), ""),
    "mount": (Starlette(routes=[Mount("/in", routes=[Mount("/deep", routes=routes)])]), "/in/deep"),
    "fastapi": (FastAPI(routes=list(routes), lifespan=lifespan), ""),
}


@backends
@pytest.mark.parametrize("name", applications)
def test_path_parameters_arrive_wherever_it_is_mounted(name: str, backend: Any) -> None:
    app, prefix = applications[name]
    with TestClient(app, backend=backend) as client:
        with client.websocket_connect(f"{prefix}/ws/7") as websocket:
            assert websocket.receive_json() == {"room": 7}
        response = client.post(f"{prefix}/hello/ann", content=b"12345")
    assert (response.status_code, response.text) == (200, "hello ann 5")
    assert response.headers["content-type"] == "text/plain"


@backends
def test_a_mounted_application_needs_no_route(backend: Any) -> None:
    with TestClient(Starlette(routes=[Mount("/m", Room.as_asgi())]), backend=backend) as client:
        with client.websocket_connect("/m/anything") as websocket:
            assert websocket.receive_json() == {}


@backends
@pytest.mark.parametrize("look", [True, False])
def test_the_test_clients_with_block_raises_the_handlers_error(backend: Any, look: bool) -> None:
    app = Starlette(routes=routes)
    with TestClient(app, backend=backend) as client, pytest.raises(LookupError, match="lost"):
        with client.websocket_connect("/ws/1") as websocket:
            websocket.receive_json()
            websocket.send_json("lost")
            if look:
                assert websocket.receive()["code"] == 1011


@backends
def test_the_test_clients_with_block_raises_an_error_of_connect_and_of_disconnect(backend: Any) -> None:
    class Failing(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            if self.scope["path"] == "/connect":
                raise LookupError("connect")
            await super().connect()

        async def disconnect(self, code: int) -> None:
            raise LookupError("disconnect")

    with TestClient(Failing.as_asgi(), backend=backend) as client:
        for path in ("connect", "disconnect"):
            with pytest.raises(LookupError, match=path), client.websocket_connect(f"/{path}"):
                pass


@backends
def test_a_class_as_an_endpoint_says_what_to_write(backend: Any) -> None:
    app = Starlette(routes=[WebSocketRoute("/ws", Room)])
    with TestClient(app, backend=backend) as client, pytest.raises(TypeError, match=r"Room\.as_asgi\(\)"):
        with client.websocket_connect("/ws"):
            pass


@backends
def test_the_wrong_protocol_is_answered_without_a_traceback(backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(Room.as_asgi(), backend=backend) as client:
        response = client.get("/")
        assert (response.status_code, response.headers["upgrade"]) == (426, "websocket")
    with (
        TestClient(Hello.as_asgi(), backend=backend) as client,
        pytest.raises(starlette.websockets.WebSocketDisconnect),
    ):
        with client.websocket_connect("/"):
            pass
    assert not any(record.exc_info for record in caplog.records)


@backends
def test_as_asgi_without_parentheses_says_what_to_write(backend: Any) -> None:
    app = Starlette(routes=[WebSocketRoute("/ws", Room.as_asgi)])
    with TestClient(app, backend=backend) as client, pytest.raises(TypeError, match=r"write Room\.as_asgi\(\)"):
        with client.websocket_connect("/ws"):
            pass


def test_the_lifespan_closes_the_layers(no_layer: None) -> None:
    class Closing(InMemoryChannelLayer):
        closed = False

        async def close(self) -> None:
            Closing.closed = True

    for app in (Starlette(lifespan=lifespan), FastAPI(lifespan=lifespan), Room.as_asgi()):
        Closing.closed = False
        channel_layers.set("default", Closing())
        with TestClient(app):
            assert get_channel_layer() is not None
            assert not Closing.closed
        assert Closing.closed


def test_a_def_endpoint_of_fastapi_reaches_the_consumers(layer: InMemoryChannelLayer) -> None:
    class Member(AsyncJsonWebsocketConsumer):
        groups = ["room"]

        async def note(self, event: Any) -> None:
            await self.send_json(event["text"])

    app = FastAPI(routes=[WebSocketRoute("/ws", Member.as_asgi())])

    @app.post("/notes/{text}")
    def post(text: str) -> None:
        async_to_sync(layer.group_send)("room", {"type": "note", "text": text})

    with TestClient(app) as client, client.websocket_connect("/ws") as websocket:
        for text in ("one", "two"):
            assert client.post(f"/notes/{text}").status_code == 200
            assert websocket.receive_json() == text


@pytest.mark.anyio
async def test_httpx_ws_sees_the_close_code_and_reason() -> None:
    class Closing(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            await self.close(4001, text_data)

    with anyio.fail_after(5):
        async with httpx.AsyncClient(transport=ASGIWebSocketTransport(Closing.as_asgi())) as client:
            websocket: AsyncWebSocketSession
            async with aconnect_ws("http://server/ws", client) as websocket:
                await websocket.send_text("enough")
                with pytest.raises(WebSocketDisconnect) as caught:
                    await websocket.receive_text()
    assert (caught.value.code, caught.value.reason) == (4001, "enough")


@pytest.mark.anyio
async def test_httpx_ws_sees_1011_after_an_error() -> None:
    with anyio.fail_after(5):
        async with httpx.AsyncClient(transport=ASGIWebSocketTransport(Room.as_asgi())) as client:
            websocket: AsyncWebSocketSession
            async with aconnect_ws("http://server/ws", client) as websocket:
                await websocket.receive_json()
                await websocket.send_json("x")
                with pytest.raises(WebSocketDisconnect) as caught:
                    await websocket.receive_text()
    assert caught.value.code == 1011
