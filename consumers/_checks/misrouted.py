"""Says in the log why Starlette's router rejects a WebSocket for which a consumer waits one step beside its path.

A `Mount` does not serve its own path without the slash, and a `Route` serves no WebSocket. The consumer hears nothing
of such a client, and the client is told 403. Only the router knows, so its `not_found()` is where this looks.
"""

import functools
import logging
from collections.abc import Iterator
from typing import Any

from starlette.routing import Match, Mount, Route, Router

from ..types import Receive, Scope, Send
from .wrappers import unwrapped

logger = logging.getLogger("consumers.routing")

MAX_LOGGED = 100
"""Reasons that are logged; each is a route of the application's, and logged once."""

_logged: set[str] = set()


def explain_rejections(made_by_as_asgi: type) -> None:
    """Have every Starlette router that is made from now on say why it rejects a WebSocket, if a consumer is near.

    Args:
        made_by_as_asgi: the class of what a consumer's `as_asgi()` returns.
    """
    if getattr(Router.not_found, "__module__", "") != __name__:
        Router.not_found = _explaining(Router.not_found, made_by_as_asgi)  # type: ignore[method-assign]


def _explaining(not_found: Any, made_by_as_asgi: type) -> Any:
    @functools.wraps(not_found, assigned=("__name__", "__qualname__", "__doc__"))
    async def explaining(self: Router, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            for reason in _reasons(self, scope, made_by_as_asgi):
                if reason not in _logged and len(_logged) < MAX_LOGGED:
                    _logged.add(reason)
                    logger.warning("%s", reason)
        await not_found(self, scope, receive, send)

    return explaining


def _reasons(router: Router, scope: Scope, made_by_as_asgi: type) -> Iterator[str]:
    """Yield why no route of the router's serves a WebSocket, for those that lead to a consumer."""
    below = {**scope, "path": f"{scope['path']}/"}
    by_http = {**scope, "type": "http", "method": "GET"}
    for route in router.routes:
        if isinstance(route, Mount):
            found = _consumer(route.app, made_by_as_asgi) if route.matches(below)[0] is Match.FULL else None
            why = f"Mount serves {route.path + '/'!r} and what is below it"
        elif isinstance(route, Route):
            found = _consumer(route.endpoint, made_by_as_asgi) if route.matches(by_http)[0] is not Match.NONE else None
            why = f"{type(route).__name__} is for HTTP"
        else:
            continue
        if found is not None:
            yield f"no WebSocket reaches {route.path!r}: {why}. Write WebSocketRoute({route.path!r}, {found!r})"


def _consumer(application: object, made_by_as_asgi: type) -> object | None:
    return next((found for found in unwrapped(application) if type(found) is made_by_as_asgi), None)
