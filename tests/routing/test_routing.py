"""The routers: nested, below Starlette's mounts, next to Starlette's routes, and without a route."""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient

from compat.channels.middleware import BaseMiddleware
from compat.channels.routing import URLRouter as CompatURLRouter
from consumers import (
    AsyncHttpConsumer,
    AsyncWebsocketConsumer,
    ChannelNameRouter,
    OriginValidator,
    ProtocolTypeRouter,
    URLRouter,
    lifespan,
    path,
    re_path,
)
from consumers.types import ASGIApp, Message, Receive, Scope, Send

from ..support.wire import Wire, connected, connecting, websocket_scope

pytestmark = pytest.mark.anyio

DENIAL: dict[str, Any] = {"websocket.http.response": {}}


class Recorder:
    """An ASGI application that keeps the scopes it was called with."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)

    @property
    def route(self) -> dict[str, Any]:
        url_route: dict[str, Any] = self.scopes[-1]["url_route"]
        return url_route


@pytest.fixture
def app() -> Recorder:
    return Recorder()


class Room(AsyncWebsocketConsumer): ...


async def never() -> Message:
    raise AssertionError("receive() was called")


async def dropped(message: Message) -> None:
    raise AssertionError(f"{message} was sent")


async def visit(router: ASGIApp, path: str | None, **fields: Any) -> None:
    """Call `router` for a path that it has a route for."""
    await router(websocket_scope(path=path, **fields), never, dropped)


async def refused(router: ASGIApp, path: str, **fields: Any) -> list[Message]:
    """Return what is sent for a path that the router has no route for."""
    async with connecting(router, path=path, **fields) as wire:
        await wire.end()
    assert wire.error is None
    return wire.sent


# URLRouter: matching


async def test_arguments_and_defaults_arrive_in_the_scope(app: Recorder) -> None:
    router = URLRouter(
        [
            path("named/<int:n>/", app, {"kind": "default"}),
            re_path(r"^unnamed/(\w+)/(\d+)$", app),
            path("overridden/<room>", app, kwargs={"room": "fixed"}),
        ]
    )
    await visit(router, "/named/7/")
    assert app.route == {"args": (), "kwargs": {"n": 7, "kind": "default"}}
    await visit(router, "/unnamed/a/1")
    assert app.route == {"args": ("a", "1"), "kwargs": {}}
    await visit(router, "/overridden/a")
    assert app.route == {"args": (), "kwargs": {"room": "fixed"}}


async def test_the_first_pattern_that_matches_wins() -> None:
    first, second = Recorder(), Recorder()
    await visit(URLRouter([path("a", first), re_path("a", second)]), "/a")
    assert (len(first.scopes), len(second.scopes)) == (1, 0)


async def test_an_unanchored_pattern_leaves_path_remaining(app: Recorder) -> None:
    await visit(URLRouter([re_path("^a/", app)]), "/a/b/c")
    assert app.scopes[0]["path_remaining"] == "b/c"
    assert app.scopes[0]["path"] == "/a/b/c"


async def test_path_remaining_of_another_router_is_matched(app: Recorder) -> None:
    await visit(URLRouter([path("b", app)]), "/a/b", path_remaining="b", url_route={"args": (1,), "kwargs": {"x": 2}})
    assert app.route == {"args": (1,), "kwargs": {"x": 2}}


async def test_the_servers_own_scope_is_left_as_it_was(app: Recorder) -> None:
    scope = websocket_scope(path="/a/1", path_params={})
    before = {**scope, "path_params": {}}
    await URLRouter([path("a/<n>", app)])(scope, never, dropped)
    assert scope == before


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_leading_slash_does_not_count(app: Recorder, slash: str) -> None:
    await visit(URLRouter([path("a", app)]), f"{slash}a")
    assert app.scopes


@pytest.mark.parametrize(("whole", "remaining"), [("/x/a", "a"), ("/x/a", "/a"), ("/a", "a"), ("/elsewhere/", "/a")])
async def test_one_slash_does_not_count_where_another_router_has_left_it(
    app: Recorder, whole: str, remaining: str
) -> None:
    await visit(URLRouter([path("a", app)]), whole, path_remaining=remaining)
    assert app.scopes


# URLRouter: nested


async def test_arguments_are_merged_from_the_outer_to_the_inner_router(app: Recorder) -> None:
    inner = URLRouter([re_path(r"^(\d+)/(\d+)$", app), path("<room>/<n>/", app, {"inner": True})])
    router = URLRouter(
        [re_path(r"^x/(\w+)/", inner), path("<int:n>/", URLRouter([path("deep/", inner)]), {"outer": True})]
    )
    await visit(router, "/x/a/1/2")
    assert app.route == {"args": ("a", "1", "2"), "kwargs": {}}
    await visit(router, "/5/deep/lobby/6/")
    assert app.route == {"args": (), "kwargs": {"n": "6", "room": "lobby", "outer": True, "inner": True}}
    assert app.scopes[-1]["path_remaining"] == ""


async def test_an_inner_router_without_a_route_leaves_it_to_the_next_pattern(app: Recorder) -> None:
    inner = URLRouter([path("one", Recorder()), path("deeper/", URLRouter([]))])
    router = URLRouter([path("a/", inner), path("a/two", app, {"second": True}), re_path("^a/deeper/", app)])
    await visit(router, "/a/two")
    assert app.route["kwargs"] == {"second": True}
    await visit(router, "/a/deeper/x")
    assert len(app.scopes) == 2


async def test_an_inner_router_is_found_behind_an_origin_check(app: Recorder) -> None:
    router = URLRouter([path("a/", OriginValidator(URLRouter([path("b/", app)]), ["*"]))])
    await visit(router, "/a/b/")
    assert app.scopes


async def test_an_inner_router_is_found_behind_any_middleware(app: Recorder) -> None:
    inner = URLRouter([path("b/", app)])

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "user": "ann"}, receive, send)

    await visit(URLRouter([re_path("^a/", middleware)]), "/a/b/")
    assert app.scopes[0]["user"] == "ann"
    assert [m["type"] for m in await refused(URLRouter([re_path("^a/", middleware)]), "/a/x")] == ["websocket.close"]


class Slotted:
    """Middleware without a `__dict__`."""

    __slots__ = ("_app",)

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Served:
    """Has a method that is an application, and is none itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def handing_over(scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
    await app(scope, receive, send)


def in_a_closure(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return middleware


def in_a_class_of_a_closure(app: ASGIApp) -> ASGIApp:
    class Middleware:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

    return Middleware()


a_global: ASGIApp


def in_a_global(app: ASGIApp) -> ASGIApp:
    global a_global
    a_global = app

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await a_global(scope, receive, send)

    return middleware


WRAPPERS: dict[str, Callable[[ASGIApp], ASGIApp]] = {
    "origin check": lambda app: OriginValidator(app, ["*"]),
    "protocol router": lambda app: ProtocolTypeRouter({"websocket": app}),
    "slots": Slotted,
    "bound method": lambda app: Served(app).serve,
    "closure": in_a_closure,
    "closure of a class": in_a_class_of_a_closure,
    "global": in_a_global,
    "partial": lambda app: partial(handing_over, app=app),
    "Starlette's middleware": lambda app: CORSMiddleware(app, allow_origins=["*"]),
    "Channels' middleware": BaseMiddleware,
    "several": lambda app: in_a_closure(Slotted(partial(handing_over, app=BaseMiddleware(app)))),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("routers", [URLRouter, CompatURLRouter], ids=["native", "compat"])
async def test_path_leads_to_a_router_behind_any_wrapper(
    app: Recorder, wrap: Callable[[ASGIApp], ASGIApp], routers: type[URLRouter]
) -> None:
    inner = wrap(routers([path("b/<int:n>/", app)]))
    other = Recorder()
    router = routers([path("a/<str:room>/", inner), path("a/<str:room>/c/", other)])
    await visit(router, "/a/lobby/b/7/")
    assert app.route["kwargs"] == {"room": "lobby", "n": 7}
    await visit(router, "/a/lobby/c/")
    assert other.scopes


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
async def test_path_matches_whole_paths_where_no_router_is_wrapped(
    app: Recorder, wrap: Callable[[ASGIApp], ASGIApp]
) -> None:
    router = URLRouter([path("a/", wrap(app))])
    assert [message["type"] for message in await refused(router, "/a/b/")] == ["websocket.close"]
    assert not app.scopes


class Proxy:
    """Stands for something that is not there yet."""

    __slots__ = ("_app",)

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("too early")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class ClassProxy:
    """Says of what class it is when it has been set up, as Django's settings and lazy objects do."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("too early")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class DictProxy:
    """Has no attributes until it has been set up, as what stands for an object of the current context."""

    _app: ASGIApp

    def __init__(self, app: ASGIApp) -> None:
        object.__setattr__(self, "_app", app)

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("too early")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__dict__", "__mro__"):
            raise RuntimeError("too early")
        return super().__getattribute__(name)


class MetaProxy(metaclass=Meta):
    """Its class does not want to be looked into either."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class PartialProxy(partial[Any]):
    """Tells late what it calls."""

    @property
    def func(self) -> Any:
        raise RuntimeError("too early")


class ProtocolProxy(ProtocolTypeRouter):
    """Tells late what it leads to."""

    def __init__(self) -> None: ...

    @property
    def application_mapping(self) -> Any:  # type: ignore[override]
        raise RuntimeError("too early")


PROXIES: dict[str, Callable[[ASGIApp], ASGIApp]] = {
    "attributes": Proxy,
    "class": lambda app: ClassProxy(),
    "dict": DictProxy,
    "class' dict": lambda app: MetaProxy(),
    "partial": PartialProxy,
    "protocol router": lambda app: ProtocolProxy(),
}


@pytest.mark.parametrize("kind", PROXIES)
async def test_looking_for_a_wrapped_router_runs_none_of_the_wrappers_code(app: Recorder, kind: str) -> None:
    proxy = PROXIES[kind](app)
    inner = URLRouter([path("b/", app)])

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "nothing":
            await proxy(scope, receive, send)
        await inner(scope, receive, send)

    router = URLRouter([path("a/", wrapper), path("c/", proxy)])
    await visit(router, "/a/b/")
    assert app.scopes


async def test_a_class_attribute_of_a_foreign_class_is_looked_at_without_running_its_code(app: Recorder) -> None:
    class Odd:
        proxy = ClassProxy()
        borrowed = vars(Slotted)["_app"]
        __dict__ = vars(Recorder)["__dict__"]

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

    await visit(URLRouter([path("a/", Odd())]), "/a/")
    assert app.scopes


class Asked:
    """An application that other functions mention too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, *arguments: Any) -> None:
        await self.app(*arguments)


asked: Asked


async def mentioning(scope: Scope, receive: Receive, send: Send) -> None:
    assert callable(asked.app) and callable(asked)


async def calling(*arguments: Any) -> None:
    await asked(*arguments)


async def handing(*arguments: Any) -> None:
    await [asked][0](*arguments)


async def test_a_function_that_calls_no_router_is_no_prefix(app: Recorder) -> None:
    global asked
    asked = Asked(URLRouter([path("b/", app)]))
    router = URLRouter([path("a/", mentioning), path("c/", calling), re_path("^d/", handing), re_path("^e/$", calling)])
    assert [message["type"] for message in await refused(router, "/a/b/")] == ["websocket.close"]
    for begin in ("/c", "/d"):
        await visit(router, f"{begin}/b/")
    assert len(app.scopes) == 2
    assert [message["type"] for message in await refused(router, "/e/b/")] == ["websocket.close"]


async def test_the_search_for_a_wrapped_router_ends_soon() -> None:
    class Node:
        looked_at = 0

        def __init__(self, depth: int) -> None:
            self.depth = depth

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    wide, deep = Node(0), Node(0)
    vars(wide).update((f"n{n}", Node(1)) for n in range(100_000))
    node = deep
    for n in range(100_000):
        node.below = node = Node(n)  # type: ignore[attr-defined]
    started = time.process_time()
    URLRouter([path(f"{n}/", root) for root in (wide, deep) for n in range(10)])
    assert time.process_time() - started < 1  # 0.03 here; without an end, a minute


async def test_nesting_leaves_the_pattern_itself_alone(app: Recorder) -> None:
    route = path("a/", URLRouter([path("b/", app)]))
    URLRouter([route])
    assert route.pattern.match("a/b/") is None


@settings(deadline=None)
@given(st.lists(st.text("ab/", max_size=3), max_size=3), st.text("ab/", max_size=6))
def test_nested_prefixes_match_as_their_concatenation_does(prefixes: list[str], tail: str) -> None:
    """A nested router matches what one flat route does, except that one slash at a seam does not count."""
    app = Recorder()
    router = URLRouter([re_path(f"^{tail.lstrip('/')}$", app)])
    for prefix in reversed(prefixes):
        router = URLRouter([path(prefix.lstrip("/"), router)])
    whole = "".join(prefix.lstrip("/") for prefix in prefixes) + tail.lstrip("/")
    call = router(websocket_scope(path=f"/{whole}"), never, dropped)
    with pytest.raises(StopIteration):  # the whole way needs no event loop
        call.__await__().__next__()
    assert app.scopes[0]["path_remaining"] == ""


# URLRouter: patterns made by Django, by stand-ins that have no more than what Django documents and Channels uses


class DjangoRegexPattern:
    converters: dict[str, Any] = {}

    def __init__(self, regex: str, name: str | None = None, is_endpoint: bool = False) -> None:
        self._regex, self.name, self._is_endpoint = regex, name, is_endpoint

    def match(self, path: str) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
        match = re.search(self._regex, path)
        if match is None:
            return None
        return path[match.end() :], () if match.groupdict() else match.groups(), match.groupdict()


class DjangoRoutePattern:
    def __init__(self, route: str, name: str | None = None, is_endpoint: bool = False) -> None:
        self._route, self.name, self._is_endpoint = route, name, is_endpoint
        self._regex = "not to be used"

    def match(self, path: str) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
        if path != self._route if self._is_endpoint else not path.startswith(self._route):
            return None
        return path[len(self._route) :], (), {}

    def __str__(self) -> str:
        return self._route


class DjangoURLPattern:
    def __init__(self, pattern: Any, callback: Any, default_args: dict[str, Any] | None = None) -> None:
        self.pattern, self.callback, self.default_args, self.name = pattern, callback, default_args or {}, pattern.name


class DjangoURLResolver:
    """What `include()` makes."""

    callback = None
    default_kwargs: dict[str, Any] = {}

    def __init__(self, pattern: Any, urlconf_name: Any) -> None:
        self.pattern, self.urlconf_name = pattern, urlconf_name


def django_path(route: str, view: Any, kwargs: dict[str, Any] | None = None) -> DjangoURLPattern:
    return DjangoURLPattern(DjangoRoutePattern(route, is_endpoint=True), view, kwargs)


def django_re_path(regex: str, view: Any) -> DjangoURLPattern:
    return DjangoURLPattern(DjangoRegexPattern(regex, is_endpoint=True), view)


async def test_djangos_patterns_are_taken(app: Recorder) -> None:
    inner = URLRouter([django_path("b/", app, {"x": 1}), path("c/<n>", app), django_re_path(r"^(\d+)$", app)])
    router = URLRouter([django_path("a/", inner), django_re_path(r"^r/(?P<y>\w)/", inner)])
    for given_path, expected in {
        "/a/b/": {"args": (), "kwargs": {"x": 1}},
        "/r/z/c/5": {"args": (), "kwargs": {"y": "z", "n": "5"}},
        "/a/77": {"args": ("77",), "kwargs": {}},
    }.items():
        await visit(router, given_path)
        assert app.route == expected
    await refused(router, "/a/b/more")
    assert len(app.scopes) == 3


def test_djangos_include_says_what_to_write_instead() -> None:
    with pytest.raises(TypeError, match=r"include\(\) is not supported in URLRouter. Use nested URLRouter instances"):
        URLRouter([DjangoURLResolver(DjangoRoutePattern("a/"), [])])  # type: ignore[list-item]


# URLRouter and Starlette


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


# URLRouter: no route


async def test_a_websocket_without_a_route_is_answered_with_404(caplog: pytest.LogCaptureFixture) -> None:
    start, body = await refused(URLRouter([path("a", Recorder())]), "/b", extensions=DENIAL)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert (body["type"], body["body"]) == ("websocket.http.response.body", b"Not Found")
    assert caplog.messages == ["no route for the websocket path '/b'"]


async def test_a_websocket_without_a_route_is_rejected_where_the_server_cannot_answer() -> None:
    assert await refused(URLRouter([]), "/b") == [{"type": "websocket.close", "code": 1000, "reason": ""}]


async def test_nested_routers_without_a_route_answer_once(caplog: pytest.LogCaptureFixture) -> None:
    inner = URLRouter([path("b/", URLRouter([path("c/", Recorder())]))])
    events = await refused(URLRouter([path("a/", inner), re_path("^a", inner)]), "/a/b/x")
    assert [event["type"] for event in events] == ["websocket.close"]
    assert caplog.messages == ["no route for the websocket path '/a/b/x'"]


def test_an_http_request_without_a_route_is_answered_with_404(caplog: pytest.LogCaptureFixture) -> None:
    response = TestClient(URLRouter([])).get("/b")
    assert (response.status_code, response.text) == (404, "Not Found")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    ours = [record for record in caplog.records if record.name == "consumers.routing"]
    assert [(record.levelno, record.exc_info) for record in ours] == [(logging.WARNING, None)]
    assert ours[0].getMessage() == "no route for the http path '/b'"


async def test_a_path_cannot_forge_a_line_of_log(caplog: pytest.LogCaptureFixture) -> None:
    await refused(URLRouter([]), "/b\r\nroot logged in\x1b[2J")
    assert caplog.messages == [r"no route for the websocket path '/b\r\nroot logged in\x1b[2J'"]


@pytest.mark.parametrize("extensions", [DENIAL, {}])
async def test_a_client_that_has_gone_gets_no_answer_and_makes_no_error(extensions: Any) -> None:
    router, wire = URLRouter([]), Wire()
    wire.disconnect()
    await router(websocket_scope(extensions=extensions), wire.app_receive, wire.app_send)
    wire.client("connect")
    wire.gone = True
    await router(websocket_scope(extensions=extensions), wire.app_receive, wire.app_send)
    assert wire.sent == []


async def test_another_kind_of_connection_without_a_route_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"No route found for path 'b'\."):
        await visit(URLRouter([]), "/b", type="mqtt")


async def test_a_scope_without_a_path_is_an_error_that_says_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"^No 'path' key in connection scope, .* 'lifespan' .*ProtocolTypeRouter"):
        await URLRouter([re_path("", Recorder())])({"type": "lifespan"}, never, dropped)


class StrictRouter(URLRouter):
    strict = True


async def test_a_strict_router_raises_as_channels_does(app: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    router = StrictRouter([path("a/", StrictRouter([path("b", app)])), path("c", app)])
    for given_path, fields, named in [
        ("/b", {}, "'b'"),
        ("/a/x", {}, "'a/x'"),
        ("/base/x", {"root_path": "/base"}, "'x'"),
        ("/c", {"root_path": "/base"}, "'/c'"),
        ("/b", {"type": "http"}, "'b'"),
        ("/a/x", {"path_remaining": "x"}, "'x'"),
    ]:
        with pytest.raises(ValueError, match=rf"^No route found for path {named}\.$"):
            await visit(router, given_path, **fields)
    assert caplog.messages == []
    await visit(router, "/a/b")
    assert app.scopes


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ([WebSocketRoute("/ws", Room.as_asgi())], r"takes what path\(\) and re_path\(\) make, not WebSocketRoute"),
        ([Room.as_asgi()], r"not Room\.as_asgi\(\)"),
        (path("a", Room.as_asgi()), "takes a list of patterns, not URLPattern"),
        ([django_path("a/", Room)], r"pattern 'a/': Room is a class.*write Room\.as_asgi\(\)"),
        ([DjangoURLPattern(DjangoRoutePattern("a/"), None)], "None is no ASGI application"),
    ],
)
def test_a_mistake_in_the_routes_is_named(routes: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        URLRouter(routes)


# ProtocolTypeRouter and ChannelNameRouter


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
