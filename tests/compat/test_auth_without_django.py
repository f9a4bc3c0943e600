"""Sessions and users without Django: Starlette's, under Channels' names."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    SimpleUser,
    UnauthenticatedUser,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware as StarletteAuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware as StarletteSessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import compat
from compat import conf
from compat.channels.auth import AuthMiddleware, AuthMiddlewareStack, UserLazyObject, get_user, login, logout
from compat.channels.generic.http import AsyncHttpConsumer
from compat.channels.generic.websocket import AsyncWebsocketConsumer
from compat.channels.sessions import CookieMiddleware, SessionMiddleware, SessionMiddlewareStack
from consumers.types import ASGIApp, Scope

SECRET = "for these tests only"


class Backend(AuthenticationBackend):
    """Finds the user by the name that the session holds; refuses the name "mallory"."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        name = conn.session.get("name")
        if name == "mallory":
            raise AuthenticationError("no Mallory here")
        return (AuthCredentials(["chat"]), SimpleUser(name)) if name else None


class Anyone(AuthenticationBackend):
    """Takes everybody for ann, without a session."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        return AuthCredentials(), SimpleUser("ann")


class Teller(AsyncWebsocketConsumer):
    """Tells what is in its scope."""

    async def connect(self) -> None:
        await self.accept()
        user = await get_user(self.scope)
        assert user is self.scope["user"]
        scopes = self.scope["auth"].scopes if "auth" in self.scope else None
        await self.send(f"{user.display_name or 'nobody'} {scopes} {dict(self.scope['session'])}")


class Page(AsyncHttpConsumer):
    """Writes the name in the query into the session."""

    async def handle(self, body: bytes) -> None:
        self.scope["session"]["name"] = self.scope["query_string"].decode()
        await self.send_response(200, self.scope["user"].display_name.encode())


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, no_layer: None) -> None:
    monkeypatch.setattr(conf, "_configured", {})


async def log_in(request: Request) -> PlainTextResponse:
    """Log the user of this name in, as Starlette's documentation does."""
    request.session["name"] = request.path_params["name"]
    return PlainTextResponse("welcome")


def site(application: ASGIApp, *, secret: str = SECRET, middleware: bool = False) -> Starlette:
    """Return a site where one logs in, with an application for WebSockets beside its middleware or inside."""
    sessions = Middleware(StarletteSessionMiddleware, secret_key=secret)
    users = Middleware(StarletteAuthenticationMiddleware, backend=Backend())
    pages = Starlette(routes=[Route("/login/{name}", log_in)], middleware=[sessions])
    return Starlette(
        routes=[WebSocketRoute("/ws", application), Mount("/", pages)],
        middleware=[sessions, users] if middleware else [],
    )


def told(client: TestClient, path: str = "/ws") -> str:
    with client.websocket_connect(path) as websocket:
        return websocket.receive_text()


def test_a_user_who_logged_in_by_starlette_is_known() -> None:
    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=Backend())
    client = TestClient(site(AuthMiddlewareStack(Teller.as_asgi())))
    assert told(client) == "nobody [] {}"
    client.get("/login/ann")
    assert told(client) == "ann ['chat'] {'name': 'ann'}"


def test_a_cookie_with_another_signature_is_nobodys() -> None:
    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=Backend())
    client = TestClient(site(AuthMiddlewareStack(Teller.as_asgi()), secret="another"))
    client.get("/login/ann")
    assert told(client) == "nobody [] {}"


@pytest.mark.parametrize("backend", [Backend(), Backend, f"{__name__}.Backend"])
def test_the_backend_is_an_object_a_class_or_its_name(backend: object) -> None:
    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=backend)
    client = TestClient(site(AuthMiddlewareStack(Teller.as_asgi())))
    client.get("/login/ann")
    assert told(client).startswith("ann")


def test_a_backend_that_refuses_rejects_the_handshake() -> None:
    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=Backend())
    client = TestClient(site(AuthMiddlewareStack(Teller.as_asgi())))
    client.get("/login/mallory")
    with pytest.raises(WebSocketDisconnect):
        told(client)


