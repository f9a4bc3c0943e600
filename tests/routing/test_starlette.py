"""A URLRouter below Starlette's mounts and next to its routes."""

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient

from consumers import AsyncHttpConsumer, AsyncWebsocketConsumer, URLRouter, path, re_path

from ..support.routers import Recorder, Room, visit
from ..support.wire import connected

pytestmark = pytest.mark.anyio


async def test_a_root_path_is_taken_off(app: Recorder) -> None:
    router = URLRouter([path("a/<n>", app)])
    for root_path, given_path in [("/base", "/base/a/1"), ("/base/", "/base/a/2"), ("", "/a/3"), ("/proxied", "/a/4")]:
        await visit(router, given_path, root_path=root_path)
    assert [scope["url_route"]["kwargs"]["n"] for scope in app.scopes] == ["1", "2", "3", "4"]


async def test_a_root_path_ends_with_a_whole_segment(app: Recorder) -> None:
    await visit(URLRouter([path("based", app), re_path("^d", Recorder())]), "/based", root_path="/base")
    await visit(URLRouter([path("", app)]), "/base", root_path="/base")
    assert len(app.scopes) == 2


async def test_below_mounts_the_rest_is_matched_and_their_parameters_are_kept(app: Recorder) -> None:
    router = URLRouter([path("rooms/<int:n>", app), path("nested/", URLRouter([path("<x>", app)]))])
    starlette = Starlette(routes=[Mount("/{tenant}", routes=[Mount("/deep", app=router)])])
    await visit(starlette, "/acme/deep/rooms/7")
    assert app.route == {"args": (), "kwargs": {"tenant": "acme", "n": 7}}
    await visit(starlette, "/base/acme/deep/nested/1", root_path="/base")
    assert app.route == {"args": (), "kwargs": {"tenant": "acme", "x": "1"}}


@pytest.mark.parametrize("prefix", ["^", "^in"])
async def test_a_router_below_a_mount_below_a_router_matches_what_is_behind_the_mount(
    app: Recorder, prefix: str
) -> None:
    starlette = Starlette(routes=[Mount("/in", app=URLRouter([path("b/<n>", app)]))])
    router = URLRouter([re_path(prefix, starlette)])
    await visit(router, "/in/b/1")
    assert app.route["kwargs"] == {"n": "1"}


def test_an_http_request_without_a_route_is_answered_once_below_a_starlette_below_a_router() -> None:
    for routes in ([Mount("/in", app=URLRouter([]))], [Route("/in/x", URLRouter([]))]):
        router = URLRouter([re_path("^", Starlette(routes=routes))])
        response = TestClient(router).get("/in/x")
        assert (response.status_code, response.text) == (404, "Not Found")


async def test_starlettes_own_routes_stand_next_to_a_router(app: Recorder) -> None:
    starlette = Starlette(
        routes=[
            WebSocketRoute("/plain/{room}", Room.as_asgi()),
            WebSocketRoute("/{kind}/{rest:path}", URLRouter([path("routed/<int:n>", app)])),
        ]
    )
    await visit(starlette, "/routed/7")
    assert app.route == {"args": (), "kwargs": {"kind": "routed", "rest": "7", "n": 7}}
    async with connected(starlette, path="/plain/lobby") as wire:
        pass
    assert wire.error is None


def test_starlettes_endpoints_find_the_parameters_in_path_params() -> None:
    class Hello(HTTPEndpoint):
        async def get(self, request: Request) -> JSONResponse:
            return JSONResponse(request.path_params)

    assert TestClient(URLRouter([path("hello/<int:n>", Hello)])).get("/hello/3").json() == {"n": 3}


async def test_a_consumer_gets_its_parameters() -> None:
    class Echo(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await self.send(self.scope["url_route"]["kwargs"]["room"])

    async with connected(URLRouter([path("ws/<room>/", Echo.as_asgi())]), path="/ws/lobby/") as wire:
        assert await wire.next_text() == "lobby"


def test_an_http_consumer_gets_its_parameters() -> None:
    class Hello(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, self.scope["url_route"]["kwargs"]["name"].encode())

    assert TestClient(URLRouter([path("hello/<name>", Hello.as_asgi())])).get("/hello/ann").text == "ann"
