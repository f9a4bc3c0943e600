"""Which consumers an application serves, and at which addresses: what its documents are made of.

No code of the application runs. What its middleware wraps is found as `URLRouter` finds a nested one.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from starlette.routing import Host, Mount, WebSocketRoute

from .._checks.applications import require_application
from .._checks.wrappers import unwrapped
from ..consumer import AsyncConsumer
from ..http import AsyncHttpConsumer
from .consumer import Typed
from .contract import Contract, contract_of

_STARLETTES = re.compile(r"{(\w+)(?::(\w+))?}")
_PATHS = re.compile(r"<(?:([^>:]+):)?([^>]+)>")
_ANY = "str"


@dataclass(frozen=True, slots=True)
class Channel:
    """A consumer at an address.

    Attributes:
        name: a name that no other channel of the application has: the class', with a number if need be.
        address: the path, with its parameters in braces: "/chat/{room}".
        parameters: the parameters' converters, "int" for one, by the parameters' names.
        consumer_class: the consumer's class.
        dependant: what FastAPI knows of the route's parameters and dependencies; None if it does not route it.
    """

    name: str
    address: str
    parameters: Mapping[str, str]
    consumer_class: type
    dependant: Any = None

    @property
    def contract(self) -> Contract | None:
        """What the consumer takes and sends; None if it is not a typed one."""
        return contract_of(self.consumer_class) if issubclass(self.consumer_class, Typed) else None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree of routers something stands."""

    address: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    dependant: Any = None

    def below(self, address: str, parameters: Iterable[tuple[str, str]], dependant: Any = None) -> "_Place":
        return _Place(self.address + address, (*self.parameters, *parameters), dependant)


def channels_of(application: Any) -> tuple[Channel, ...]:
    """Return the channels of an application, in the order of its routes.

    Args:
        application: one of Starlette's, FastAPI's or of this package's routers, or `as_asgi()` of a consumer; with
            middleware around it, perhaps.

    Raises:
        TypeError: there is no consumer in it, or a consumer's class in the place of what its `as_asgi()` returns.
    """
    found = list(_walk(application, _Place()))
    if not found:
        raise TypeError(
            f"no consumer is found in {application!r:.200}: give the application whose routes have Chat.as_asgi() or "
            "Chat.as_endpoint(), or a URLRouter"
        )
    names = _unique([consumer_class.__name__ for consumer_class, _ in found])
    return tuple(
        Channel(name, place.address or "/", dict(place.parameters), consumer_class, place.dependant)
        for name, (consumer_class, place) in zip(names, found, strict=True)
    )


def _unique(names: Sequence[str]) -> Iterator[str]:
    """Yield each name, the first time as it is, and later with the lowest number that makes no name of the others."""
    own, taken = set(names), set[str]()
    for name in names:
        numbered = (f"{name}{number}" for number in count(2))
        unique = name if name not in taken else next(each for each in numbered if each not in own and each not in taken)
        taken.add(unique)
        yield unique


def _walk(application: Any, place: _Place) -> Iterator[tuple[type, _Place]]:
    """Yield the consumers in an application. Of what a wrapper wraps, the nearest that leads somewhere counts."""
    if isinstance(application, type) and issubclass(application, AsyncConsumer):  # each of its clients gets an error
        require_application(application, place.address or "/")
    for candidate in unwrapped(application):
        consumer_class = getattr(candidate, "consumer_class", None)
        mapping = getattr(candidate, "application_mapping", None)
        routes = getattr(candidate, "routes", None)
        if isinstance(consumer_class, type):
            if not issubclass(consumer_class, AsyncHttpConsumer):
                yield consumer_class, place
        elif isinstance(mapping, Mapping):
            yield from _walk(mapping.get("websocket"), place)
        elif isinstance(routes, Sequence):
            for route in _with_prefixes(routes):
                yield from _below(route, place)
        else:
            continue
        return


def _with_prefixes(routes: Sequence[Any]) -> Iterable[Any]:
    """Return routes with what FastAPI's routers, in which they are included, put in front of them."""
    fastapi = sys.modules.get("fastapi.routing")
    iterate = getattr(fastapi, "iter_route_contexts", None)
    if hasattr(routes[0] if routes else None, "callback"):
        return routes
    if iterate is not None:
        contexts: list[Any] = list(iterate(routes))
        if all(each.endpoint for each in contexts if isinstance(each.original_route, WebSocketRoute)):
            return contexts
    # As of the first versions of FastAPI that include routers lazily, whose contexts know nothing of WebSockets.
    return [each for route in routes for each in _in_router(route)]


