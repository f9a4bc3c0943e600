"""Consumers that are wired up in a way that others are: it works, or what to write is said."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from fastapi import APIRouter, Depends, FastAPI, WebSocketException
from starlette.routing import Match, Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from compat.channels.consumer import AsyncConsumer as ChannelsConsumer
from compat.channels.generic.websocket import AsyncWebsocketConsumer as ChannelsWebsocketConsumer
from compat.channels.routing import ProtocolTypeRouter as ChannelsProtocolTypeRouter
from compat.channels.routing import URLRouter as ChannelsURLRouter
from compat.channels.security.websocket import OriginValidator as ChannelsOriginValidator
from consumers import (
    AllowedHostsOriginValidator,
    AsyncHttpConsumer,
    AsyncJsonWebsocketConsumer,
    BaseWSEndpoint,
    OriginValidator,
    ProtocolTypeRouter,
    URLRouter,
    path,
)
from consumers.types import Receive, Scope, Send

from .answers import answers, logged
from .mistake import Mistake
from .records import WIRINGS

backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Room(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send_json(self.scope["url_route"]["kwargs"])

    async def receive_json(self, content: Any) -> None:
        if content == "raise":
            raise LookupError(content)
        await self.close(4001, content)


class Page(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        room = self.scope["url_route"]["kwargs"].get("room", "")
        await self.send_response(200, f"{room} {len(body)}".encode())


@pytest.mark.anyio
@pytest.mark.parametrize("mistake", WIRINGS, ids=lambda mistake: mistake.title)
async def test_a_wrong_wiring_is_answered_with_what_to_write(
    mistake: Mistake, caplog: pytest.LogCaptureFixture
) -> None:
    assert await answers(mistake, caplog) == [mistake.answer]


def included(app: FastAPI, room: Any) -> None:
    router = APIRouter(prefix="/ws")
    router.websocket("/{room}")(room)
    app.include_router(router)


WAYS: dict[str, Callable[[FastAPI, Any], Any]] = {
    "websocket": lambda app, room: app.websocket("/ws/{room}")(room),
    "add_api_websocket_route": lambda app, room: app.add_api_websocket_route("/ws/{room}", room),
    "add_websocket_route": lambda app, room: app.router.add_websocket_route("/ws/{room}", room),
    "include_router": included,
}


@backends
@pytest.mark.parametrize("way", WAYS)
def test_a_consumer_is_an_endpoint_of_fastapis(way: str, backend: Any) -> None:
    app = FastAPI()
    WAYS[way](app, Room.as_asgi())
    with TestClient(app, backend=backend) as client:
        with client.websocket_connect("/ws/7") as websocket:
            assert websocket.receive_json() == {"room": "7"}
            websocket.send_json("bye")
            assert websocket.receive() == {"type": "websocket.close", "code": 4001, "reason": "bye"}
        with pytest.raises(LookupError, match="raise"), client.websocket_connect("/ws/7") as websocket:
            websocket.receive_json()
            websocket.send_json("raise")
            assert websocket.receive()["code"] == 1011


@backends
def test_an_http_consumer_is_an_endpoint_of_fastapis(backend: Any) -> None:
    app = FastAPI()
    app.post("/pages/{room}")(Page.as_asgi())
    app.add_api_route("/pages", Page.as_asgi())
    with TestClient(app, backend=backend) as client:
        assert client.post("/pages/7", content=b"12345").text == "7 5"
        assert client.get("/pages").text == " 0"
        assert client.get("/openapi.json").status_code == 200


def test_fastapis_dependencies_of_a_route_run_for_a_consumer() -> None:
    def refuse() -> None:
        raise WebSocketException(4403)

    app = FastAPI()
    app.add_api_websocket_route("/ws", Room.as_asgi(), dependencies=[Depends(refuse)])
    with pytest.raises(WebSocketDisconnect) as caught, TestClient(app).websocket_connect("/ws"):
        pass
    assert caught.value.code == 4403


def wrapped(application: Any) -> Any:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope, receive, send)

    return middleware


class Countdown(BaseWSEndpoint):
    encoding = "json"


class InAnother:
    """Middleware that is a class."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    "app",
    [
        Router(routes=[Mount("/in", routes=[Mount("/ws/{room}", Room.as_asgi())])]),
        Router(routes=[Mount("/in", routes=[Mount("/ws/{room}", wrapped(Room.as_asgi()))])]),
        Router(routes=[Mount("/in/ws/{room}", OriginValidator(Room.as_asgi(), ["*"]))]),
        Router(routes=[Mount("/in", app=Router(routes=[Route("/ws/{room}", InAnother(Room.as_asgi()))]))]),
    ],
)
def test_what_is_said_of_a_mount_is_said_however_deep_it_is(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):  # but once
        with pytest.raises(WebSocketDisconnect), TestClient(app).websocket_connect("/in/ws/1"):
            pass
    (line,) = logged(caplog)
    assert line.endswith((", Room.as_asgi())", "(Room.as_asgi(), …))")) and "ws/{room}'" in line


