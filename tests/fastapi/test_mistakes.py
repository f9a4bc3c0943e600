"""Parameters of `connect()` that nobody can fill, and endpoints in wrong places: what to write is said."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Annotated, Any, Optional

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Query, Response
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from consumers import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer, URLRouter, WebsocketConsumer, path
from consumers import _misrouted as misrouted

from ..mistakes.answers import logged

ANNOTATIONS: dict[str, tuple[Any, str]] = {
    "WebSocket": (WebSocket, "self.accept(), self.send() and self.close(), and read self.scope or self.headers"),
    "Request": (Request, "self.headers, self.cookies, self.query_params, self.path_params or self.scope"),
    "HTTPConnection": (HTTPConnection, "self.headers, self.cookies, self.query_params, self.path_params or self.scope"),
    "BackgroundTasks": (BackgroundTasks, "self.start_background_task(function)"),
    "BackgroundTask": (BackgroundTask, "self.start_background_task(function)"),
    "Response": (Response, "self.accept(headers=...) or self.deny(status, body, headers)"),
}


@pytest.mark.parametrize("name", ANNOTATIONS)
@pytest.mark.parametrize("around", [lambda kind: kind, lambda kind: kind | None, lambda kind: Annotated[kind, "x"]])
def test_what_a_consumer_has_by_itself_is_refused(name: str, around: Any) -> None:
    kind, instead = ANNOTATIONS[name]

    class Room(AsyncWebsocketConsumer):
        async def connect(self, given: Any) -> None: ...

    Room.connect.__annotations__["given"] = around(kind)
    wanted = f"Room.connect() cannot have given, a {name}: use {instead}"
    with pytest.raises(TypeError, match=f"^{re.escape(wanted)}$"):
        Room.as_endpoint()


def test_so_it_is_in_an_annotation_that_is_a_text() -> None:
    class Room(WebsocketConsumer):
        def connect(self, ws: Optional[WebSocket]) -> None: ...  # noqa: UP045

    with pytest.raises(TypeError, match=r"^Room\.connect\(\) cannot have ws, a WebSocket: use self\.accept\(\)"):
        Room.as_endpoint()


def test_what_a_dependency_returns_may_be_of_any_type() -> None:
    class Room(AsyncWebsocketConsumer):
        async def connect(self, given: Annotated[HTTPConnection, Depends(lambda: None)]) -> None: ...

    Room.as_endpoint()


class Outside(AsyncJsonWebsocketConsumer):
    class Filter(BaseModel):
        size: int

    async def connect(self, filter: Annotated[Filter, Query()]) -> None:
        await self.accept()
        await self.send_json(filter.size)


def test_texts_name_what_is_local_in_the_class_or_in_the_module() -> None:
    class Size(BaseModel):
        size: int

    def doubled(size: int) -> int:
        return 2 * size

    def inner() -> Any:
        class Tags(BaseModel):
            tags: list[str] = []

        class Room(AsyncJsonWebsocketConsumer):
            async def connect(
                self,
                room: str,
                filter: Annotated[Size, Depends(Size)],
                tags: Annotated[Tags, Query()],
                twice: int = Depends(doubled),
            ) -> None:
                await self.accept()
                await self.send_json([room, filter.size, tags.tags, twice])

        return Room.as_endpoint()

    app = FastAPI()
    app.add_api_websocket_route("/outside", Outside.as_endpoint())
    app.add_api_websocket_route("/{room}", inner())
    with TestClient(app).websocket_connect("/a?size=3&tags=x") as websocket:
        assert websocket.receive_json() == ["a", 3, ["x"], 6]
    with TestClient(app).websocket_connect("/outside?size=4") as websocket:
        assert websocket.receive_json() == 4


def make_using() -> Any:
    class Size(BaseModel):
        size: int

    class Room(AsyncJsonWebsocketConsumer):
        async def connect(self, filter: Annotated[Size, Query()]) -> None:
            assert isinstance(filter, Size)
            await self.accept()

    return Room


def test_so_they_do_what_connect_itself_uses() -> None:
    app = FastAPI()
    app.add_api_websocket_route("/", make_using().as_endpoint())
    with TestClient(app).websocket_connect("/?size=1"):
        pass


def make_room() -> Any:
    class Kind(str): ...

    class Room(AsyncWebsocketConsumer):
        async def connect(self, kind: Kind) -> None: ...

    return Room


def test_a_name_that_nobody_knows_any_more_is_an_error() -> None:
    room = make_room()
    wanted = (
        "Room.connect(): name 'Kind' is not defined, in the annotation 'Kind' of kind: define it at the top of the "
        "module, or call Room.as_endpoint() in the function that defines it"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(wanted)}$"):
        room.as_endpoint()
    room.as_asgi()  # which needs no types


def test_a_dependency_in_a_text_is_refused_where_fastapi_fills_nothing() -> None:
    class Room(AsyncWebsocketConsumer):
        async def connect(self, user: Annotated[str, Depends(str)]) -> None: ...

    wanted = (
        "Room.connect(): as_asgi() gives it the path's parameters alone, so no Depends fills user: "
        "write Room.as_endpoint(), which FastAPI calls"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(wanted)}$"):
        Room.as_asgi()


def test_a_parameter_without_a_name_for_callers_is_refused() -> None:
    class Room(AsyncWebsocketConsumer):
        async def connect(self, room: str, /) -> None: ...

    for make in (Room.as_endpoint, Room.as_asgi):
        with pytest.raises(TypeError, match=r"^Room\.connect\(\) gets room by its name: write it without the `/`"):
            make()


def test_all_else_that_as_asgi_refuses_is_refused() -> None:
    class Plain(AsyncWebsocketConsumer):
        def connect(self, room: str) -> None: ...  # type: ignore[override]

    class Hook(AsyncWebsocketConsumer):
        async def disconnect(self, code: int, user: Any = Depends(str)) -> None: ...  # noqa: B008

    with pytest.raises(TypeError, match=r"Plain\.connect\(\) must be `async def`"):
        Plain.as_endpoint()
    with pytest.raises(TypeError, match=r"Hook\.disconnect\(\): FastAPI does not call it, so no Depends fills user"):
        Hook.as_endpoint()
    with pytest.raises(TypeError, match=r"Consumer\.as_endpoint\(rom=\.\.\.\): .* no __init__"):
        AsyncWebsocketConsumer.as_endpoint(rom=1)
    with pytest.raises(TypeError, match=r"as_endpoint\(\) takes arguments for AsyncWebsocketConsumer\.__init__\(\)"):
        AsyncWebsocketConsumer.as_endpoint("room")


class Room(AsyncJsonWebsocketConsumer): ...


ELSEWHERE = "Room.as_endpoint() is for FastAPI's app.add_api_websocket_route() and app.websocket(): write "
WRONG: dict[str, Any] = {
    "Starlette": lambda: Starlette(routes=[WebSocketRoute("/ws", Room.as_endpoint())]),
    "FastAPI's add_websocket_route": lambda: FastAPI(routes=[WebSocketRoute("/ws", Room.as_endpoint())]),
}


@pytest.mark.parametrize("place", WRONG)
def test_an_endpoint_that_fastapi_does_not_call_says_what_to_write(place: str) -> None:
    with (
        pytest.raises(TypeError, match=f"^{re.escape(ELSEWHERE)}Room.as_asgi\\(\\) elsewhere$"),
        TestClient(WRONG[place]()).websocket_connect("/ws"),
    ):
        pass


def test_so_does_the_method_that_was_not_called() -> None:
    app = FastAPI()
    app.add_api_websocket_route("/ws", Room.as_endpoint)
    wanted = r"^Room\.as_endpoint is a method, not an ASGI application: write Room\.as_endpoint\(\)$"
    with pytest.raises(TypeError, match=wanted), TestClient(app).websocket_connect("/ws"):
        pass


def test_url_routers_refuse_an_endpoint() -> None:
    wanted = r"Room\.as_endpoint\(\) is for FastAPI.*: write Room\.as_asgi\(\)"
    with pytest.raises(TypeError, match=wanted):
        URLRouter([path("ws", Room.as_endpoint())])


def test_a_route_beside_it_is_told_of_with_as_endpoint(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(misrouted, "_logged", set())
    app = FastAPI()
    app.add_api_websocket_route("/ws/", Room.as_endpoint())
    app.router.routes.append(Route("/http", Room.as_endpoint))
    for address in ("/ws", "/http"):
        with pytest.raises(WebSocketDisconnect), TestClient(app).websocket_connect(address):
            pass
    assert [line.rpartition("rite ")[2] for line in logged(caplog)] == [
        f"app.websocket('{address}')(Room.as_endpoint())" for address in ("/ws", "/http")
    ]


@pytest.mark.slow
def test_no_endpoint_needs_fastapi_to_be_there() -> None:
    code = "import sys, consumers; consumers.AsyncWebsocketConsumer.as_endpoint(); assert 'fastapi' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_endpoint_shows_whose_it_is() -> None:
    class Named(AsyncWebsocketConsumer):
        """Has a docstring."""

        def __init__(self, size: int) -> None:
            super().__init__()

    endpoint: Any = Named.as_endpoint(size=1)
    shown = SimpleNamespace(**vars(endpoint))
    assert (endpoint.__name__, endpoint.__doc__) == ("Named", "Has a docstring.")
    assert (shown.consumer_class, shown.consumer_initkwargs) == (Named, {"size": 1})