def _in_router(route: Any) -> Iterable[Any]:
    """Return a route, or those of a router that FastAPI has included."""
    of_included = getattr(route, "effective_route_contexts", None)
    if of_included is None:
        return [route]
    return [getattr(each, "starlette_route", None) or each for each in of_included()]


def _below(route: Any, place: _Place) -> Iterator[tuple[type, _Place]]:
    pattern = getattr(route, "pattern", None)
    if pattern is not None and hasattr(route, "callback"):
        yield from _walk(route.callback, place.below(*_address_of(pattern, not place.address.endswith("/"))))
        return
    kind = getattr(route, "original_route", route)
    if isinstance(kind, WebSocketRoute):
        address, parameters = _starlettes(route.path)
        yield from _walk(route.endpoint, place.below(address, parameters, getattr(route, "dependant", None)))
    elif isinstance(kind, Mount):
        address, parameters = _starlettes(route.path)
        yield from _walk(route.app, place.below(address, parameters))
    elif isinstance(kind, Host):
        yield from _walk(route.app, place)


def _starlettes(path: str) -> tuple[str, list[tuple[str, str]]]:
    parameters = [(name, converter or _ANY) for name, converter in _STARLETTES.findall(path)]
    return _STARLETTES.sub(r"{\1}", path), parameters


def _address_of(pattern: Any, needs_slash: bool) -> tuple[str, list[tuple[str, str]]]:
    """Return the address of a pattern of `path()` or `re_path()`, or of Django's functions, and its parameters."""
    slash = "/" if needs_slash else ""
    route = getattr(pattern, "_route", None)
    if route is not None:
        parameters = [(name, converter or _ANY) for converter, name in _PATHS.findall(str(route))]
        return slash + _PATHS.sub(r"{\2}", str(route)), parameters
    address = without_groups(str(getattr(pattern, "_regex", pattern)))
    return slash + address, [(name, _ANY) for name, _ in _STARLETTES.findall(address)]


_TOKEN = re.compile(
    r"(?P<group>\()"
    r"|(?P<anchor>\\[AZbB]|[\^$])"
    r"|(?P<some>\\[dDwWsS]|\[\^?\]?(?:\\.|[^\]\\])*\]|\.(?=[+*?{]))"
    r"|(?P<alternative>\|)"
    r"|\\?(?P<text>.)",
    re.DOTALL,
)
_QUANTIFIER = re.compile(r"((?:[+*?]|{\d*,?\d*})[+?]?)?")
_IN_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]", re.DOTALL)


def without_groups(regex: str) -> str:
    """Return a regular expression as an address: `^chat/(?P<room>\\w+)/$` is "chat/{room}/".

    Groups without a name, and characters of which there are several, are {part1} and so on. Of alternatives the first
    counts, and what may be there or not is left out.
    """
    parts: list[str] = []
    unnamed, at = 0, 0
    while at < len(regex):
        token = _TOKEN.match(regex, at)
        assert token is not None
        at = token.end() if token.lastgroup != "group" else _end_of_group(regex, at)
        if token.lastgroup == "alternative":
            break
        part = token["text"] or ""
        group = regex[token.start() : at] if token["group"] else ""
        if name := re.match(r"\(\?P<(\w+)>", group):
            part = f"{{{name[1]}}}"
        elif token["some"] or (group and not re.match(r"\(\?(?!:)", group)):
            follows_another = bool(parts) and parts[-1].startswith("{part")
            unnamed += not follows_another
            part = "" if follows_another else f"{{part{unnamed}}}"
        quantifier = _QUANTIFIER.match(regex, at)
        assert quantifier is not None
        at = quantifier.end()
        if part and not (token["text"] and quantifier[0][:1] in ("?", "*")):
            parts.append(part)
    return "".join(parts)


def _end_of_group(regex: str, start: int) -> int:
    """Return where the group that starts there has ended."""
    depth = 0
    for token in _IN_GROUP.finditer(regex, start):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return len(regex)