ROUTED: dict[str, Callable[[APIRouter], Any]] = {
    "APIRoute is for HTTP": lambda router: router.get("/ws")(Room.as_asgi()),
    "Route is for HTTP": lambda router: router.routes.append(Route("/ws", Room)),
    "Mount serves": lambda router: router.mount("/ws", Room.as_asgi()),
    "WebSocketRoute serves": lambda router: router.add_websocket_route("/ws/", Room.as_asgi()),
    "APIWebSocketRoute serves": lambda router: router.add_api_websocket_route("/ws/", Room.as_asgi()),
}


@pytest.mark.parametrize("why", ROUTED)
def test_what_is_said_of_a_route_is_said_in_fastapis_included_routers(
    why: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, router, inner = FastAPI(), APIRouter(), APIRouter()
    ROUTED[why](inner)
    router.include_router(inner, prefix="/b")
    app.include_router(router, prefix="/a")
    with pytest.raises(WebSocketDisconnect), TestClient(app).websocket_connect("/a/b/ws"):
        pass
    (line,) = logged(caplog)
    assert f" '/a/b/ws': {why}" in line
    assert line.endswith("app.websocket('/a/b/ws')(Room.as_asgi())")


@pytest.mark.parametrize("endpoint", [Room, Room.as_asgi, Room.as_asgi(), functools.partial(Room.as_asgi())])
def test_a_consumer_is_recognised_however_it_was_given(endpoint: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WebSocketDisconnect), TestClient(Router([Route("/ws", endpoint)])).websocket_connect("/ws"):
        pass
    (line,) = logged(caplog)
    written = "partial(Room.as_asgi(), …)" if isinstance(endpoint, functools.partial) else "Room.as_asgi()"
    assert line.endswith(f"Write WebSocketRoute('/ws', {written})")


def test_no_route_without_its_origin_check_is_proposed(caplog: pytest.LogCaptureFixture) -> None:
    checked = AllowedHostsOriginValidator(Room.as_asgi(), ["example.com"])
    with pytest.raises(WebSocketDisconnect):
        with TestClient(Router([WebSocketRoute("/ws/", checked)])).websocket_connect("/ws"):
            pass
    (line,) = logged(caplog)
    assert "OriginValidator(Room.as_asgi(), …)" in line


def test_an_endpoint_is_recognised_too(caplog: pytest.LogCaptureFixture) -> None:
    for app in (Router([Mount("/ws", Countdown)]), FastAPI(routes=[Route("/ws", Countdown)])):
        with pytest.raises(WebSocketDisconnect), TestClient(app).websocket_connect("/ws"):
            pass
    mounted, routed = logged(caplog)
    assert mounted.endswith("Write WebSocketRoute('/ws', Countdown)")
    assert routed.endswith("Write app.router.routes.append(WebSocketRoute('/ws', Countdown))")


def test_what_is_advised_for_an_endpoint_works() -> None:
    app = FastAPI()
    app.router.routes.append(WebSocketRoute("/ws", Countdown))
    with TestClient(app).websocket_connect("/ws"):
        pass


def test_a_route_that_cannot_be_asked_changes_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Mount):
        path: Any = property(lambda self: 1 / 0, lambda self, value: None)

        def matches(self, scope: Scope) -> Any:
            return Match.NONE, {}

    caplog.set_level(logging.DEBUG, "consumers")
    broken = Broken.__new__(Broken)
    with pytest.raises(WebSocketDisconnect) as caught, TestClient(Router([broken])).websocket_connect("/ws"):
        pass
    assert caught.value.code == 1000
    assert logged(caplog) == ["DEBUG consumers.routing: cannot tell why no WebSocket reaches '/ws'"]


def test_a_router_with_a_default_of_its_own_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def default(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 4000})

    app = Router([Route("/ws", Room.as_asgi())], default=default)
    with pytest.raises(WebSocketDisconnect) as caught, TestClient(app).websocket_connect("/ws"):
        pass
    assert caught.value.code == 4000
    assert logged(caplog) == []


