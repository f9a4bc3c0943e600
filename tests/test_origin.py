"""The Origin check: who is let through, and how the others are answered."""

import contextlib
import logging
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from consumers import AllowedHostsOriginValidator, AsyncWebsocketConsumer, OriginValidator
from consumers.origin import Origin, Rule
from consumers.types import Message, Receive, Scope, Send

from .support.wire import Wire, connected, connecting, websocket_scope

pytestmark = pytest.mark.anyio

REJECTION = {"type": "websocket.close", "code": 1000, "reason": ""}


class Chat(AsyncWebsocketConsumer): ...


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application was called")


def headers(*origins: str, host: str = "example.com") -> list[tuple[bytes, bytes]]:
    return [(b"host", host.encode()), *((b"origin", origin.encode()) for origin in origins)]


async def is_allowed(entries: list[str], *origins: str, **options: Any) -> bool:
    """Connect with the Origin headers `origins`; say whether the application was reached."""
    reached = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal reached
        reached = True
        await send({"type": "websocket.close", "code": 1000, "reason": ""})

    async with connecting(OriginValidator(app, entries, **options), headers=headers(*origins)) as wire:
        await wire.end()
    assert wire.error is None
    assert wire.sent == [REJECTION]
    return reached


@pytest.mark.parametrize(
    ("entry", "origin", "allowed"),
    [
        # the host alone: http or https, any port
        ("example.com", "https://example.com", True),
        ("example.com", "http://example.com", True),
        ("example.com", "http://example.com:8000", True),
        ("example.com", "https://www.example.com", False),
        ("example.com", "https://badexample.com", False),
        ("example.com", "https://example.com.evil.net", False),
        ("example.com", "https://example.com.", False),
        ("localhost", "capacitor://localhost", False),
        ("capacitor://localhost", "capacitor://localhost", True),
        # host and port
        ("example.com:8000", "http://example.com:8000", True),
        ("example.com:8000", "http://example.com", False),
        ("example.com:443", "https://example.com", True),
        # scheme, host and port
        ("https://example.com", "https://example.com", True),
        ("https://example.com", "https://example.com:443", True),
        ("https://example.com:443", "https://example.com", True),
        ("https://example.com/", "https://example.com", True),
        ("https://example.com", "http://example.com", False),
        ("https://example.com", "http://example.com:443", False),
        ("https://example.com", "https://example.com:8443", False),
        ("http://example.com", "http://example.com:80", True),
        ("http://example.com:8000", "http://example.com:8000", True),
        ("http://example.com:8000", "http://example.com:8001", False),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        ("chrome-extension://abcdef", "https://abcdef", False),
        ("ionic://localhost", "ionic://localhost:81", False),
        # sub-domains
        (".example.com", "https://example.com", True),
        (".example.com", "https://a.b.example.com:8000", True),
        (".example.com", "https://badexample.com", False),
        (".example.com", "https://com", False),
        ("https://.example.com", "https://www.example.com", True),
        ("https://.example.com", "http://www.example.com", False),
        ("https://.example.com:8443", "https://www.example.com:8443", True),
        ("https://.example.com:8443", "https://www.example.com", False),
        # spelling
        ("EXAMPLE.com", "HTTPS://Example.COM", True),
        ("HTTPS://.Example.com", "https://WWW.example.com", True),
        ("b\u00fccher.example", "https://xn--bcher-kva.example", True),
        ("https://.B\u00fccher.example:8443", "https://www.xn--bcher-kva.example:8443", True),
        ("xn--bcher-kva.example", "https://xn--bcher-kva.example", True),
        ("b\u00fccher.example", "https://b\u00fccher.example", False),
        # addresses
        ("127.0.0.1", "http://127.0.0.1:8000", True),
        ("[::1]", "http://[::1]:8000", True),
        ("::1", "http://[::1]", True),
        ("http://[::1]:8000", "http://[::1]:8000", True),
        ("http://[::1]:8000", "http://[::1]", False),
        ("[0:0:0:0:0:0:0:1]", "http://[::1]", True),
        ("[2001:DB8::1]", "http://[2001:db8:0::1]", True),
        ("[::1]", "http://[::2]", False),
    ],
)
async def test_an_origin_is_compared_with_the_list(entry: str, origin: str, allowed: bool) -> None:
    assert await is_allowed(["other.net", entry], origin) is allowed


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "example.com",
        "//example.com",
        "https://",
        "https:example.com",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?x",
        "https://example.com#x",
        "https://user@example.com",
        "https://evil.net@example.com",
        "https://evil.net\\@example.com",
        "https://example.com:",
        "https://example.com:x",
        "https://example.com:65536",
        "https://example.com:4\u0663",
        "https://example.com ",
        " https://example.com",
        "https://example.com\n",
        "https://example.com https://evil.net",
        "https://exam%70le.com",
        "http\u017f://example.com",
        "https://[::1",
        "https://[:::1]",
        "https://[::1%25example.com]",
        "https://::1",
        "https://.example.com",
    ],
)
async def test_a_malformed_origin_is_refused(origin: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not await is_allowed([".example.com", "[::1]"], origin, allow_missing=True)
    assert len(caplog.messages) == 1 and caplog.messages[0].endswith("is malformed")


async def test_a_missing_origin_is_refused_unless_asked_for() -> None:
    assert not await is_allowed(["example.com"])
    assert await is_allowed(["example.com"], allow_missing=True)
    assert not await is_allowed(["example.com"], "https://evil.net", allow_missing=True)


async def test_several_origins_are_refused() -> None:
    assert not await is_allowed(["example.com"], "https://example.com", "https://evil.net")
    assert not await is_allowed(["example.com"], "https://example.com", "https://example.com", allow_missing=True)


async def test_a_star_turns_the_check_off() -> None:
    for origins in ((), ("https://evil.net",), ("null",), ("nonsense",)):
        assert await is_allowed(["example.com", "*"], *origins)


async def test_an_empty_list_allows_nobody() -> None:
    assert not await is_allowed([], "https://example.com")


async def test_the_host_header_does_not_decide() -> None:
    async with connecting(
        OriginValidator(unreachable, ["example.com"]), headers=headers("https://evil.net", host="evil.net")
    ) as wire:
        await wire.end()
    assert (wire.sent, wire.error) == ([REJECTION], None)


async def test_a_header_in_capitals_counts_too() -> None:
    app = OriginValidator(unreachable, ["example.com"], allow_missing=True)
    async with connecting(app, headers=[(b"Origin", b"https://evil.net")]) as wire:
        await wire.end()
    assert (wire.sent, wire.error) == ([REJECTION], None)


@pytest.mark.parametrize(
    ("origins", "line"),
    [
        (["https://evil.net"], "its Origin 'https://evil.net' is not allowed"),
        ([], "it has no Origin header"),
        (["null"], "its Origin 'null' is malformed"),
        (["x\r\nroot logged in"], r"its Origin 'x\r\nroot logged in' is malformed"),
        (["http://a", "http://b\n"], r"it has several Origin headers: ['http://a', 'http://b\n']"),
    ],
)
async def test_a_refusal_is_one_line_of_log(origins: list[str], line: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connecting(
        OriginValidator(unreachable, ["example.com"]), path="/a\nb", headers=headers(*origins)
    ) as wire:
        await wire.end()
    assert caplog.record_tuples == [
        ("consumers.origin", logging.WARNING, rf"rejected the websocket path '/a\nb': {line}")
    ]
    assert caplog.records[0].exc_info is None
    assert (wire.sent, wire.error) == ([REJECTION], None)


async def test_an_allowed_origin_is_not_logged_and_reaches_the_consumer(caplog: pytest.LogCaptureFixture) -> None:
    app = OriginValidator(Chat.as_asgi(), ["example.com"])
    async with connected(app, headers=headers("https://example.com")) as wire:
        pass
    assert wire.error is None
    assert caplog.messages == []


async def test_a_client_that_has_gone_gets_no_answer_and_makes_no_error() -> None:
    app, wire = OriginValidator(unreachable, []), Wire()
    wire.disconnect()
    await app(websocket_scope(), wire.app_receive, wire.app_send)
    wire.client("connect")
    wire.gone = True
    await app(websocket_scope(), wire.app_receive, wire.app_send)
    assert wire.sent == []


@pytest.mark.parametrize("kind", ["http", "lifespan"])
async def test_anything_but_a_websocket_is_an_error_that_says_what_to_write(kind: str) -> None:
    async def never() -> Message:
        raise AssertionError("receive() was called")

    async def dropped(message: Message) -> None:
        raise AssertionError(f"{message} was sent")

    with pytest.raises(ValueError, match=f"on a non-WebSocket connection, here of type '{kind}'.*ProtocolTypeRouter"):
        await OriginValidator(unreachable, ["*"])({"type": kind}, never, dropped)


async def test_allowed_hosts_are_the_list() -> None:
    validator = AllowedHostsOriginValidator(Chat.as_asgi(), ["example.com", ".example.net"])
    assert isinstance(validator, OriginValidator)
    assert validator.allowed_origins == ["example.com", ".example.net"]
    async with connected(validator, headers=headers("http://a.example.net:8000")):
        pass
    async with connecting(validator, headers=headers("http://evil.net")) as wire:
        await wire.end()
    assert wire.sent == [REJECTION]
    async with connected(AllowedHostsOriginValidator(Chat.as_asgi(), ["x"], allow_missing=True)):
        pass


def test_it_stands_in_front_of_a_starlette_route() -> None:
    app = Starlette(routes=[WebSocketRoute("/ws", OriginValidator(Chat.as_asgi(), ["example.com"]))])
    client = TestClient(app)
    with client.websocket_connect("/ws", headers={"origin": "https://example.com"}):
        pass
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers={"origin": "https://evil.net"}):
        pass


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ".",
        "https://",
        "null",
        "*.example.com",
        "https://*.example.com",
        "https://*",
        "..example.com",
        "https://example.com/path",
        "https://user@example.com",
        "example.com:http",
        "http\u017f://example.com",
        "example.com:65536",
        " example.com",
        "a:b:c",
        "b\u00fc cher.example",
    ],
)
def test_an_entry_that_could_never_match_is_an_error_that_names_it(entry: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be an allowed origin: write .*\"\.example\.com\"") as caught:
        OriginValidator(unreachable, ["example.com", entry])
    assert str(caught.value).startswith(repr(entry))