def test_a_backend_that_refuses_is_a_bad_request() -> None:
    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=Backend())
    client = TestClient(AuthMiddlewareStack(Page.as_asgi()))
    assert client.get("/?mallory").text == ""
    answer = client.get("/")
    assert (answer.status_code, answer.text) == (400, "no Mallory here")


def test_an_http_response_saves_the_session_in_the_cookie_of_the_settings() -> None:
    compat.configure(
        SECRET_KEY=SECRET,
        AUTHENTICATION_BACKEND=Backend(),
        SESSION_COOKIE_NAME="sid",
        SESSION_COOKIE_AGE=60,
        SESSION_COOKIE_PATH="/x",
        SESSION_COOKIE_SAMESITE="strict",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_DOMAIN="example.com",
    )
    client = TestClient(AuthMiddlewareStack(Page.as_asgi()), base_url="https://example.com")
    header = client.get("/x?ann").headers["set-cookie"]
    assert header.startswith("sid=")
    assert {"path=/x", "Max-Age=60", "httponly", "samesite=strict", "secure", "domain=example.com"} <= set(
        header.split("; ")
    )
    assert client.get("/x?bob").text == "ann"


def test_sessions_alone_need_no_backend() -> None:
    class Counter(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            self.scope["session"]["count"] = self.scope["session"].get("count", 0) + 1
            await self.send_response(200, str(self.scope["session"]["count"]).encode())

    compat.configure(SECRET_KEY=SECRET)
    client = TestClient(SessionMiddlewareStack(Counter.as_asgi()))
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]


# Middleware that is there already


def test_session_and_user_of_outer_middleware_pass_through_without_any_setting() -> None:
    client = TestClient(site(AuthMiddlewareStack(Teller.as_asgi()), middleware=True))
    client.get("/login/ann")
    assert told(client) == "ann ['chat'] {'name': 'ann'}"


def test_the_backend_finds_users_by_an_outer_session() -> None:
    compat.configure(AUTHENTICATION_BACKEND=Backend())
    stack = StarletteSessionMiddleware(AuthMiddlewareStack(Teller.as_asgi()), secret_key=SECRET)
    client = TestClient(site(stack))
    client.get("/login/ann")
    assert told(client).startswith("ann")


def test_an_outer_user_stays_whoever_the_session_knows() -> None:
    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=Backend())
    stack = StarletteAuthenticationMiddleware(AuthMiddlewareStack(Teller.as_asgi()), backend=Anyone())
    client = TestClient(site(stack))
    client.get("/login/bob")
    assert told(client) == "ann [] {'name': 'bob'}"


def test_a_session_is_not_asked_for_where_the_backend_needs_none() -> None:
    class Name(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, self.scope["user"].display_name.encode())

    compat.configure(AUTHENTICATION_BACKEND=Anyone())
    assert TestClient(AuthMiddleware(Name.as_asgi())).get("/").text == "ann"


# What is missing


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("stack", [AuthMiddlewareStack, SessionMiddlewareStack])
def test_a_missing_secret_key_is_named_with_the_line_to_write(
    kind: str, stack: Callable[[ASGIApp], CookieMiddleware]
) -> None:
    client = TestClient(stack(Teller.as_asgi()))
    with pytest.raises(ValueError, match=r'no SECRET_KEY.*: write compat\.configure\(SECRET_KEY="…"\)'):
        told(client, "/") if kind == "websocket" else client.get("/")


def test_a_missing_backend_is_named_with_the_line_to_write() -> None:
    compat.configure(SECRET_KEY=SECRET)
    client = TestClient(AuthMiddlewareStack(Teller.as_asgi()))
    with pytest.raises(ValueError, match=r"no AUTHENTICATION_BACKEND.*compat\.configure\(AUTHENTICATION_BACKEND="):
        told(client)


@pytest.mark.parametrize("dotted", ["nowhere.at.all", f"{__name__}.Nothing", "Backend"])
def test_a_backend_that_cannot_be_imported_is_named(dotted: str) -> None:
    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=dotted)
    with pytest.raises(ValueError, match=f"AUTHENTICATION_BACKEND: cannot import '{dotted}'"):
        told(TestClient(AuthMiddlewareStack(Teller.as_asgi())))


