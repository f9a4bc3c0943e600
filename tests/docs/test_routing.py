"""The examples of docs/howto/routing.md, as their clients see them."""

from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from consumers import AsyncWebsocketConsumer, OriginValidator
from consumers.testing import WebsocketCommunicator

from ..support.examples import run
from ..support.pages import ROOT, blocks

PAGE = "docs/howto/routing.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
FASTAPI, LIFESPAN, STARLETTE, CHANNELS, ORIGINS, DEPENDENCY = (block.text for block in blocks(PAGE, "python"))

EXAMPLE = {"origin": "https://example.com"}


def told(app: Any, path: str, **headers: str) -> str | None:
    """Return what a client is told first; None if it is refused."""
    try:
        with TestClient(app) as client, client.websocket_connect(path, headers=headers) as websocket:
            return str(websocket.receive_text())
    except (WebSocketDisconnect, WebSocketDenialResponse):
        return None


def test_fastapi_routes_by_prefix_and_converts(no_layer: None) -> None:
    app = run(FASTAPI)["app"]
    assert told(app, "/rooms/7") == "room 7"
    assert told(app, "/rooms/seven") is None
    assert run(LIFESPAN)["app"].router.lifespan_context


def test_starlette_routes_consumers_of_both_protocols_and_mounts_them(no_layer: None) -> None:
    app = run(STARLETTE)["app"]
    assert told(app, "/rooms/7") == "room 7, ground floor"
    assert told(app, "/floors/upper/rooms/7") == "room 7, upper floor"
    assert told(app, "/rooms/7/") is None
    with TestClient(app) as client:
        assert client.get("/rooms").text == "1 2 3"


def test_channels_routers_nest_and_look_at_the_origin(no_layer: None) -> None:
    app = run(CHANNELS)["app"]
    assert told(app, "/ws/lobby/", **EXAMPLE) == "room lobby"
    assert told(app, "/ws/by-number/1234/", **EXAMPLE) == "room 1234"
    assert told(app, "/ws/by-number/12345/", **EXAMPLE) is None
    assert told(app, "/ws/lobby/") is None
    below = FastAPI()
    below.mount("/", app)
    assert told(below, "/ws/lobby/", **EXAMPLE) == "room lobby"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("entry", "let_in", "refused"),
    [
        ("https://example.com", "https://example.com:443", "http://example.com"),
        ("https://example.com:8443", "https://example.com:8443", "https://example.com"),
        ("example.com", "http://example.com:8000", "https://www.example.com"),
        (".example.com", "https://www.example.com", "https://example.org"),
        ("capacitor://localhost", "capacitor://localhost", "https://localhost"),
        ("*", "null", None),
    ],
)
async def test_the_entries_mean_what_the_table_says(entry: str, let_in: str, refused: str | None) -> None:
    assert f'| `"{entry}"` |' in TEXT

    async def answer_of(origin: str) -> Any:
        app = OriginValidator(AsyncWebsocketConsumer.as_asgi(), [entry])
        client = WebsocketCommunicator(app, "/", headers=[(b"origin", origin.encode())])
        accepted, _ = await client.connect()
        await client.disconnect()
        return accepted

    assert await answer_of(let_in)
    assert refused is None or not await answer_of(refused)


def test_both_ways_to_look_at_the_origin_refuse_other_pages(no_layer: None) -> None:
    for code in (ORIGINS, DEPENDENCY):
        client = TestClient(run(code)["app"])
        with client.websocket_connect("/ws", headers=EXAMPLE):
            pass
        for headers in ({"origin": "https://evil.example"}, {}):
            with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)):
                client.websocket_connect("/ws", headers=headers).__enter__()


def test_the_ways_of_the_warning_run_no_dependency() -> None:
    asked = []
    consumer = AsyncWebsocketConsumer.as_asgi()
    app = FastAPI(dependencies=[Depends(lambda: asked.append(1))], routes=[WebSocketRoute("/in-routes", consumer)])
    app.mount("/mounted", consumer)
    app.add_api_websocket_route("/guarded", AsyncWebsocketConsumer.as_endpoint())
    app.websocket("/guarded-too")(consumer)
    client = TestClient(app)
    for path, count in {"/in-routes": 0, "/mounted/": 0, "/guarded": 1, "/guarded-too": 2}.items():
        with client.websocket_connect(path):
            assert len(asked) == count


def test_a_mounted_applications_lifespan_does_not_run() -> None:
    asked = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["type"])

    with TestClient(FastAPI(routes=[Mount("/", inner)])):
        pass
    assert not asked


def test_a_mount_serves_no_path_without_its_slash() -> None:
    client = TestClient(FastAPI(routes=[Mount("/ws", AsyncWebsocketConsumer.as_asgi())]))
    with client.websocket_connect("/ws/"), client.websocket_connect("/ws/below"):
        pass
    with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)):
        client.websocket_connect("/ws").__enter__()


def test_a_client_of_the_wrong_protocol_is_refused() -> None:
    namespace = run(STARLETTE)
    app = Starlette(
        routes=[
            Mount("/mounted", namespace["Room"].as_asgi()),
            Mount("/http", namespace["Rooms"].as_asgi()),
            WebSocketRoute("/routed", namespace["Room"].as_asgi()),
        ]
    )
    client = TestClient(app)
    assert client.get("/mounted/").status_code == 426
    assert client.get("/routed").status_code == 404
    with pytest.raises(WebSocketDisconnect):
        client.websocket_connect("/http/").__enter__()
