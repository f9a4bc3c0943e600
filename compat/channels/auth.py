"""Users in the scope: Django's where it is in use, else those of a Starlette authentication backend."""

from typing import Any

from starlette.authentication import AuthenticationError

from consumers.types import ASGIApp, Receive, Scope, Send

from .. import starlette_auth
from ..conf import uses_django
from ..lazy import LazyObject
from .db import database_sync_to_async
from .middleware import BaseMiddleware
from .sessions import CookieMiddleware, SessionMiddleware


async def get_user(scope: Scope) -> Any:
    """Return the user that the scope's session belongs to, AnonymousUser if to none. Without Django: scope["user"].

    Raises:
        ValueError: the scope has no session. Without Django: it has no user.
    """
    if not uses_django():
        return starlette_auth.user_of(scope)
    from .. import django_auth

    return await database_sync_to_async(django_auth.load_user)(scope)


async def login(scope: Scope, user: Any, backend: str | None = None) -> None:
    """Make the scope's session this user's, and scope["user"] the user. Needs Django.

    The session is saved with an HTTP response, or with the answer to a handshake. Later, call its `save()`.

    Args:
        scope: the connection's scope.
        user: the user; None: scope["user"].
        backend: dotted name of the user's authentication backend; None: the user's own, or else the only one.

    Raises:
        ValueError: the scope has no session, there is no user, or there are several backends.
        RuntimeError: Django is not in use.
    """
    if not uses_django():
        raise starlette_auth.no_login("login", 'request.session["user_id"] = user.id')
    from .. import django_auth

    await database_sync_to_async(django_auth.log_in)(scope, user, backend)


async def logout(scope: Scope) -> None:
    """Delete the scope's session, and make scope["user"] an AnonymousUser. Needs Django.

    Raises:
        ValueError: the scope has no session.
        RuntimeError: Django is not in use.
    """
    if not uses_django():
        raise starlette_auth.no_login("logout", "request.session.clear()")
    from .. import django_auth

    await database_sync_to_async(django_auth.log_out)(scope)


class UserLazyObject(LazyObject):
    """Stands in scope["user"] until `AuthMiddleware.resolve_scope()` sets its `_wrapped`."""

    def _setup(self) -> None:
        raise ValueError("Accessing scope user before it is ready. AuthMiddleware.resolve_scope() finds it.")


class AuthMiddleware(BaseMiddleware):
    """Puts the session's user into scope["user"]; one that another middleware has put there stays.

    Without Django, the user is what the setting AUTHENTICATION_BACKEND finds; scope["auth"] holds its credentials.
    """

    def populate_scope(self, scope: Scope) -> None:
        """Override to put something into the scope before the user is looked for.

        Raises:
            ValueError: the scope has no session, and Django needs one.
        """
        if uses_django() and "session" not in scope:
            raise ValueError("AuthMiddleware cannot find session in scope. SessionMiddleware must be above it.")
        if "user" not in scope:
            scope["user"] = UserLazyObject()

    async def resolve_scope(self, scope: Scope) -> None:
        """Override to find the user in another way: set `scope["user"]._wrapped`, or scope["user"] itself.

        Raises:
            ValueError: without Django, there is no AUTHENTICATION_BACKEND.
            starlette.authentication.AuthenticationError: it refuses the connection.
        """
        if not issubclass(type(scope["user"]), LazyObject):  # isinstance() would ask for the user
            return
        if uses_django():
            scope["user"]._wrapped = await get_user(scope)
        else:
            await starlette_auth.authenticate(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        scope = dict(scope)
        self.populate_scope(scope)
        try:
            await self.resolve_scope(scope)
        except AuthenticationError as error:
            return await starlette_auth.refuse(error, scope, receive, send)
        return await super().__call__(scope, receive, send)


def AuthMiddlewareStack(inner: ASGIApp) -> CookieMiddleware:
    """Give an application cookies, sessions and users."""
    return CookieMiddleware(SessionMiddleware(AuthMiddleware(inner)))
