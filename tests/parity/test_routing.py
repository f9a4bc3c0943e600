"""URLRouter, with django.urls' path() and re_path()."""

import uuid

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.urls import path, re_path, register_converter


class Probe:
    """An application that remembers the scope it was called with."""

    def __init__(self):
        self.scope = None

    async def __call__(self, scope, receive, send):
        self.scope = scope
        return "served"


async def receive():
    raise AssertionError


async def send(event):
    raise AssertionError


async def route(router, path, **scope):
    return await router({"type": "http", "path": path, **scope}, receive, send)


async def found(routes, path, probe, **scope):
    """Return the args and kwargs with which the probe was reached, and what remained of the path."""
    await route(URLRouter(routes), path, **scope)
    return probe.scope["url_route"]["args"], probe.scope["url_route"]["kwargs"], probe.scope["path_remaining"]


@pytest.fixture
def probe():
    return Probe()


CONVERTERS = [
    ("chat/<int:room>/", "/chat/42/", 42),
    ("chat/<str:room>/", "/chat/a b/", "a b"),
    ("chat/<room>/", "/chat/lobby/", "lobby"),
    ("chat/<slug:room>/", "/chat/a-slug_1/", "a-slug_1"),
    ("chat/<path:room>/", "/chat/a/b/c/", "a/b/c"),
    (
        "chat/<uuid:room>/",
        "/chat/075194d3-6885-417e-a8a8-6c931e272f00/",
        uuid.UUID("075194d3-6885-417e-a8a8-6c931e272f00"),
    ),
]


@pytest.mark.parametrize(("pattern", "asked", "value"), CONVERTERS)
async def test_converters_make_values(probe, pattern, asked, value):
    assert await found([path(pattern, probe)], asked, probe) == ((), {"room": value}, "")


MISSES = [
    ("chat/<int:room>/", "/chat/lobby/"),
    ("chat/<str:room>/", "/chat/a/b/"),
    ("chat/<slug:room>/", "/chat/a b/"),
    ("chat/<uuid:room>/", "/chat/not-a-uuid/"),
    ("chat/", "/chat"),
    ("chat/", "/chat/more/"),
    ("chat/", "/Chat/"),
    ("chat/", "/"),
    ("", "/chat/"),
]


@pytest.mark.parametrize(("pattern", "asked"), MISSES)
async def test_a_path_without_a_route_is_an_error(probe, pattern, asked):
    with pytest.raises(ValueError, match="No route found for path"):
        await route(URLRouter([path(pattern, probe)]), asked)
    assert probe.scope is None


async def test_the_first_route_that_matches_is_taken(probe):
    other = Probe()
    routes = [path("a/", other), path("<str:name>/", probe), path("b/", other)]
    assert await found(routes, "/b/", probe) == ((), {"name": "b"}, "")
    assert other.scope is None


async def test_the_result_of_the_application_is_returned(probe):
    assert await route(URLRouter([path("", probe)]), "/") == "served"


async def test_a_leading_slash_does_not_matter(probe):
    assert await found([path("a/", probe)], "a/", probe) == ((), {}, "")


async def test_regular_expressions_take_named_groups(probe):
    routes = [re_path(r"^chat/(?P<room>\w+)/(?P<part>[0-9]+)?$", probe)]
    assert await found(routes, "/chat/lobby/7", probe) == ((), {"room": "lobby", "part": "7"}, "")
    assert await found(routes, "/chat/lobby/", probe) == ((), {"room": "lobby"}, "")


async def test_regular_expressions_take_unnamed_groups(probe):
    assert await found([re_path(r"^chat/(\w+)/(\d+)/$", probe)], "/chat/a/1/", probe) == (("a", "1"), {}, "")


async def test_named_groups_leave_no_place_for_unnamed_ones(probe):
    assert await found([re_path(r"^(\w+)/(?P<room>\d+)/$", probe)], "/a/1/", probe) == ((), {"room": "1"}, "")


async def test_a_regular_expression_without_an_end_leaves_a_rest(probe):
    assert await found([re_path(r"^chat/", probe)], "/chat/rest/of/it", probe) == ((), {}, "rest/of/it")


async def test_a_regular_expression_without_a_start_is_searched_for(probe):
    assert await found([re_path(r"chat/", probe)], "/any/chat/rest", probe) == ((), {}, "rest")


async def test_a_regular_expression_with_an_end_alone_matches_whole_paths(probe):
    assert await found([re_path(r"chat/$", probe)], "/chat/", probe) == ((), {}, "")
    with pytest.raises(ValueError, match="No route found for path"):
        await route(URLRouter([re_path(r"chat/$", Probe())]), "/any/chat/")


