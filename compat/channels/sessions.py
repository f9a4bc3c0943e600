"""Cookies and sessions in the scope: Django's sessions where it is in use, else Starlette's."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.cookies import SimpleCookie
from importlib import import_module
from typing import Any, Literal

from starlette.requests import cookie_parser

from consumers.types import ASGIApp, Message, Receive, Scope, Send

from ..conf import setting, uses_django
from ..lazy import LazyObject
from ..starlette_auth import with_session
from .db import database_sync_to_async

SAMESITE = ("strict", "lax", "none")
LONG_AGO = "Thu, 01-Jan-1970 00:00:00 GMT"


class CookieMiddleware:
    """ASGI middleware that puts the request's cookies into scope["cookies"], a dict of strings."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if "headers" not in scope:
            raise ValueError(
                "CookieMiddleware was passed a scope that did not have a headers key (make sure it is only passed HTTP "
                f"or WebSocket connections), of type {scope.get('type')!r}"
            )
        header = "; ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie")
        return await self.inner({**scope, "cookies": cookie_parser(header)}, receive, send)

    @classmethod
    def set_cookie(
        cls,
        message: Message,
        key: str,
        value: object = "",
        max_age: int | None = None,
        expires: str | datetime | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool | None = False,
        httponly: bool | None = False,
        samesite: str | Literal[False] | None = "lax",
    ) -> None:
        """Add a cookie to an event that carries headers to the client.

        Args:
            message: such as `http.response.start` or `websocket.accept`.
            key: the cookie's name.
            value: a string; bytes are UTF-8.
            max_age: seconds the cookie lives; None and no `expires`: until the browser is closed.
            expires: an HTTP date; or a datetime, UTC if it has no zone, which `max_age` follows from.
            path: the path it is sent for.
            domain: the domain it is sent to; None: this host only.
            secure: by HTTPS only.
            httponly: hidden from scripts.
            samesite: "strict", "lax" or "none"; None or False, as Django's setting may be: the browser decides.

        Raises:
            AssertionError: there is no such `samesite`.
        """
        assert not samesite or samesite.lower() in SAMESITE, f"samesite must be one of {SAMESITE}, not {samesite!r}"
        cookies = SimpleCookie({key: value.decode() if isinstance(value, bytes) else str(value)})
        if isinstance(expires, datetime):
            max_age = _seconds_until(expires)
            expires = None
        if max_age is not None and not expires:
            expires = formatdate(time.time() + max_age, usegmt=True)
        attributes = {"expires": expires, "max-age": max_age, "path": path, "domain": domain}
        flags: dict[str, Any] = {"secure": bool(secure), "httponly": bool(httponly), "samesite": samesite or ""}
        cookies[key].update(flags | {name: given for name, given in attributes.items() if given is not None})
        message.setdefault("headers", []).append((b"Set-Cookie", cookies[key].OutputString().encode()))

    @classmethod
    def delete_cookie(cls, message: Message, key: str, path: str | None = "/", domain: str | None = None) -> None:
        """Add to an event that carries headers what makes the client forget a cookie."""
        cls.set_cookie(message, key, max_age=0, path=path, domain=domain, expires=LONG_AGO)