def test_a_websocket_to_an_http_consumer_is_no_wrong_wiring(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI(routes=[Route("/page", Page.as_asgi()), Mount("/mounted", Page.as_asgi()), Route("/class", Page)])
    app.get("/api")(Page.as_asgi())
    for address in ("/page", "/mounted", "/class", "/api"):
        with pytest.raises(WebSocketDisconnect), TestClient(app).websocket_connect(address):
            pass
    assert logged(caplog) == []


@pytest.mark.parametrize(
    ("route", "address", "hint"),
    [
        ("ws/<int:room>/", "/ws/1", ": there is one with a slash at its end"),
        ("ws/<int:room>", "/ws/1/", ": there is one without the slash at its end"),
        ("ws/<int:room>", "/ws/one", ""),
        ("ws/", "/", ""),
    ],
)
def test_a_urlrouter_tells_of_a_slash_too_many_or_too_few(
    route: str, address: str, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    inner = URLRouter([path("inner", Room.as_asgi())])
    app = URLRouter([path("outer/", inner), path(route, Room.as_asgi())])
    for each, said in ((address, hint), ("/outer/other", ""), ("/outer", "")):
        caplog.clear()
        with pytest.raises(WebSocketDisconnect), TestClient(app).websocket_connect(each):
            pass
        assert logged(caplog) == [f"WARNING consumers.routing: no route for the websocket path '{each}'{said}"]


def test_nothing_is_said_of_paths_that_lead_to_no_consumer(caplog: pytest.LogCaptureFixture) -> None:
    async def page(request: Any) -> Any: ...

    mounted = Mount("/ws", Room.as_asgi())
    app = Router(
        routes=[mounted, Mount("/other", Router()), Route("/page", page), WebSocketRoute("/w", Room.as_asgi())]
    )
    client = TestClient(app)
    for address in ("/other", "/page", "/elsewhere", "/wsx"):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(address):
            pass
    with client.websocket_connect("/ws/") as websocket:
        assert websocket.receive_json() == {}
    assert client.get("/nowhere").status_code == 404
    assert logged(caplog) == []


def test_an_instance_serves_in_compats_routers(caplog: pytest.LogCaptureFixture) -> None:
    class Echo(ChannelsWebsocketConsumer):
        pass

    app = ChannelsProtocolTypeRouter(
        {"websocket": ChannelsOriginValidator(ChannelsURLRouter([path("ws", Echo())]), ["*"]), "http": Echo()}
    )
    client = TestClient(app)
    for _ in range(2):
        with client.websocket_connect("/ws"):
            pass


@pytest.mark.parametrize("consumer", [ChannelsConsumer, Room])
@pytest.mark.parametrize(
    "make",
    [
        lambda instance: URLRouter([path("ws", instance)]),
        lambda instance: ProtocolTypeRouter({"websocket": instance}),
        lambda instance: OriginValidator(instance, ["*"]),
    ],
)
def test_an_instance_in_a_native_router_is_refused(make: Callable[[Any], Any], consumer: Any) -> None:
    with pytest.raises(TypeError, match=rf"write {consumer.__name__}\.as_asgi\(\)"):
        make(consumer())


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    async def application(*args: Any) -> None: ...

    return application


class Methods:
    async def application(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    @staticmethod
    async def static(scope: Scope, receive: Receive, send: Send) -> None: ...


class Endpoint:
    """As Starlette's endpoints are."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, more: int = 1) -> None: ...


class Making:
    """Its instances come from elsewhere."""

    def __new__(cls, *args: Any) -> Any: ...

    def __init__(self, app: Any) -> None: ...


@pytest.mark.parametrize(
    "application",
    [
        decorated(lambda websocket: None),
        functools.partial(Methods().application),
        Methods().application,
        Methods.static,
        Endpoint,
        Making,
        lambda scope, receive, send: None,
        lambda *args: None,
        print,
    ],
)
def test_what_may_be_an_application_is_taken(application: Any) -> None:
    URLRouter([path("ws", application)])
    ProtocolTypeRouter({"websocket": application})


def test_a_consumer_in_djangos_urlpatterns_says_where_it_belongs() -> None:
    class WSGIRequest:
        pass

    view: Any = Room.as_asgi()
    # Django calls what is a coroutine function on an event loop, and refuses everything else that is async.
    assert iscoroutinefunction(view)
    text = (
        "Room.as_asgi() was called as a view, with WSGIRequest, but is an ASGI application: "
        "route it in a URLRouter, not in Django's urlpatterns"
    )
    for path_parameters in ({}, {"room": 7}):
        with pytest.raises(TypeError) as caught:
            async_to_sync(view)(WSGIRequest(), **path_parameters)
        assert str(caught.value) == text
