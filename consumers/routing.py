"""Routers: which application serves a connection. Each is an ASGI application itself.

Source: Channels' documentation, "Routing".
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from starlette.responses import PlainTextResponse

from ._checks.applications import require_application
from ._checks.wrappers import leads_to_router
from ._connection import events
from .patterns import Match, Pattern, Route, as_prefix
from .types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("consumers.routing")

_ROUTED_AT = "consumers.routed_at"
"""Where in the tree of Starlette's applications and mounts an outer router, which waits for the outcome, has set
`path_remaining`. Below a further `Mount` it is stale, and the inner router answers by itself."""


class ProtocolTypeRouter:
    """Leads a connection to an application by the scope's type.

    A server asks for "lifespan" too, and goes on without if it is not configured. To open the channel layers at
    the start and close them at the end, add `"lifespan": starlette.routing.Router(lifespan=consumers.lifespan)`.

    Args:
        application_mapping: scope type ("http", "websocket", "channel", "lifespan") to ASGI application.

    Raises:
        TypeError: it is no dict of ASGI applications.
    """

    _takes_instances: ClassVar[bool] = False

    def __init__(self, application_mapping: Mapping[str, ASGIApp]) -> None:
        self.application_mapping = application_mapping
        _require_applications(application_mapping, "ProtocolTypeRouter", self._takes_instances)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one connection; returns what the application does, as in Channels.

        Raises:
            ValueError: no application is configured for its type.
        """
        application = _application(self.application_mapping, scope["type"], "scope type")
        return await application(scope, receive, send)


class ChannelNameRouter:
    """Leads a worker's named channel to an application by the scope's `channel`.

    Args:
        application_mapping: channel name to ASGI application.

    Raises:
        TypeError: it is no dict of ASGI applications.
    """

    _takes_instances: ClassVar[bool] = False

    def __init__(self, application_mapping: Mapping[str, ASGIApp]) -> None:
        self.application_mapping = application_mapping
        _require_applications(application_mapping, "ChannelNameRouter", self._takes_instances)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one channel; returns what the application does, as in Channels.

        Raises:
            ValueError: the scope has no channel, or no application is configured for it.
        """
        if "channel" not in scope:
            raise ValueError(
                f"ChannelNameRouter got a scope without a 'channel' key, of type {scope['type']!r}: "
                'put it under "channel" in a ProtocolTypeRouter'
            )
        application = _application(self.application_mapping, scope["channel"], "channel name")
        return await application(scope, receive, send)


class URLRouter:
    """Leads a connection to the application of the first pattern that matches its path.

    `scope["url_route"]` then has the path's `args` and `kwargs`, those of outer routers and of Starlette's routes
    included. Routers nest: the outer one matches the path's beginning, the inner one the rest; if none of the inner
    ones matches, the outer one's next patterns are tried. Below Starlette's `Mount`, or with a `root_path`, the
    patterns match what is behind it. An inner router may be wrapped, by middleware for instance. The outer one finds it
    among the wrapper's attributes, what its function has closed over, and the globals that this calls by name.

    A path has one spelling. A slash too many, as in `//chat/` or `/a//b/`, makes another path.

    A path without a pattern is answered with 404 (a WebSocket's with 403 where the server lacks the ASGI extension
    `websocket.http.response`) and one line of log.

    Args:
        routes: what `path()` and `re_path()` made, or Django's functions of these names.

    Raises:
        TypeError: a route is no such pattern, or what it leads to is no ASGI application.
    """

    strict: bool = False
    """Raise ValueError for a path without a pattern, as Channels does (False)."""

    _takes_instances: ClassVar[bool] = False
    _path_routing = True  # Channels' mark: path() in front of it matches a beginning

    def __init__(self, routes: Iterable[Route]) -> None:
        if not isinstance(routes, Iterable):
            raise TypeError(f"URLRouter takes a list of patterns, not {routes!r}")
        self.routes = list(routes)
        self._patterns = [_pattern_of(route, self._takes_instances) for route in self.routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one connection; returns what the application does, as in Channels.

        Raises:
            ValueError: the scope has no path; or no pattern matches and it is neither "http" nor "websocket", or
                `strict` is set.
        """
        is_nested = scope.get(_ROUTED_AT) == _place(scope)
        path = self._path(scope, is_nested)
        if path is not None:
            for pattern, route in zip(self._patterns, self.routes, strict=True):
                match = pattern.match(path)
                if match is None:
                    continue
                with contextlib.suppress(_NoRoute):
                    return await route.callback(_inner_scope(scope, match, route.default_args), receive, send)
        if is_nested:
            raise _NoRoute(path)
        return await self._refuse(scope, receive, send, path)

    def _path(self, scope: Scope, is_nested: bool) -> str | None:
        """Return the path to match, without its leading slash; None if it cannot match."""
        whole: str | None = scope.get("path")
        path: str | None = whole
        # Without our mark, path_remaining is from someone else's router.
        if "path_remaining" in scope and (is_nested or _ROUTED_AT not in scope):
            path = str(scope["path_remaining"])
            if whole is not None and whole.endswith(f"/{path}"):
                return path  # the slash before it was the outer router's: another one would be a second spelling
        elif path is not None:
            root = scope.get("root_path", "").rstrip("/")
            if not root or path == root or path.startswith(f"{root}/"):
                path = path[len(root) :]
            elif self.strict:
                return None
            # Else as Starlette does: a proxy has taken the root_path away.
        if path is None:
            raise ValueError(
                f"No 'path' key in connection scope, cannot route URLs: a scope of type {scope['type']!r} has none; "
                "put a ProtocolTypeRouter in front of the URLRouter"
            )
        return path.removeprefix("/")

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, path: str | None) -> None:
        if self.strict or scope["type"] not in ("http", "websocket"):
            raise ValueError(f"No route found for path {scope['path'] if path is None else path!r}.")
        logger.warning("no route for the %s path %.200r%s", scope["type"], scope.get("path"), self._hint(path))
        if scope["type"] == "websocket" and (await receive())["type"] in events.DISCONNECTS:
            return
        with contextlib.suppress(OSError):  # the client has gone
            if scope["type"] == "http" or events.can_deny(scope):
                await PlainTextResponse("Not Found", status_code=404)(scope, receive, send)
            else:
                await send(events.close())

    def _hint(self, path: str | None) -> str:
        """Return what to add where a slash at the end would make the difference."""
        if not path:
            return ""
        other, instead = (path[:-1], "without the") if path.endswith("/") else (f"{path}/", "with a")
        # What is in front of another router, and so matches a beginning, is not asked.
        own = (pattern for pattern, route in zip(self._patterns, self.routes, strict=True) if pattern is route.pattern)
        return f": there is one {instead} slash at its end" if any(pattern.match(other) for pattern in own) else ""


