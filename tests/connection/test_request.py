"""`self.path_params`, `query_params`, `headers` and `cookies`: Starlette's, unless an application has its own."""

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.requests import HTTPConnection
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from compat.channels.generic import http as ported_http
from compat.channels.generic import websocket as ported
from consumers import (
    AsyncHttpConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    JsonWebsocketConsumer,
    URLRouter,
    WebsocketConsumer,
    path,
)
from consumers.testing import WebsocketCommunicator

from ..support.wire import connected, connecting

NAMES = ("path_params", "query_params", "headers", "cookies")

ASYNC = (
    AsyncWebsocketConsumer,
    AsyncJsonWebsocketConsumer,
    ported.AsyncWebsocketConsumer,
    ported.AsyncJsonWebsocketConsumer,
)
SYNC = (WebsocketConsumer, JsonWebsocketConsumer, ported.WebsocketConsumer, ported.JsonWebsocketConsumer)
HTTP = (AsyncHttpConsumer, ported_http.AsyncHttpConsumer)

URL = "/rooms/7?page=2&page=3&q=a%20b"
SENT = {"Cookie": "theme=dark; lang=en", "X-Room": "lobby"}


def seen(consumer: Any) -> str:
    """Return, as JSON, what a consumer sees of its request."""
    assert isinstance(consumer.headers, Headers)
    assert isinstance(consumer.query_params, QueryParams)
    return json.dumps(
        {
            "path_params": consumer.path_params,
            "page": consumer.query_params.getlist("page"),
            "q": consumer.query_params["q"],
            "room": consumer.headers["x-ROOM"],
            "cookies": consumer.cookies,
        }
    )


EXPECTED = {
    "path_params": {"room": 7},
    "page": ["2", "3"],
    "q": "a b",
    "room": "lobby",
    "cookies": {"theme": "dark", "lang": "en"},
}


def answer_of(consumer_class: Any) -> Any:
    """Return what a client gets that asks a consumer what it sees; twice, since it may be asked for again."""
    if consumer_class in HTTP:

        class Seeing(consumer_class):  # type: ignore[misc]
            async def handle(self, body: bytes) -> None:
                assert seen(self) == seen(self)
                await self.send_response(200, seen(self).encode())

        app: Any = Starlette(routes=[Route("/rooms/{room:int}", Seeing.as_asgi())])
        return TestClient(app).get(URL, headers=SENT).json()
    if consumer_class in ASYNC:

        class Watching(consumer_class):  # type: ignore[misc]
            async def connect(self) -> None:
                await self.accept()
                await self.send(seen(self))

        app = Watching
    else:

        class Plain(consumer_class):  # type: ignore[misc]
            def connect(self) -> None:
                self.accept()
                self.send(seen(self))

        app = Plain
    routes = [WebSocketRoute("/rooms/{room:int}", app.as_asgi())]
    with TestClient(Starlette(routes=routes)).websocket_connect(URL, headers=SENT) as client:
        return client.receive_json()


@pytest.mark.parametrize(
    "consumer_class", [*ASYNC, *SYNC, *HTTP], ids=lambda each: f"{each.__module__}.{each.__name__}"
)
def test_a_consumer_sees_its_request_under_starlettes_names(consumer_class: Any) -> None:
    assert answer_of(consumer_class) == EXPECTED


class Showing(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send_json([self.path_params, dict(self.query_params), dict(self.headers), self.cookies])


@pytest.mark.anyio
async def test_the_path_parameters_of_channels_routes_are_there_too() -> None:
    client = WebsocketCommunicator(URLRouter([path("rooms/<int:room>/", Showing.as_asgi())]), "/rooms/7/")
    assert (await client.connect())[0]
    assert (await client.receive_json_from())[0] == {"room": 7}
    await client.disconnect()


@pytest.mark.anyio
async def test_those_that_a_test_puts_into_the_scope_are_there_too() -> None:
    client = WebsocketCommunicator(Showing.as_asgi(), "/")
    client.scope["url_route"] = {"kwargs": {"room": "lobby"}}
    assert (await client.connect())[0]
    assert (await client.receive_json_from())[0] == {"room": "lobby"}
    await client.disconnect()


@pytest.mark.anyio
async def test_what_a_scope_lacks_is_empty() -> None:
    async with connected(Showing.as_asgi(), headers=[]) as wire:
        assert json.loads(await wire.next_text()) == [{}, {}, {}, {}]


def test_the_names_are_those_of_starlette() -> None:
    assert all(hasattr(HTTPConnection, name) for name in NAMES)


@pytest.mark.anyio
async def test_what_the_application_assigns_wins() -> None:
    class Assigning(AsyncJsonWebsocketConsumer):
        async def connect(self) -> None:
            for name in NAMES:
                setattr(self, name, f"my {name}")
            await self.accept()
            await self.send_json([getattr(self, name) for name in NAMES])

    async with connected(Assigning.as_asgi()) as wire:
        assert json.loads(await wire.next_text()) == [f"my {name}" for name in NAMES]


class Own:
    """What an application may have under these names."""

    path_params = "an attribute"

    @property
    def query_params(self) -> str:
        return "a property"

    def cookies(self) -> str:
        return "a method"

    async def headers(self, event: Any) -> None:
        await self.send_json(f"a handler of {event['type']}")  # type: ignore[attr-defined]


class Before(Own, AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    groups = ["room"]


class Behind(AsyncJsonWebsocketConsumer, Own):  # type: ignore[misc]
    groups = ["room"]


class Beside(AsyncJsonWebsocketConsumer): ...


class Below(Beside, Behind): ...  # type: ignore[misc]


@pytest.mark.anyio
@pytest.mark.parametrize("consumer_class", [Before, Behind, Below])
async def test_what_the_applications_classes_define_wins_and_handles_messages(
    consumer_class: Any, layer: InMemoryChannelLayer
) -> None:
    consumer = consumer_class()
    assert (consumer.path_params, consumer.query_params, consumer.cookies()) == (
        "an attribute",
        "a property",
        "a method",
    )
    async with connected(consumer_class.as_asgi()) as wire:
        await layer.group_send("room", {"type": "headers"})
        assert json.loads(await wire.next_text()) == "a handler of headers"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [*NAMES, *(name.replace("_", ".") for name in NAMES)])
async def test_a_message_of_such_a_type_has_no_handler(kind: str, layer: InMemoryChannelLayer) -> None:
    class Strict(AsyncJsonWebsocketConsumer):
        groups = ["room"]
        strict_types = True

    headers = [(b"cookie", b"theme=dark")]
    async with connecting(Strict.as_asgi(), headers=headers, query_string=b"a=b", path_params={"a": "b"}) as wire:
        await wire.accepted()
        await layer.group_send("room", {"type": kind})
        await wire.end()
        assert isinstance(wire.error, ValueError)
        assert str(wire.error) == f"No handler for message type {kind}"