def test_a_missing_itsdangerous_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "starlette.middleware.sessions")
    monkeypatch.setitem(sys.modules, "itsdangerous", None)
    compat.configure(SECRET_KEY=SECRET)
    with pytest.raises(ValueError, match=r"pip install 'starlette-consumers\[sessions\]'"):
        told(TestClient(SessionMiddlewareStack(Teller.as_asgi())))


def test_the_stack_is_made_before_the_settings_are_known() -> None:
    client = TestClient(site(AuthMiddlewareStack(Teller.as_asgi())))
    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=Backend())
    assert told(client).startswith("nobody")


# The functions


@pytest.mark.anyio
async def test_a_scope_without_a_user_is_an_error() -> None:
    with pytest.raises(ValueError, match="put AuthMiddlewareStack around"):
        await get_user({"session": {}})


@pytest.mark.anyio
async def test_logging_in_and_out_say_what_to_write_instead() -> None:
    with pytest.raises(RuntimeError, match=r'write request\.session\["user_id"\] = user\.id in the HTTP endpoint'):
        await login({"session": {}}, SimpleUser("ann"))
    with pytest.raises(RuntimeError, match=r"write request\.session\.clear\(\) in the HTTP endpoint"):
        await logout({"session": {}})


# Middleware of one's own


def test_a_subclass_finds_the_user_in_another_way() -> None:
    class ByQuery(AuthMiddleware):
        def populate_scope(self, scope: Scope) -> None:
            super().populate_scope(scope)
            assert type(scope["user"]) is UserLazyObject
            with pytest.raises(ValueError, match="before it is ready"):
                scope["user"].display_name  # noqa: B018

        async def resolve_scope(self, scope: Scope) -> None:
            scope["user"]._wrapped = SimpleUser(scope["query_string"].decode())

    compat.configure(SECRET_KEY=SECRET)
    client = TestClient(SessionMiddlewareStack(ByQuery(Teller.as_asgi())))
    assert told(client, "/?ann") == "ann None {}"


def test_the_object_in_the_users_place_is_like_the_user() -> None:
    class Named:
        name = "ann"

        def __eq__(self, other: object) -> bool:
            return getattr(other, "name", None) == self.name

        def __hash__(self) -> int:
            return 7

        def __str__(self) -> str:
            return self.name

        def __bool__(self) -> bool:
            return False

    lazy: Any = UserLazyObject()
    lazy._wrapped = user = Named()
    assert lazy == user
    assert isinstance(lazy, Named)
    assert (lazy.name, str(lazy), hash(lazy), bool(lazy)) == ("ann", "ann", 7, False)
    lazy.name = "bob"
    assert user.name == "bob"


@pytest.mark.parametrize("use", [str, bool, hash, lambda lazy: lazy == 1, lambda lazy: isinstance(lazy, str)])
def test_nothing_can_be_asked_of_a_user_who_is_not_known_yet(use: Callable[[Any], object]) -> None:
    with pytest.raises(ValueError, match="before it is ready"):
        use(UserLazyObject())


def test_the_stack_is_three_middlewares_as_with_django() -> None:
    inner = Teller.as_asgi()
    stack: Any = AuthMiddlewareStack(inner)
    types = (type(stack), type(stack.inner), type(stack.inner.inner))
    assert types == (CookieMiddleware, SessionMiddleware, AuthMiddleware)
    assert stack.inner.inner.inner is inner


def test_an_unknown_user_is_starlettes() -> None:
    seen: list[Any] = []

    class Looking(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            seen.append(self.scope["user"])
            await self.send_response(200, b"")

    compat.configure(SECRET_KEY=SECRET, AUTHENTICATION_BACKEND=Backend)
    TestClient(AuthMiddlewareStack(Looking.as_asgi())).get("/")
    assert [type(user) for user in seen] == [UnauthenticatedUser]
