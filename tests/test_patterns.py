"""path() and re_path(): what they match, what they hand on, and what they say of a mistake."""

import contextlib
import re
import string
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers import AsyncWebsocketConsumer, patterns
from consumers.patterns import Match, RegexPattern, RoutePattern, as_prefix, path, re_path, register_converter
from consumers.types import Receive, Scope, Send

SOME_UUID = uuid.UUID("075194d3-6885-417e-a8a8-6c931e272f00")


async def app(scope: Scope, receive: Receive, send: Send) -> None: ...


class Room(AsyncWebsocketConsumer): ...


class Even:
    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        if int(value) % 2:
            raise ValueError("odd")
        return int(value)


@pytest.fixture(autouse=True)
def own_converters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_converters", dict(patterns._converters))


@pytest.mark.parametrize(
    ("route", "given_path", "kwargs"),
    [
        ("", "", {}),
        ("chat/", "chat/", {}),
        ("chat/", "chat", None),
        ("chat/", "chat/x", None),
        ("chat/", "a/chat/", None),
        ("chat", "chat\n", None),
        ("a.b/", "a.b/", {}),
        ("a.b/", "axb/", None),
        ("<room>/", "lobby/", {"room": "lobby"}),
        ("<str:room>/", "a b\u00e9/", {"room": "a b\u00e9"}),
        ("<str:room>/", "a/b/", None),
        ("<str:room>/", "/", None),
        ("<int:n>", "007", {"n": 7}),
        ("<int:n>", "-7", None),
        ("<int:n>", "\u0667", None),
        pytest.param("<int:n>", "9" * 5000, None, id="more digits than Python converts"),
        ("<slug:s>", "a-B_9", {"s": "a-B_9"}),
        ("<slug:s>", "a.b", None),
        ("<uuid:u>", str(SOME_UUID), {"u": SOME_UUID}),
        ("<uuid:u>", str(SOME_UUID).upper(), None),
        ("<path:p>", "a/b/c", {"p": "a/b/c"}),
        ("<path:p>", "", None),
        ("<int:a>-<int:b>/<path:rest>", "1-2/x/y", {"a": 1, "b": 2, "rest": "x/y"}),
    ],
)
def test_a_route_matches_as_in_django(route: str, given_path: str, kwargs: dict[str, Any] | None) -> None:
    expected = None if kwargs is None else ("", (), kwargs)
    assert path(route, app).pattern.match(given_path) == expected


@pytest.mark.parametrize(
    ("regex", "given_path", "expected"),
    [
        (r"^chat/(?P<room>\w+)/$", "chat/a/", ("", (), {"room": "a"})),
        (r"^chat/(\w+)/(\d+)/$", "chat/a/1/", ("", ("a", "1"), {})),
        (r"^chat/(\w+)/(?P<n>\d+)/$", "chat/a/1/", ("", (), {"n": "1"})),
        (r"^chat/(?P<room>\w+)?$", "chat/", ("", (), {})),
        (r"^chat/(\w+)?$", "chat/", ("", (None,), {})),
        (r"^chat/", "chat/rest/", ("rest/", (), {})),
        (r"room/", "some/room/7", ("7", (), {})),
        (r"^chat$", "chat\n", None),
        (r"^chat$", "chats", None),
        (r"", "anything", ("anything", (), {})),
    ],
)
def test_a_regular_expression_matches_as_in_django(regex: str, given_path: str, expected: Match | None) -> None:
    assert re_path(regex, app).pattern.match(given_path) == expected


def test_a_prefix_leaves_the_rest_of_the_path() -> None:
    assert as_prefix(RoutePattern("a/<int:n>/", is_endpoint=True)).match("a/1/b/") == ("b/", (), {"n": 1})
    assert as_prefix(RegexPattern("^a/(?P<n>.)/", is_endpoint=True)).match("a/1/b/") == ("b/", (), {"n": "1"})
    with pytest.raises(TypeError, match=r"path\(\)"):
        as_prefix(object())


# Hypothesis spends its first run ever on a table of all characters.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(min_value=0),
    "str": st.text(st.characters(exclude_characters="/"), min_size=1),
    "slug": st.text(string.ascii_letters + string.digits + "-_", min_size=1),
    "uuid": st.uuids(),
    "path": st.text(min_size=1).filter(lambda text: "\n" not in text),
}


