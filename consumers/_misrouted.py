"""Says in the log why Starlette's router rejects a WebSocket for which a consumer waits one step beside its path.

A `Mount` does not serve its own path without the slash, a `Route` serves no WebSocket, and a `WebSocketRoute` knows one
spelling of its path. The consumer hears nothing of such a client, and the client is told 403. Only the router knows,
and it tells nobody. So this wraps one method of Starlette's, `Router.not_found()`, which runs when no route matches:
the log gets a line, and then the method does what it always did. It must be wrapped before a router is made, since
each router keeps the method that it finds then.
"""

import functools
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from types import FunctionType, MethodType
from typing import Any

from starlette.convertors import CONVERTOR_TYPES
from starlette.routing import Match, Mount, Route, Router, WebSocketRoute

from ._checks.applications import maker
from ._checks.wrappers import unbound, unwrapped
from .consumer import ConsumerApplication
from .endpoint import BaseWSEndpoint
from .types import Receive, Scope, Send

logger = logging.getLogger("consumers.routing")

MAX_LOGGED = 100
"""Reasons that are logged; each is a route of the application's, and logged once."""

DJANGOS = re.compile(r"<(?:(\w+):)?(\w+)>")
"""A path's parameter as Django has it."""

_logged: set[str] = set()


def explain_rejections() -> None:
    """Have every Starlette router that is made from now on say why it rejects a WebSocket, if a consumer is near."""
    if getattr(Router.not_found, "__module__", "") != __name__:
        Router.not_found = _explaining(Router.not_found)  # type: ignore[method-assign]


def _explaining(not_found: Any) -> Any:
    @functools.wraps(not_found, assigned=("__name__", "__qualname__", "__doc__"))
    async def explaining(self: Router, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            try:
                _explain(self, scope)
            except Exception:  # of a route that is unlike Starlette's: the client gets its answer all the same
                logger.debug("cannot tell why no WebSocket reaches %.200r", scope.get("path"), exc_info=True)
        await not_found(self, scope, receive, send)

    return explaining


def _explain(router: Router, scope: Scope) -> None:
    for reason in _reasons(router, scope):
        if reason not in _logged and len(_logged) < MAX_LOGGED:
            _logged.add(reason)
            logger.warning("%s", reason)


def _reasons(router: Router, scope: Scope) -> Iterator[str]:
    """Yield why no route of the router's serves a WebSocket, for those that lead to a consumer."""
    for route, path, application in _routes(router):
        if isinstance(route, Mount):
            wanted, why = path, f"Mount serves {path + '/'!r} and what is below it. Write"
        elif isinstance(route, Route):
            wanted, why = path, f"{type(route).__name__} is for HTTP. Write"
        elif isinstance(route, WebSocketRoute) and "<" in path:
            wanted = DJANGOS.sub(_parameter, path)
            why = f"{type(route).__name__} takes {path!r} as it is. Write"
        elif isinstance(route, WebSocketRoute):
            wanted = path.removesuffix("/") if path.endswith("/") else f"{path}/"
            why = f"{type(route).__name__} serves {path!r}. Let clients open that, or write"
        else:
            continue
        if wanted and _route_at(wanted).matches(scope)[0] is Match.FULL:
            found = _consumer(application)
            if found is not None:
                yield f"no WebSocket reaches {wanted!r}: {why} {_right(router, wanted, found)}"


def _parameter(found: re.Match[str]) -> str:
    """Return a path's parameter as Starlette has it, for one as Django has it."""
    converter, name = found.groups()
    return f"{{{name}:{converter}}}" if converter in CONVERTOR_TYPES else f"{{{name}}}"


@functools.lru_cache(maxsize=1024)  # anybody may ask for any path, and each time all routes are gone through
def _route_at(path: str) -> WebSocketRoute:
    return WebSocketRoute(path, _explain)


def _right(router: Router, path: str, found: str) -> str:
    """Return what to write, with the methods that the router has; FastAPI's take no class."""
    route = f"WebSocketRoute({path!r}, {found.replace('as_endpoint', 'as_asgi')})"
    if hasattr(router, "add_api_websocket_route"):
        is_made = found.endswith(")")
        return f"app.websocket({path!r})({found})" if is_made else f"app.router.routes.append({route})"
    return route


def _routes(router: Router) -> Iterable[tuple[object, str, object]]:
    """Return a router's routes, and those of FastAPI's included ones, with the path of each and what it leads to."""
    contexts = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    for found in router.routes if contexts is None else contexts(router.routes):
        route = getattr(found, "original_route", found)
        with_prefix = getattr(found, "starlette_route", None) or found  # of an included router
        path = getattr(with_prefix, "path", None)
        if isinstance(path, str):
            yield route, path, route.app if isinstance(route, Mount) else getattr(route, "endpoint", None)


def _consumer(application: Any) -> str | None:
    """Return how to make an application that is a WebSocket consumer's, or wraps it; None if it is neither.

    With the wrapper, which may be what checks origins: without, the consumer would be open to every site.

    The same of a `BaseWSEndpoint`, whose class is the application.
    """
    kind = type(application)
    consumer: Any = None
    method = "as_asgi"
    if issubclass(kind, type) and issubclass(application, BaseWSEndpoint):
        return str(application.__name__)
    if issubclass(kind, type):
        consumer = application
    elif kind is MethodType:
        method = maker(application) or method
        consumer = application.__self__ if maker(application) else None
    elif unbound(kind, "as_asgi"):
        consumer = kind
    if consumer is not None and unbound(consumer, "as_asgi") and unbound(consumer, "websocket_connect"):
        return f"{consumer.__name__}.{method}()"
    if kind is FunctionType and "consumer_class" in vars(application):
        return f"{application.consumer_class.__name__}.as_endpoint()"
    for found in unwrapped(application):
        if type(found) is ConsumerApplication and unbound(found.consumer_class, "websocket_connect"):
            wrapper = application.__name__ if kind is FunctionType else kind.__name__
            return repr(found) if found is application else f"{wrapper}({found!r}, …)"
    return None