class InstanceSessionWrapper:
    """One connection's Django session: in `scope["session"]`, and saved by `send`.

    A session that `connect()` changes before it answers the handshake is saved and its cookie sent with that answer,
    as with an HTTP response. What a WebSocket consumer changes later it has to save itself.

    Attributes:
        save_message_types: the events that save a session that was changed.
        cookie_response_message_types: the events that carry a cookie.
        activated: whether this is the outermost session middleware, whose session it is.

    Args:
        scope: the connection's scope.
        send: the server's ASGI `send`.

    Raises:
        ValueError: there are no cookies in the scope.
    """

    save_message_types = ["http.response.start", "websocket.accept", "websocket.http.response.start"]
    cookie_response_message_types = ["http.response.start", "websocket.accept", "websocket.http.response.start"]

    def __init__(self, scope: Scope, send: Send) -> None:
        self.cookie_name = setting("SESSION_COOKIE_NAME")
        self.session_store = import_module(setting("SESSION_ENGINE")).SessionStore
        self.scope = dict(scope)
        self.activated = "session" not in scope
        if self.activated:
            if "cookies" not in scope:
                raise ValueError("No cookies in scope - SessionMiddleware needs to run inside of CookieMiddleware.")
            self.scope["session"] = LazyObject()
        self.real_send = send

    async def resolve_session(self) -> None:
        """Open the session that the cookie names; nothing is loaded yet."""
        if self.activated:
            self.scope["session"]._wrapped = self.session_store(self.scope["cookies"].get(self.cookie_name))

    async def send(self, message: Message) -> Any:
        """Save the session if this event is one to do it at, then pass the event on.

        Raises:
            SuspiciousOperation: the session has been deleted meanwhile.
        """
        answers = message["type"] in self.save_message_types and message.get("status", 200) != 500
        if answers and self.activated and (self.scope["session"].modified or setting("SESSION_SAVE_EVERY_REQUEST")):
            await self._save_or_forget(message)
        return await self.real_send(message)

    async def save_session(self) -> None:
        """Save the session.

        Raises:
            SuspiciousOperation: it has been deleted meanwhile.
        """
        from django.contrib.sessions.backends.base import UpdateError
        from django.core.exceptions import SuspiciousOperation

        try:
            await database_sync_to_async(self.scope["session"].save)()
        except UpdateError as error:
            raise SuspiciousOperation(
                "The session was deleted before the request was answered, perhaps because its user logged out"
            ) from error

    async def _save_or_forget(self, message: Message) -> None:
        is_empty = await database_sync_to_async(self._is_empty)()
        if not is_empty:
            await self.save_session()
        if message["type"] not in self.cookie_response_message_types:
            return
        place = {"path": setting("SESSION_COOKIE_PATH"), "domain": setting("SESSION_COOKIE_DOMAIN")}
        if not is_empty:
            self._set_cookie(message, place)
        elif self.cookie_name in self.scope["cookies"]:
            CookieMiddleware.delete_cookie(message, self.cookie_name, **place)

    def _is_empty(self) -> bool:
        session = self.scope["session"]
        session.keys()  # loads it: the key of one that is gone stands until then
        return bool(session.is_empty())

    def _set_cookie(self, message: Message, place: dict[str, str | None]) -> None:
        session = self.scope["session"]
        CookieMiddleware.set_cookie(
            message,
            self.cookie_name,
            session.session_key,
            max_age=None if session.get_expire_at_browser_close() else session.get_expiry_age(),
            secure=setting("SESSION_COOKIE_SECURE"),
            httponly=setting("SESSION_COOKIE_HTTPONLY"),
            samesite=setting("SESSION_COOKIE_SAMESITE"),
            **place,
        )


class SessionMiddleware:
    """ASGI middleware that puts a session into scope["session"], unless there is one.

    With Django it is Django's, and needs `CookieMiddleware` around it. Without, it is that of Starlette's
    SessionMiddleware, for which `compat.configure()` has the settings; only HTTP responses save it.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one connection.

        Raises:
            ValueError: there are no cookies in the scope; without Django: the configuration lacks something.
        """
        if uses_django():
            wrapper = InstanceSessionWrapper(scope, send)
            await wrapper.resolve_session()
            return await self.inner(wrapper.scope, receive, wrapper.send)
        application = self.inner if "session" in scope else with_session(self.inner)
        return await application(dict(scope), receive, send)


def SessionMiddlewareStack(inner: ASGIApp) -> CookieMiddleware:
    """Give an application cookies and sessions."""
    return CookieMiddleware(SessionMiddleware(inner))


def _seconds_until(moment: datetime) -> int:
    """Return the whole seconds until then, rounded up, at least 0."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, (moment - datetime.now(UTC)) // timedelta(seconds=1) + 1)
