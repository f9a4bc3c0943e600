"""A URLRouter in another one, also behind middleware."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.middleware.cors import CORSMiddleware

from compat.channels.middleware import BaseMiddleware
from compat.channels.routing import URLRouter as CompatURLRouter
from consumers import OriginValidator, ProtocolTypeRouter, URLRouter, path, re_path
from consumers.types import ASGIApp, Receive, Scope, Send

from ..support.routers import Recorder, dropped, never, refused, visit
from ..support.wire import websocket_scope

pytestmark = pytest.mark.anyio


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


@pytest.mark.slow
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
