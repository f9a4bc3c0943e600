"""Sessions and users without Django: Starlette's, with settings from `compat.configure()`."""

from importlib import import_module
from typing import Any

from starlette.authentication import AuthCredentials, AuthenticationError, UnauthenticatedUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from consumers.types import ASGIApp, Receive, Scope, Send

from .conf import has_django, setting

COOKIE_ARGUMENTS = {
    "SESSION_COOKIE_NAME": "session_cookie",
    "SESSION_COOKIE_AGE": "max_age",
    "SESSION_COOKIE_PATH": "path",
    "SESSION_COOKIE_SAMESITE": "same_site",
    "SESSION_COOKIE_SECURE": "https_only",
    "SESSION_COOKIE_DOMAIN": "domain",
}
"""Which argument of Starlette's SessionMiddleware a setting is. What is not set has Starlette's default."""

_UNSET = object()


def with_session(application: ASGIApp) -> ASGIApp:
    """Put Starlette's SessionMiddleware around an application.

    Raises:
        ValueError: there is no SECRET_KEY, or itsdangerous is not installed.
    """
    key = setting("SECRET_KEY")
    if not key:
        raise ValueError(
            "SessionMiddleware has no SECRET_KEY, which signs the session cookie: write "
            'compat.configure(SECRET_KEY="…") where the application is made, or put Starlette\'s SessionMiddleware '
            f"around the application{_or_django()}"
        )
    try:
        from starlette.middleware.sessions import SessionMiddleware
    except ImportError as error:
        raise ValueError(
            "SessionMiddleware needs itsdangerous, which is not installed: pip install 'starlette-consumers[sessions]'"
        ) from error
    arguments = {argument: setting(name, _UNSET) for name, argument in COOKIE_ARGUMENTS.items()}
    given = {argument: value for argument, value in arguments.items() if value is not _UNSET}
    return SessionMiddleware(application, key, **given)


async def authenticate(scope: Scope) -> None:
    """Set the scope's "user" and "auth" to what the configured authentication backend says.

    Raises:
        ValueError: none is configured, or it cannot be imported.
        starlette.authentication.AuthenticationError: the backend refuses the connection.
    """
    result = await _backend().authenticate(HTTPConnection(scope))
    scope["auth"], scope["user"] = result or (AuthCredentials(), UnauthenticatedUser())


async def refuse(error: AuthenticationError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a connection that the backend refuses as Starlette's AuthenticationMiddleware does: 400, or 403."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
    else:
        await AuthenticationMiddleware.default_on_error(HTTPConnection(scope), error)(scope, receive, send)


def user_of(scope: Scope) -> Any:
    """Return the scope's user.

    Raises:
        ValueError: there is none.
    """
    if "user" not in scope:
        raise ValueError("Cannot find user in scope: put AuthMiddlewareStack around the application")
    return scope["user"]


def no_login(function: str, instead: str) -> RuntimeError:
    """Return the error for what only Django's sessions can do.

    Args:
        function: what was called.
        instead: the code to write instead.
    """
    return RuntimeError(
        f"{function}() needs Django's sessions. Without Django, write {instead} in the HTTP endpoint that logs the "
        f"user {function.removeprefix('log')}: Starlette's SessionMiddleware sends its cookie with HTTP responses "
        "only, and AUTHENTICATION_BACKEND finds the user by it"
    )


def _backend() -> Any:
    backend = setting("AUTHENTICATION_BACKEND")
    if backend is None:
        raise ValueError(
            "AuthMiddleware has no AUTHENTICATION_BACKEND to ask for the user: write "
            'compat.configure(AUTHENTICATION_BACKEND="mysite.auth.Backend"), a class with '
            "`async def authenticate(self, connection)` that returns AuthCredentials and a user, or None; or put "
            f"Starlette's AuthenticationMiddleware around the application{_or_django()}"
        )
    if isinstance(backend, str):
        backend = _import(backend)
    return backend() if isinstance(backend, type) else backend


def _import(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"AUTHENTICATION_BACKEND: cannot import {dotted!r}: {error}") from error


def _or_django() -> str:
    return ". (Django is installed, but not in use: DJANGO_SETTINGS_MODULE is not set)" if has_django() else ""
