"""Which consumers an application has, and at which addresses."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute

from consumers import (
    AsyncHttpConsumer,
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    OriginValidator,
    ProtocolTypeRouter,
    URLRouter,
    path,
    re_path,
)
from consumers.typed import TypedConsumer
from consumers.typed.channels import Channel, channels_of, without_groups


class Chat(TypedConsumer): ...


class Feed(AsyncWebsocketConsumer): ...


def addresses(application: Any) -> list[tuple[str, str]]:
    """Return the names and addresses of an application's channels."""
    return [(channel.name, channel.address) for channel in channels_of(application)]


def only(application: Any) -> Channel:
    [channel] = channels_of(application)
    return channel


class Wrapper:
    """Middleware of an application's own."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.inner(scope, receive, send)


def closure(inner: Any) -> Callable[..., Any]:
    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    return wrapper


async def page(request: Any) -> PlainTextResponse:
    return PlainTextResponse("page")


def test_starlettes_routes_mounts_and_hosts() -> None:
    app = Starlette(
        routes=[
            Route("/", page),
            WebSocketRoute("/chat/{room}", Chat.as_asgi()),
            WebSocketRoute("/feed/{id:int}/{rest:path}", Feed.as_asgi()),
            Mount("/api/{version:int}", routes=[WebSocketRoute("/chat/{room:uuid}", Chat.as_asgi())]),
            Mount("/mounted", Feed.as_asgi()),
            Mount("/inner", Starlette(routes=[Mount("/deep", Router([WebSocketRoute("/", Chat.as_asgi())]))])),
            Host("{user}.example.com", Router([WebSocketRoute("/of-host", Chat.as_asgi())])),
        ]
    )
    assert addresses(app) == [
        ("Chat", "/chat/{room}"),
        ("Feed", "/feed/{id}/{rest}"),
        ("Chat2", "/api/{version}/chat/{room}"),
        ("Feed2", "/mounted"),
        ("Chat3", "/inner/deep/"),
        ("Chat4", "/of-host"),
    ]
    parameters = [channel.parameters for channel in channels_of(app)]
    assert parameters[:3] == [{"room": "str"}, {"id": "int", "rest": "path"}, {"version": "int", "room": "uuid"}]


def test_no_two_channels_have_one_name() -> None:
    other = type("Chat2", (TypedConsumer,), {})
    classes: list[Any] = [Chat, Chat, other, Chat, other, Feed]
    app = Starlette(routes=[WebSocketRoute(f"/{number}", each.as_asgi()) for number, each in enumerate(classes)])
    assert [name for name, _ in addresses(app)] == ["Chat", "Chat3", "Chat2", "Chat4", "Chat22", "Feed"]


def test_a_class_in_the_place_of_an_application_is_an_error() -> None:
    right = WebSocketRoute("/chat", Chat.as_asgi())
    wrong: Any = Feed
    endpoints = FastAPI()
    endpoints.add_api_websocket_route("/room/{id}", wrong)
    for app in (
        Starlette(routes=[right, WebSocketRoute("/room/{id}", wrong)]),
        Starlette(routes=[right, Mount("/room", Router([WebSocketRoute("/{id}", wrong)]))]),
        Starlette(routes=[right, Mount("/room/{id}", wrong)]),
        endpoints,
    ):
        with pytest.raises(
            TypeError, match=r"/room/\{id\}: Feed is a class, not an ASGI app.*: write Feed\.as_asgi\(\)"
        ):
            channels_of(app)


def test_routers_of_this_package_may_be_nested() -> None:
    inner = URLRouter(
        [
            path("room/<int:number>/", Chat.as_asgi()),
            re_path(r"^feed/(?P<name>\w+)/(?P<page>\d{1,3})/$", Feed.as_asgi()),
        ]
    )
    app = URLRouter([path("ws/<slug:tenant>/", Wrapper(inner)), path("", Feed.as_asgi())])
    assert addresses(app) == [
        ("Chat", "/ws/{tenant}/room/{number}/"),
        ("Feed", "/ws/{tenant}/feed/{name}/{page}/"),
        ("Feed2", "/"),
    ]
    assert channels_of(app)[0].parameters == {"tenant": "slug", "number": "int"}
    assert channels_of(app)[1].parameters == {"tenant": "slug", "name": "str", "page": "str"}


def test_a_url_router_may_be_below_a_mount() -> None:
    routed = URLRouter([path("chat/", Chat.as_asgi())])
    assert addresses(Starlette(routes=[Mount("/ws", routed)])) == [("Chat", "/ws/chat/")]
    assert addresses(Starlette(routes=[Mount("/", routed)])) == [("Chat", "/chat/")]


@pytest.mark.parametrize(
    ("regex", "address"),
    [
        (r"^chat/$", "chat/"),
        (r"^chat/(?P<room>[\w.-]+)/$", "chat/{room}/"),
        (r"^chat/(\w+)/(\d+)\Z", "chat/{part1}/{part2}"),
        (r"^a\.b/(?P<x>[()]+|(a|b))/c$", "a.b/{x}/c"),
        (r"^a(?:b|c)/(?P<x>\(\))$", "a{part1}/{x}"),
        (r"^\d{4}/(?P<x>.)/?$", "{part1}/{x}"),
        (r"^v[12]/\w+$", "v{part1}/{part2}"),
        (r"^a|^b", "a"),
        (r"^x(?=y)y.z/.*$", "xy.z/{part1}"),
        (r"^(?P<x>[^/)]+)\d\d[^]a]$", "{x}{part1}"),
        (r"(?i)^chat\Z", "chat"),
    ],
)
def test_a_regular_expression_as_an_address(regex: str, address: str) -> None:
    assert without_groups(regex) == address


@pytest.mark.parametrize(
    "wrap",
    [
        Wrapper,
        closure,
        lambda inner: OriginValidator(inner, ["example.com"]),
        lambda inner: ProtocolTypeRouter({"http": Starlette(routes=[Route("/", page)]), "websocket": inner}),
        lambda inner: ProtocolTypeRouter({"websocket": OriginValidator(Wrapper(closure(inner)), ["*"])}),
        lambda inner: CORSMiddleware(TrustedHostMiddleware(inner, ["*"])),
        lambda inner: Starlette(routes=[Mount("/", inner)], middleware=[Middleware(CORSMiddleware)]),
    ],
)
def test_middleware_may_be_around(wrap: Callable[[Any], Any]) -> None:
    routed = Router([WebSocketRoute("/chat", Wrapper(Chat.as_asgi()))])
    assert addresses(wrap(routed)) == [("Chat", "/chat")]


def test_a_consumer_alone_is_an_application() -> None:
    assert addresses(Chat.as_asgi()) == [("Chat", "/")]
    assert only(Chat.as_asgi()).contract is not None
    assert only(Feed.as_asgi()).contract is None


def user(token: str) -> str:
    return token


def test_fastapis_routes_have_what_it_knows_of_them() -> None:
    class Room(TypedConsumer):
        async def connect(self, room: str, user: Annotated[str, Depends(user)], page: int = 1) -> None: ...

    inner = APIRouter(prefix="/inner", dependencies=[Depends(user)])
    inner.add_api_websocket_route("/room/{room}", Room.as_endpoint())
    outer = APIRouter(prefix="/outer")
    outer.include_router(inner, prefix="/between")
    mounted = FastAPI()
    mounted.add_api_websocket_route("/{room}", Room.as_endpoint())
    app = FastAPI(dependencies=[Depends(user)])
    app.add_api_websocket_route("/room/{room}", Room.as_endpoint())
    app.include_router(outer, prefix="/v1")
    app.include_router(outer, prefix="/v2")
    app.mount("/sub", mounted)
    app.router.add_websocket_route("/plain", Feed.as_asgi())

    assert addresses(app) == [
        ("Room", "/room/{room}"),
        ("Room2", "/v1/outer/between/inner/room/{room}"),
        ("Room3", "/v2/outer/between/inner/room/{room}"),
        ("Room4", "/sub/{room}"),
        ("Feed", "/plain"),
    ]
    dependants = [channel.dependant for channel in channels_of(app)]
    assert [len(dependant.dependencies) for dependant in dependants[:4]] == [2, 3, 3, 1]  # the routers' too
    assert dependants[4] is None
    assert {field.alias for field in dependants[0].query_params} == {"page"}


def test_a_fastapi_without_route_contexts_has_its_routes_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("fastapi.routing.iter_route_contexts", raising=False)
    app = FastAPI()
    app.add_api_websocket_route("/room/{room}", Chat.as_endpoint())
    assert addresses(app) == [("Chat", "/room/{room}")]
    assert only(app).dependant is not None


def test_what_is_no_websocket_consumer_is_no_channel() -> None:
    class Page(AsyncHttpConsumer): ...

    class Endpoint(BaseWSEndpoint): ...

    app = Starlette(
        routes=[
            Route("/page", Page.as_asgi()),
            Mount("/pages", Page.as_asgi()),
            WebSocketRoute("/endpoint", Endpoint),
            WebSocketRoute("/feed", Feed.as_asgi()),
        ]
    )
    assert addresses(app) == [("Feed", "/feed")]


@pytest.mark.parametrize("application", [Starlette(), FastAPI(), URLRouter([]), None, BaseModel, 5])
def test_an_application_without_consumers_is_an_error(application: Any) -> None:
    with pytest.raises(TypeError, match=r"no consumer is found in .*: give the application whose routes have Chat.as_"):
        channels_of(application)