@pytest.mark.parametrize("entry", ["stra\u00dfe.example", "\uff45xample.com", "\u00fc..example"])
def test_a_name_that_browsers_may_write_otherwise_must_be_written_in_ascii(entry: str) -> None:
    with pytest.raises(ValueError, match="write its ASCII form, which begins with xn--"):
        OriginValidator(unreachable, [entry])


@pytest.mark.parametrize(
    ("application", "entries", "message"),
    [
        (Chat, ["*"], r"OriginValidator: Chat is a class.*write Chat\.as_asgi\(\)"),
        (None, ["*"], "OriginValidator: None is no ASGI application"),
        (unreachable, "example.com", r"must be a list, such as \[\"example\.com\"\], not 'example\.com'"),
        (unreachable, None, "must be a list"),
        (unreachable, [None], "must be a str, not None"),
    ],
)
def test_a_mistake_in_the_arguments_is_named(application: Any, entries: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        OriginValidator(application, entries)


hosts = st.from_regex(r"[a-z0-9]{1,5}(\.[a-z0-9]{1,5}){0,3}", fullmatch=True)
schemes = st.sampled_from(["http", "https", "ionic"])
ports = st.none() | st.integers(0, 65535)


def origin_of(scheme: str, host: str, port: int | None) -> str:
    return f"{scheme}://{host}" + ("" if port is None else f":{port}")


@settings(deadline=None)
@given(schemes, hosts, ports)
def test_an_origin_is_allowed_by_itself_its_host_and_its_domain_only(scheme: str, host: str, port: int | None) -> None:
    origin = Origin.parse(origin_of(scheme, host, port))
    assert origin is not None
    assert Rule.parse(host).allows(origin) is Rule.parse(f".{host}").allows(origin) is (scheme != "ionic")
    by_name = () if scheme == "ionic" else (host, f".{host}")
    for entry in (origin_of(scheme, host, port), origin_of(scheme, f".{host}", port), *by_name):
        assert Rule.parse(entry).allows(origin)
        assert not Rule.parse(entry).allows(origin._replace(host=f"x{host}"))
        assert Rule.parse(entry).allows(origin._replace(host=f"x.{host}")) is ("." + host in entry)


@settings(deadline=None)
@given(st.text())
@example("https://[::1]:99999")
def test_any_text_is_an_origin_or_malformed(text: str) -> None:
    origin = Origin.parse(text)
    assert origin is None or text.lower().startswith(f"{origin.scheme}://")


@settings(deadline=None)
@given(st.text())
@example(".\u00fc:80")
def test_any_text_is_an_entry_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        Rule.parse(text)
