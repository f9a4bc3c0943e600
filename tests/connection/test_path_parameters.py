"""The parameters of `connect()` that the route's path fills, for whoever is no endpoint of FastAPI's."""

from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient

from compat.channels.generic import websocket as ported
from consumers import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer, URLRouter, path, re_path
from consumers.testing import WebsocketCommunicator


class Room(AsyncJsonWebsocketConsumer):
    async def connect(self, room: Any, page: int = 1) -> None:
        await self.accept()
        await self.send_json([type(room).__name__, str(room), page])


class SyncRoom(JsonWebsocketConsumer):
    def connect(self, room: Any, page: int = 1) -> None:
        self.accept()
        self.send_json([type(room).__name__, str(room), page])


class PortedRoom(ported.AsyncJsonWebsocketConsumer):
    async def connect(self, room: Any, page: int = 1) -> None:
        await self.accept()
        await self.send_json([type(room).__name__, str(room), page])


KEY = UUID(int=7)
ROUTERS: dict[str, Any] = {
    "Starlette": lambda room: Starlette(
        routes=[
            WebSocketRoute("/int/{room:int}", room.as_asgi()),
            WebSocketRoute("/uuid/{room:uuid}", room.as_asgi()),
            Mount("/str/{room}", routes=[WebSocketRoute("/", room.as_asgi())]),
            WebSocketRoute("/both/{more}/{page:int}/{room}", room.as_asgi()),
        ]
    ),
    "URLRouter": lambda room: URLRouter(
        [
            path("int/<int:room>", room.as_asgi()),
            path("uuid/<uuid:room>", room.as_asgi()),
            re_path(r"^str/(?P<room>\w+)/$", room.as_asgi()),
            path("both/<more>/<int:page>/", URLRouter([path("<room>", room.as_asgi())])),
        ]
    ),
}
SEEN = {
    "/int/7": ["int", "7", 1],
    f"/uuid/{KEY}": ["UUID", str(KEY), 1],
    "/str/a/": ["str", "a", 1],
    "/both/x/3/b": ["str", "b", 3],
}


@pytest.mark.parametrize(
    ("room", "backend"), [(Room, "asyncio"), (Room, "trio"), (SyncRoom, "asyncio"), (PortedRoom, "asyncio")]
)
@pytest.mark.parametrize("router", ROUTERS)
def test_connect_gets_what_it_names_as_the_router_has_converted_it(router: str, room: Any, backend: Any) -> None:
    client = TestClient(ROUTERS[router](room), backend=backend)
    for address, seen in SEEN.items():
        with client.websocket_connect(address) as websocket:
            assert websocket.receive_json() == seen


def test_so_it_does_from_fastapis_router() -> None:
    app = FastAPI()
    app.websocket("/{room:int}")(Room.as_asgi())
    with TestClient(app).websocket_connect("/7") as websocket:
        assert websocket.receive_json() == ["int", "7", 1]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kwargs", "has"), [({"id": 1, "page": 2}, "has only id, page: write"), ({}, "has no parameters: write")]
)
async def test_what_the_path_lacks_is_an_error_of_the_connection(kwargs: dict[str, Any], has: str) -> None:
    communicator = WebsocketCommunicator(Room.as_asgi(), "/")
    communicator.scope["url_route"] = {"args": (), "kwargs": kwargs}
    wanted = rf"^Room\.connect\(\) needs room, but the route's path {has} {{room}} there, or give room a default\n"
    with pytest.raises(TypeError, match=wanted):
        await communicator.connect()


@pytest.mark.anyio
async def test_a_connect_that_passes_on_what_it_gets_takes_its_supers_parameters() -> None:
    class Passing(Room):
        async def connect(self, **kwargs: Any) -> None:  # type: ignore[override]
            await super().connect(**kwargs)

    communicator = WebsocketCommunicator(Passing.as_asgi(), "/")
    communicator.scope["url_route"] = {"args": (), "kwargs": {"id": 1, "room": "a"}}
    assert (await communicator.connect())[0]
    assert await communicator.receive_json_from() == ["str", "a", 1]
    await communicator.disconnect()


@pytest.mark.anyio
async def test_a_parameter_may_have_any_name() -> None:
    class Named(AsyncJsonWebsocketConsumer):
        async def connect(self, function: str, args: str, cls: str, scope: str) -> None:
            await self.accept()
            await self.send_json([function, args, cls, scope])

    communicator = WebsocketCommunicator(Named.as_asgi(), "/")
    communicator.scope["url_route"] = {"args": (), "kwargs": dict.fromkeys(("function", "args", "cls", "scope"), "a")}
    assert (await communicator.connect())[0]
    assert await communicator.receive_json_from() == ["a"] * 4
    await communicator.disconnect()


@pytest.mark.anyio
async def test_a_connect_without_parameters_gets_none() -> None:
    class Plain(AsyncJsonWebsocketConsumer):
        async def connect(self, *args: Any, **kwargs: Any) -> None:
            await self.accept()
            await self.send_json([args, kwargs])

    communicator = WebsocketCommunicator(Plain.as_asgi(), "/")
    communicator.scope["url_route"] = {"args": (), "kwargs": {"room": "a"}}
    assert (await communicator.connect())[0]
    assert await communicator.receive_json_from() == [[], {}]
    await communicator.disconnect()


@pytest.mark.anyio
async def test_who_calls_connect_by_themselves_call_it_as_they_like() -> None:
    class Own(AsyncJsonWebsocketConsumer):
        async def websocket_connect(self, message: Any) -> None:
            await self.connect("own")

        async def connect(self, room: str, /) -> None:
            await self.accept()
            await self.send_json(room)

    communicator = WebsocketCommunicator(Own.as_asgi(), "/")
    assert (await communicator.connect())[0]
    assert await communicator.receive_json_from() == "own"
    await communicator.disconnect()
