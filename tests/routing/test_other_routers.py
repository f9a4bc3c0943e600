"""ProtocolTypeRouter and ChannelNameRouter."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.routing import Router
from starlette.testclient import TestClient

from consumers import ChannelNameRouter, ProtocolTypeRouter, URLRouter, lifespan, path
from consumers.types import Scope

from ..support.routers import Recorder, Room, dropped, never

pytestmark = pytest.mark.anyio


async def test_a_connection_goes_to_the_application_of_its_type() -> None:
    websocket, http = Recorder(), Recorder()
    router = ProtocolTypeRouter({"websocket": websocket, "http": http})
    scope: Scope = {"type": "http", "path": "/"}
    await router(scope, never, dropped)
    assert http.scopes == [scope] and websocket.scopes == []


@pytest.mark.parametrize(
    ("mapping", "kind", "message"),
    [
        ({"http": Recorder(), "websocket": Recorder()}, "mqtt", "scope type 'mqtt'; configured: 'http', 'websocket'$"),
        ({"http": Recorder()}, "lifespan", "scope type 'lifespan'; configured: 'http'$"),
        ({}, "http", "scope type 'http'; configured: nothing$"),
    ],
)
async def test_an_unknown_type_is_an_error_that_names_the_known(mapping: Any, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^No application configured for {message}"):
        await ProtocolTypeRouter(mapping)({"type": kind}, never, dropped)


def test_the_lifespan_can_be_configured() -> None:
    app = URLRouter([path("ws", Room.as_asgi())])
    router = ProtocolTypeRouter({"websocket": app, "lifespan": Router(lifespan=lifespan)})
    with TestClient(router) as client, client.websocket_connect("/ws"):
        pass


async def test_a_channel_goes_to_the_application_of_its_name(app: Recorder) -> None:
    router = ChannelNameRouter({"thumbnails": app})
    await router({"type": "channel", "channel": "thumbnails"}, never, dropped)
    assert app.scopes
    with pytest.raises(ValueError, match=r"^No application configured for channel name 'x'; configured: 'thumbnails'$"):
        await router({"type": "channel", "channel": "x"}, never, dropped)
    with pytest.raises(ValueError, match=r"without a 'channel' key, of type 'http': .*ProtocolTypeRouter"):
        await router({"type": "http"}, never, dropped)


@pytest.mark.parametrize("router", [ProtocolTypeRouter, ChannelNameRouter])
@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"x": Room}, r", 'x': Room is a class, .* write Room\.as_asgi\(\)"),
        ({"x": [path("a", Room.as_asgi())]}, r", 'x': a list .* write URLRouter\(\[\.\.\.\]\)"),
        ({"x": None}, ", 'x': None is no ASGI application"),
        ([Room.as_asgi()], "takes a dict"),
    ],
)
def test_a_mistake_in_a_mapping_is_named(router: Callable[[Any], Awaitable[Any]], mapping: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        router(mapping)