@st.composite
def filled_routes(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """Draw a route, a path that fills it, and the parameters in it."""
    route = given_path = "start/"
    kwargs = {}
    kinds = draw(st.lists(st.sampled_from(sorted(set(KINDS) - {"path"})), max_size=4))
    kinds += draw(st.sampled_from([[], ["path"]]))
    for number, kind in enumerate(kinds):
        fixed = draw(st.text(st.characters(exclude_characters="<>/"), max_size=5)) + "/"
        name, value = f"p{number}", draw(KINDS[kind])
        kwargs[name] = value
        route += f"{fixed}<{kind}:{name}>/"
        given_path += f"{fixed}{value}/"
    return route, given_path, kwargs


@patient
@given(filled_routes())
def test_a_filled_in_route_matches_and_gives_the_values_back(filled: tuple[str, str, dict[str, Any]]) -> None:
    route, given_path, kwargs = filled
    pattern = RoutePattern(route, is_endpoint=True)
    assert pattern.match(given_path) == ("", (), kwargs)
    assert pattern.match("x" + given_path) is None
    if "<path:" not in route:  # which may itself end with the slash that is taken away
        assert pattern.match(given_path[:-1]) is None


@patient
@given(st.text(), st.text("ab/.\n"))
def test_no_route_without_parameters_matches_anything_but_itself(route: str, given_path: str) -> None:
    route = re.sub("[<>]", "", route)
    pattern = RoutePattern(route, is_endpoint=True)
    assert pattern.match(route) == ("", (), {})
    assert (pattern.match(given_path) is not None) == (route == given_path)


@patient
@given(st.text(max_size=50))
def test_any_text_is_a_route_or_a_value_error(route: str) -> None:
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(ValueError):
        path(route, app).pattern.match(route)


def test_default_arguments_and_the_name_are_kept() -> None:
    kwargs = {"kind": "public"}
    route = path("chat/", app, kwargs, name="chat")
    kwargs.clear()
    assert (route.callback, route.default_args, route.name) == (app, {"kind": "public"}, "chat")
    assert re_path("^chat/$", app, name="chat").pattern.name == "chat"
    assert (str(route.pattern), str(re_path("^a", app).pattern)) == ("chat/", "^a")


def test_a_registered_converter_is_used() -> None:
    register_converter(Even, "even")
    register_converter(Even, "even")  # a module that is imported twice
    match = path("<even:n>/", app).pattern.match
    assert match("4/") == ("", (), {"n": 4})
    assert match("3/") is None


def test_a_converters_own_groups_are_no_parameters() -> None:
    class Pair:
        regex = "(?P<left>[a-z]+)-([a-z]+)"

        def to_python(self, value: str) -> list[str]:
            return value.split("-")

    register_converter(Pair, "pair")
    assert path("<pair:p>", app).pattern.match("a-b") == ("", (), {"p": ["a", "b"]})


def bad_converters() -> Iterator[Any]:
    class NoRegex:
        def to_python(self, value: str) -> str:
            return value

    class NoMethod:
        regex = "x"

    class BadRegex(NoRegex):
        regex = "("

    yield pytest.param(Even, "int", ValueError, "'int' is already registered", id="taken")
    yield pytest.param(Even(), "even", TypeError, "takes a class", id="instance")
    yield pytest.param(NoRegex, "x", TypeError, "`regex`", id="no regex")
    yield pytest.param(NoMethod, "x", TypeError, "to_python", id="no method")
    yield pytest.param(BadRegex, "x", ValueError, r"'x' makes no regular expression \(missing \)", id="bad regex")


@pytest.mark.parametrize(("converter", "name", "error", "message"), list(bad_converters()))
def test_a_bad_converter_is_refused(converter: Any, name: str, error: type[Exception], message: str) -> None:
    before = dict(patterns._converters)
    with pytest.raises(error, match=message):
        register_converter(converter, name)
    assert patterns._converters == before


@pytest.mark.parametrize(
    ("make", "args", "error", "message"),
    [
        (path, ("a/", Room), TypeError, r"path\('a/', ...\): Room is a class.*write Room\.as_asgi\(\)"),
        (re_path, ("a/", Room), TypeError, r"re_path\('a/', ...\): Room is a class.*write Room\.as_asgi\(\)"),
        (path, ("a/", [path("", app)]), TypeError, r"write URLRouter\(\[\.\.\.\]\)"),
        (path, ("a/", None), TypeError, "None is no ASGI application"),
        (path, (b"a/", app), TypeError, "must be a str, not bytes"),
        (re_path, (re.compile("a/"), app), TypeError, "must be a str, not Pattern"),
        (path, ("a/", app, "name"), TypeError, "kwargs must be a dict, not 'name'"),
        (path, ("<float:x>/", app), ValueError, r"unknown converter 'float'.*register_converter\(\).*int, path, slug"),
        (path, ("<a>/<int:a>/", app), ValueError, "parameter 'a' twice"),
        (path, ("<int:a-b>/", app), ValueError, "'a-b', which is no Python identifier"),
        (path, ("<int: a>/", app), ValueError, "white space in '<int: a>'"),
        (re_path, ("(a", app), ValueError, r"route '\(a' makes no regular expression"),
        (re_path, ("(?P<a>.)(?P<a>.)", app), ValueError, "redefinition of group name 'a'"),
    ],
)
def test_a_mistake_in_a_route_is_named(make: Any, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(*args)


@pytest.mark.parametrize(
    ("make", "route", "message"),
    [
        (path, "/chat/", r"path\('/chat/', ...\) never matches.*write 'chat/'"),
        (path, "^chat/", "regular expression"),
        (path, "chat/$", "regular expression"),
        (path, "(?P<room>x)", "regular expression"),
        (path, "<int:n/", "unmatched angle bracket"),
        (path, "ws/{room:int}/", r"matches braces as they are: write '<int:room>' for '\{room:int\}'"),
        (path, "ws/{room}/", "write '<room>' for"),
        (re_path, "^/chat/$", r"re_path\('\^/chat/\$', ...\) never matches.*write '\^chat/\$'"),
    ],
)
def test_a_route_that_is_hardly_meant_warns_the_line_that_made_it(make: Any, route: str, message: str) -> None:
    with pytest.warns(UserWarning, match=message) as caught:
        make(route, app)
    assert caught[0].filename == __file__
