"""URL patterns, written as in Django: `path("chat/<str:room>/", app)`, `re_path(r"^chat/(?P<room>\\w+)/$", app)`.

What they make has the shape of Django's own objects (`route.pattern.match(path)`, `route.callback`,
`route.default_args`), so that `URLRouter` takes either. Source of the rules: Django's documentation, "URL dispatcher".
"""

import re
import string
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from ._checks.applications import require_application
from .types import ASGIApp, Scope

Match = tuple[str, tuple[Any, ...], dict[str, Any]]
"""The path that remains behind the match, the positional and the keyword arguments."""


class Converter(Protocol):
    """What `<name:parameter>` in a route stands for; a `to_url()`, which Django wants, is not needed.

    Attributes:
        regex: the regular expression that the part of the path must match.
    """

    regex: str

    def to_python(self, value: str) -> Any:
        """Return the parameter's value; raise ValueError if the path does not match after all."""


class Pattern(Protocol):
    """What matches a path: `RoutePattern`, `RegexPattern` or Django's classes of these names."""

    name: str | None

    def match(self, path: str) -> Match | None:
        """Match a path without its leading slash; None if it does not match."""


class Route(Protocol):
    """What `URLRouter` takes: a `URLPattern`, or Django's class of this name."""

    @property
    def pattern(self) -> Any:
        """What matches a path."""

    @property
    def callback(self) -> Any:
        """The ASGI application."""

    @property
    def default_args(self) -> Mapping[str, Any]:
        """What is added to the keyword arguments."""


@dataclass
class _BuiltIn:
    regex: str
    to_python: Callable[[str], Any]


_converters: dict[str, Converter] = {
    "int": _BuiltIn("[0-9]+", int),
    "path": _BuiltIn(".+", str),
    "slug": _BuiltIn("[-a-zA-Z0-9_]+", str),
    "str": _BuiltIn("[^/]+", str),
    "uuid": _BuiltIn("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", uuid.UUID),
}


def register_converter(converter: type[Converter], type_name: str) -> None:
    """Make `<type_name:parameter>` known to the routes that `path()` makes from now on.

    Args:
        converter: a class, called without arguments, with a `regex` and a method `to_python(value)`.
        type_name: the name in the routes.

    Raises:
        TypeError: `converter` is no such class.
        ValueError: its `regex` is none, or the name has another converter already.
    """
    known = _converters.get(type_name)
    if known is not None and type(known) is not converter:
        raise ValueError(f"the converter {type_name!r} is already registered as {known!r}: choose another name")
    if not isinstance(converter, type):
        raise TypeError(f"register_converter() takes a class, not {converter!r}")
    if not isinstance(getattr(converter, "regex", None), str) or not callable(getattr(converter, "to_python", None)):
        raise TypeError(f"{converter!r} needs a class attribute `regex`, a str, and a method `to_python(self, value)`")
    _compile(converter.regex, f"the converter {type_name!r}")
    _converters[type_name] = converter()


@dataclass
class URLPattern:
    """A pattern and the application that it leads to, made by `path()` or `re_path()`.

    Attributes:
        pattern: what matches the path.
        callback: the ASGI application.
        default_args: what is added to the keyword arguments, and overrides them.
        name: for the reader; nothing here uses it.
    """

    pattern: Pattern
    callback: ASGIApp
    default_args: dict[str, Any] = field(default_factory=dict)
    name: str | None = None

    def matches(self, scope: Scope) -> NoReturn:
        """Refuse to be a route of Starlette's, which is asked so."""
        raise TypeError(
            f"path() and re_path() make patterns for a URLRouter: write URLRouter([...]), or WebSocketRoute(path, "
            f"{self.callback!r}) among Starlette's routes"
        )


def path(route: str, view: ASGIApp, kwargs: Mapping[str, Any] | None = None, name: str | None = None) -> URLPattern:
    """Lead a path to an application.

    Args:
        route: the path without its leading slash; `<converter:parameter>` or `<parameter>` takes a part of it. The
            whole path must match, unless `view` is a `URLRouter`, which routes the rest.
        view: the ASGI application, such as `ChatConsumer.as_asgi()`.
        kwargs: values added to `scope["url_route"]["kwargs"]`.
        name: a name for the route.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: the route names an unknown converter, no identifier, or a parameter twice.
    """
    place = f"path({route!r}, ...)"
    _require_text(route, place)
    for doubt in _doubts(route):
        warnings.warn(f"{place} {doubt}", stacklevel=2)
    return _url_pattern(RoutePattern(route, name, is_endpoint=True), view, kwargs, name, place)


def re_path(route: str, view: ASGIApp, kwargs: Mapping[str, Any] | None = None, name: str | None = None) -> URLPattern:
    """Lead the paths that a regular expression finds to an application.

    Args:
        route: the regular expression, searched in the path without its leading slash: write `^` and `$` where it
            must start and end. Named groups become keyword arguments; if there are none, unnamed ones become
            positional arguments.
        view: the ASGI application, such as `ChatConsumer.as_asgi()`.
        kwargs: values added to `scope["url_route"]["kwargs"]`.
        name: a name for the route.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: the regular expression is none.
    """
    place = f"re_path({route!r}, ...)"
    _require_text(route, place)
    if route.startswith("^/"):
        better = f"^{route[2:]}"
        warnings.warn(f"{place} never matches: paths come without their leading slash; write {better!r}", stacklevel=2)
    return _url_pattern(RegexPattern(route, name, is_endpoint=True), view, kwargs, name, place)


