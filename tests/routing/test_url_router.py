"""URLRouter: its patterns, those of Django, and paths without a route."""

import logging
import re
from typing import Any

import pytest
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient

from consumers import URLRouter, path, re_path

from ..support.routers import DENIAL, Recorder, Room, dropped, never, refused, visit
from ..support.wire import Wire, websocket_scope

pytestmark = pytest.mark.anyio


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


# URLRouter: patterns made by Django, by stand-ins that have no more than what Django documents and Channels uses


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
