"""Django's users in a scope: who a session belongs to, logging in and out. Plain functions, which use the database."""

from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.utils.crypto import constant_time_compare

from consumers.types import Scope


def load_user(scope: Scope) -> Any:
    """Return the user of the scope's session, AnonymousUser if there is none; an outdated session is flushed.

    The rule is Django's own: the password's hash in the session must fit, by SECRET_KEY or one of its fallbacks.
    """
    session = session_of(scope)
    return auth.get_user(SimpleNamespace(session=session if scope.get("type") == "http" else _SameKey(session)))


def log_in(scope: Scope, user: Any, backend: str | None) -> None:
    """Write a user into the scope's session, and into the scope."""
    session = session_of(scope)
    user = scope.get("user") if user is None else user
    if user is None:
        raise ValueError("User must be passed as an argument or must be present in the scope.")
    backend = backend or getattr(user, "backend", None) or _only_backend()
    auth_hash = user.get_session_auth_hash() if hasattr(user, "get_session_auth_hash") else ""
    if auth.SESSION_KEY not in session:
        session.cycle_key()  # what an anonymous visitor's session holds stays, under a key that nobody has seen
    elif not _is_of(session, user, auth_hash):
        session.flush()
    session[auth.SESSION_KEY] = user._meta.pk.value_to_string(user)
    session[auth.BACKEND_SESSION_KEY] = backend
    session[auth.HASH_SESSION_KEY] = auth_hash
    scope["user"] = user
    auth.user_logged_in.send(sender=user.__class__, request=None, user=user)


def log_out(scope: Scope) -> None:
    """Flush the scope's session, and make the scope's user anonymous."""
    from django.contrib.auth.models import AnonymousUser

    session = session_of(scope, "Login cannot")
    user = scope.get("user")
    if user is not None and getattr(user, "is_authenticated", True):
        auth.user_logged_out.send(sender=user.__class__, request=None, user=user)
    session.flush()
    if "user" in scope:
        scope["user"] = AnonymousUser()


def session_of(scope: Scope, what: str = "Cannot") -> Any:
    """Return the scope's session.

    Args:
        scope: the connection's scope.
        what: how the error begins.

    Raises:
        ValueError: there is none.
    """
    if "session" not in scope:
        raise ValueError(
            f"{what} find session in scope. You should wrap your consumer in SessionMiddleware. "
            "AuthMiddlewareStack and SessionMiddlewareStack contain it."
        )
    return scope["session"]


def _is_of(session: Any, user: Any, auth_hash: str) -> bool:
    owner = user._meta.pk.to_python(session[auth.SESSION_KEY])
    stored = session.get(auth.HASH_SESSION_KEY, "")
    return owner == user.pk and (not auth_hash or constant_time_compare(stored, auth_hash))


def _only_backend() -> str:
    backends = settings.AUTHENTICATION_BACKENDS
    if len(backends) != 1:
        raise ValueError(
            "You have multiple authentication backends configured and therefore must provide the `backend` argument or "
            f"set the `backend` attribute on the user. They are {', '.join(backends)}."
        )
    return str(backends[0])


class _SameKey:
    """A session that keeps its key: a client may get no new cookie in answer to a handshake."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __getitem__(self, key: str) -> Any:
        return self._session[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._session[key] = value

    def cycle_key(self) -> None:
        pass