class RoutePattern:
    """A pattern with converters.

    Args:
        route: the pattern.
        name: the route's name.
        is_endpoint: whether the whole path must match, not only its beginning.

    Attributes:
        regex: the pattern as a regular expression.
        converters: the converter of every parameter.
    """

    def __init__(self, route: str, name: str | None = None, is_endpoint: bool = False) -> None:
        self._route = route
        self.name = name
        self.converters: dict[str, Converter] = {}
        regex, previous_end = "", 0
        for part in re.finditer(r"<(?:([^>:]+):)?([^>]+)>", route):
            kind, parameter = part.groups(default="str")
            self._add_parameter(kind, parameter, part[0])
            regex += re.escape(route[previous_end : part.start()])
            regex += f"(?P<{parameter}>{self.converters[parameter].regex})"
            previous_end = part.end()
        regex += re.escape(route[previous_end:])
        self.regex = _compile(f"^{regex}\\Z" if is_endpoint else f"^{regex}", f"the route {route!r}")

    def match(self, path: str) -> Match | None:
        """Match a path without its leading slash; None if it does not match."""
        match = self.regex.match(path)
        if match is None:
            return None
        try:
            kwargs = {name: converter.to_python(match[name]) for name, converter in self.converters.items()}
        except ValueError:
            return None
        return path[match.end() :], (), kwargs

    def _add_parameter(self, kind: str, parameter: str, part: str) -> None:
        if any(character in string.whitespace for character in part):
            raise ValueError(f"the route {self._route!r} has white space in {part!r}: remove it")
        if not parameter.isidentifier():
            raise ValueError(f"the route {self._route!r} has a parameter {parameter!r}, which is no Python identifier")
        if kind not in _converters:
            raise ValueError(
                f"the route {self._route!r} uses the unknown converter {kind!r}: call register_converter() before, "
                f"or use one of {', '.join(sorted(_converters))}"
            )
        if parameter in self.converters:
            raise ValueError(f"the route {self._route!r} has the parameter {parameter!r} twice: rename one of them")
        self.converters[parameter] = _converters[kind]

    def __str__(self) -> str:
        return self._route


class RegexPattern:
    """A pattern that is a regular expression.

    Args:
        regex: the regular expression.
        name: the route's name.
        is_endpoint: whether a final `$` stands for the very end, not also for the place before a last newline.

    Attributes:
        regex: the compiled regular expression.
    """

    def __init__(self, regex: str, name: str | None = None, is_endpoint: bool = False) -> None:
        self._regex = regex
        self.name = name
        self.regex = _compile(regex, f"the route {regex!r}")
        self._find = self.regex.fullmatch if is_endpoint and regex.endswith("$") else self.regex.search

    def match(self, path: str) -> Match | None:
        """Match a path without its leading slash; None if it does not match."""
        match = self._find(path)
        if match is None:
            return None
        named = match.groupdict()
        args = () if named else match.groups()
        return path[match.end() :], args, {name: value for name, value in named.items() if value is not None}

    def __str__(self) -> str:
        return self._regex


def as_prefix(pattern: Any) -> Pattern:
    """Return `pattern` as one that matches the beginning of a path, for a router that routes the rest.

    Raises:
        TypeError: it is neither one of this module's classes nor of Django's.
    """
    source = getattr(pattern, "_route", None)  # not str(): Django's may be translated when they match
    source = getattr(pattern, "_regex", None) if source is None else source
    if source is None:
        raise TypeError(f"a URLRouter cannot be nested behind the pattern {pattern!r}: use path() or re_path()")
    prefix: Pattern = type(pattern)(source, pattern.name, is_endpoint=False)
    return prefix


def _url_pattern(
    pattern: Pattern, view: ASGIApp, kwargs: Mapping[str, Any] | None, name: str | None, place: str
) -> URLPattern:
    require_application(view, place)
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"{place}: kwargs must be a dict, not {kwargs!r}")
    return URLPattern(pattern, view, dict(kwargs or {}), name)


def _compile(regex: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise ValueError(f"{what} makes no regular expression ({error}): {regex!r}") from error


def _require_text(route: object, place: str) -> None:
    if not isinstance(route, str):
        raise TypeError(f"{place}: the route must be a str, not {type(route).__name__}")


def _doubts(route: str) -> Iterator[str]:
    """Yield what Django's system check warns of: raising would stop ports, whose Channels accepts such routes."""
    if route.startswith("/"):
        yield f"never matches: paths come without their leading slash; write {route.lstrip('/')!r}"
    if "(?P<" in route or route.startswith("^") or route.endswith("$"):
        yield "looks like a regular expression: use re_path()"
    elif braces := re.search(r"{(\w+)(?::(\w+))?}", route):
        name, converter = braces.groups()
        better = f"<{converter}:{name}>" if converter else f"<{name}>"
        yield f"matches braces as they are: write {better!r} for {braces[0]!r}"
    elif re.search(r"[<>]", re.sub(r"<[^<>]+>", "", route)):
        yield "has an unmatched angle bracket: write <converter:parameter>"
