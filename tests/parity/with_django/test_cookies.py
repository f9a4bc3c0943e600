"""Cookies: what `CookieMiddleware` reads and writes."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from channels.sessions import CookieMiddleware, SessionMiddleware

from . import IS_COMPAT
from .scopes import Answering, attributes, call, cookies, scope

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def set_cookie(*args, **kwargs):
    message = {"type": "http.response.start"}
    CookieMiddleware.set_cookie(message, *args, **kwargs)
    [(name, value)] = message["headers"]
    assert name == b"Set-Cookie"
    return value.decode()


@pytest.mark.parametrize(
    ("arguments", "header"),
    [
        ({}, 'a=""; Path=/; SameSite=lax'),
        ({"value": "b c;d"}, 'a="b c\\073d"; Path=/; SameSite=lax'),
        ({"value": "é"}, r'a="\351"; Path=/; SameSite=lax'),
        ({"value": b"\xc3\xa9"}, r'a="\351"; Path=/; SameSite=lax'),
        ({"value": 7}, "a=7; Path=/; SameSite=lax"),
        ({"value": "b", "max_age": 60}, "a=b; expires=Tue, 14 Nov 2023 22:14:20 GMT; Max-Age=60; Path=/; SameSite=lax"),
        ({"max_age": 0}, 'a=""; expires=Tue, 14 Nov 2023 22:13:20 GMT; Max-Age=0; Path=/; SameSite=lax'),
        ({"expires": "some day"}, 'a=""; expires=some day; Path=/; SameSite=lax'),
        ({"expires": "some day", "max_age": 5}, 'a=""; expires=some day; Max-Age=5; Path=/; SameSite=lax'),
        ({"expires": "", "max_age": 5}, 'a=""; expires=Tue, 14 Nov 2023 22:13:25 GMT; Max-Age=5; Path=/; SameSite=lax'),
        ({"path": None, "samesite": None}, 'a=""'),
        ({"path": "/x", "domain": "example.com"}, 'a=""; Domain=example.com; Path=/x; SameSite=lax'),
        ({"secure": True, "httponly": True}, 'a=""; HttpOnly; Path=/; SameSite=lax; Secure'),
        ({"secure": None, "httponly": None}, 'a=""; Path=/; SameSite=lax'),
        ({"samesite": "None"}, 'a=""; Path=/; SameSite=None'),
        ({"samesite": "strict"}, 'a=""; Path=/; SameSite=strict'),
    ],
)
def test_a_cookie_is_written_with_its_attributes(monkeypatch, arguments, header):
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert set_cookie("a", **arguments) == header


def test_arguments_may_be_positional():
    words = set_cookie("a", "b", None, "some day", "/p", "example.com", True, True, "none")
    assert words == "a=b; Domain=example.com; expires=some day; HttpOnly; Path=/p; SameSite=none; Secure"


@pytest.mark.parametrize("seconds", [90, -90])
def test_a_datetime_without_a_zone_is_utc_and_gives_the_age(seconds):
    moment = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)
    words = attributes(set_cookie("a", expires=moment).split("; "))
    assert words["expires"].endswith(" GMT")
    assert int(words["max-age"]) in ((89, 90, 91) if seconds > 0 else (0,))


def test_a_datetime_may_have_a_zone():
    moment = datetime.now(timezone(timedelta(hours=5))) + timedelta(seconds=90)
    if IS_COMPAT:
        assert int(attributes(set_cookie("a", expires=moment).split("; "))["max-age"]) in (89, 90, 91)
    else:  # Channels asks for django.utils.timezone.utc, which Django 5 has not
        with pytest.raises(AttributeError):
            set_cookie("a", expires=moment)


def test_an_unknown_samesite_is_an_assertion_error():
    with pytest.raises(AssertionError, match="samesite must be"):
        set_cookie("a", samesite="sometimes")


def test_cookies_are_appended_to_the_headers_that_there_are():
    message = {"type": "http.response.start", "headers": [(b"x", b"y")]}
    CookieMiddleware.set_cookie(message, "a", "1")
    CookieMiddleware.set_cookie(message, "b", "2")
    assert [value for _, value in message["headers"]] == [
        b"y",
        b"a=1; Path=/; SameSite=lax",
        b"b=2; Path=/; SameSite=lax",
    ]


def test_a_deleted_cookie_is_one_of_long_ago():
    message = {"type": "http.response.start"}
    CookieMiddleware.delete_cookie(message, "a", path="/p", domain="example.com")
    [(_, value)] = message["headers"]
    expected = "Domain=example.com; expires=Thu, 01-Jan-1970 00:00:00 GMT; Max-Age=0; Path=/p; SameSite=lax"
    assert value.decode() in (f'a=""; {expected}', f"a=; {expected}")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"a=1; b=2", {"a": "1", "b": "2"}),
        (b'a="x y"; b=', {"a": "x y", "b": ""}),
        (b"a=1; a=2;; =", {"a": "2"}),
        (b"lonely; a=b=c", {"": "lonely", "a": "b=c"}),
        (b"", {}),
    ],
)
async def test_cookies_of_the_request_are_in_the_scope(header, expected):
    application = Answering()
    outer = {"type": "websocket", "headers": [(b"host", b"x"), (b"cookie", header)]}
    await call(CookieMiddleware(application), outer)
    assert application.scope["cookies"] == expected
    assert "cookies" not in outer


async def test_several_headers_are_read_as_one():
    application = Answering()
    await call(CookieMiddleware(application), {"type": "http", "headers": [(b"cookie", b"a=1"), (b"cookie", b"b=2")]})
    assert application.scope["cookies"] == ({"a": "1", "b": "2"} if IS_COMPAT else {"a": "1"})  # HTTP/2 may split them


async def test_without_a_header_there_are_no_cookies():
    application = Answering()
    await call(CookieMiddleware(application), scope())
    assert application.scope["cookies"] == {}


async def test_a_scope_without_headers_is_refused():
    with pytest.raises(ValueError, match="headers"):
        await call(CookieMiddleware(Answering()), {"type": "lifespan"})


async def test_sessions_need_cookies():
    with pytest.raises(
        ValueError, match="No cookies in scope - SessionMiddleware needs to run inside of CookieMiddleware"
    ):
        await call(SessionMiddleware(Answering()), scope())


async def test_no_cookie_is_set_where_nothing_happens():
    assert cookies(await call(CookieMiddleware(Answering({"type": "http.response.start"})), scope())) == {}