async def test_default_arguments_are_added(probe):
    routes = [path("chat/<str:room>/", probe, {"kind": "public", "room": "always"}), path("b/", probe, kwargs={"c": 1})]
    assert await found(routes, "/chat/lobby/", probe) == ((), {"kind": "public", "room": "always"}, "")
    assert await found(routes, "/b/", probe) == ((), {"c": 1}, "")


async def test_routes_may_have_names(probe):
    routes = [path("a/", probe, name="a"), re_path("^b/$", probe, {"c": 1}, "b")]
    assert await found(routes, "/b/", probe) == ((), {"c": 1}, "")
    assert [route.name for route in routes] == ["a", "b"]


async def test_routers_nest(probe):
    inner = URLRouter([path("<int:message>/", probe), path("", probe, {"all": True})])
    routes = [path("rooms/<str:room>/", inner, {"kind": "public"})]
    assert await found(routes, "/rooms/lobby/7/", probe) == ((), {"room": "lobby", "kind": "public", "message": 7}, "")
    assert await found(routes, "/rooms/lobby/", probe) == ((), {"room": "lobby", "kind": "public", "all": True}, "")


async def test_routers_nest_in_regular_expressions(probe):
    inner = URLRouter([re_path(r"^(\d+)/$", probe)])
    assert await found([re_path(r"^(\w+)/", inner)], "/a/1/", probe) == (("a", "1"), {}, "")


async def test_three_routers_nest(probe):
    routes = [path("a/", URLRouter([path("<int:b>/", URLRouter([path("<int:c>/", probe)]))]))]
    assert await found(routes, "/a/1/2/", probe) == ((), {"b": 1, "c": 2}, "")


async def test_inner_arguments_win(probe):
    assert await found([path("<str:a>/", URLRouter([path("<str:a>/", probe)]))], "/1/2/", probe) == ((), {"a": "2"}, "")


async def test_if_no_inner_route_matches_the_next_outer_one_is_tried(probe):
    other = Probe()
    routes = [path("a/", URLRouter([path("b/", other)])), path("a/<str:rest>/", probe)]
    assert await found(routes, "/a/c/", probe) == ((), {"rest": "c"}, "")
    assert other.scope is None


async def test_if_no_inner_route_matches_at_all_it_is_an_error(probe):
    with pytest.raises(ValueError, match="No route found for path"):
        await route(URLRouter([path("a/", URLRouter([path("b/", probe)]))]), "/a/c/")


async def test_a_router_behind_middleware_nests_with_a_regular_expression(probe):
    inner = BaseMiddleware(URLRouter([path("b/", probe)]))
    assert await found([re_path("^a/", inner)], "/a/b/", probe) == ((), {}, "")


async def test_the_root_path_is_taken_away(probe):
    assert await found([path("a/", probe)], "/behind/a/", probe, root_path="/behind") == ((), {}, "")
    assert probe.scope["path"] == "/behind/a/"
    assert probe.scope["root_path"] == "/behind"


async def test_a_path_outside_of_the_root_path_is_an_error(probe):
    with pytest.raises(ValueError, match="No route found for path"):
        await route(URLRouter([path("a/", probe)]), "/other/a/", root_path="/behind")


async def test_a_scope_without_a_path_is_an_error(probe):
    with pytest.raises(ValueError, match="No 'path' key in connection scope"):
        await URLRouter([path("", probe)])({"type": "channel"}, receive, send)


async def test_the_outer_scope_is_not_changed(probe):
    scope = {"type": "http", "path": "/a/"}
    await URLRouter([path("a/", probe)])(scope, receive, send)
    assert scope == {"type": "http", "path": "/a/"}
    assert probe.scope is not scope


class FourDigits:
    regex = "[0-9]{4}"

    def to_python(self, value):
        if value == "0000":
            raise ValueError(value)
        return int(value)

    def to_url(self, value):
        return f"{value:04}"


async def test_converters_of_ones_own_are_registered(probe):
    register_converter(FourDigits, "parity_year")
    routes = [path("<parity_year:year>/", probe), path("<str:text>/", probe)]
    assert await found(routes, "/2024/", probe) == ((), {"year": 2024}, "")
    assert await found(routes, "/0000/", probe) == ((), {"text": "0000"}, "")


async def test_consumers_see_their_arguments():
    class Room(AsyncWebsocketConsumer):
        async def connect(self):
            await self.accept()
            await self.send(repr(self.scope["url_route"]))

    router = URLRouter([path("ws/<int:room>/", Room.as_asgi())])
    communicator = WebsocketCommunicator(router, "/ws/7/?a=b")
    assert await communicator.connect() == (True, None)
    assert await communicator.receive_from() == repr({"args": (), "kwargs": {"room": 7}})
    await communicator.disconnect()