class _NoRoute(Exception):
    """A nested router has no route: the outer one tries its next pattern."""


def _place(scope: Scope) -> tuple[str, object]:
    return scope.get("root_path", ""), scope.get("app")


def _pattern_of(route: Any, takes_instances: bool) -> Pattern:
    """Return what matches the paths of `route`, or raise TypeError if it cannot be routed."""
    pattern: Any = getattr(route, "pattern", None)
    if not hasattr(pattern, "match") or not hasattr(route, "callback") or not hasattr(route, "default_args"):
        refuse_include(route, TypeError)
        raise TypeError(f"URLRouter takes what path() and re_path() make, not {route!r}")
    require_application(route.callback, f"URLRouter, pattern {str(pattern)!r}", takes_instances)
    matcher: Pattern = as_prefix(pattern) if leads_to_router(route.callback) else pattern
    return matcher


def refuse_include(route: object, exception: Callable[[str], Exception]) -> None:
    """Raise an exception for what Django's `include()` makes of patterns."""
    if hasattr(route, "urlconf_name"):
        raise exception(f"{route!r}: include() is not supported in URLRouter. Use nested URLRouter instances instead.")


def _inner_scope(scope: Scope, match: Match, defaults: Mapping[str, Any]) -> Scope:
    remaining, args, captured = match
    kwargs = {**captured, **defaults}
    outer = events.url_route(scope)
    return {
        **scope,
        _ROUTED_AT: _place(scope),
        "path_remaining": remaining,
        "url_route": {"args": outer["args"] + args, "kwargs": {**outer["kwargs"], **kwargs}},
        "path_params": {**scope.get("path_params", {}), **kwargs},  # for Starlette's own endpoints
    }


def _require_applications(mapping: object, router: str, takes_instances: bool) -> None:
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{router} takes a dict of names to ASGI applications, not {mapping!r}")
    for name, application in mapping.items():
        require_application(application, f"{router}, {name!r}", takes_instances)


def _application(mapping: Mapping[str, ASGIApp], name: str, kind: str) -> Any:
    if name not in mapping:
        known = ", ".join(map(repr, mapping)) or "nothing"
        raise ValueError(f"No application configured for {kind} {name!r}; configured: {known}")
    return mapping[name]
