"""Cross-site WebSocket hijacking.

If one of these fails: a page of the attacker's, open in a visitor's browser, has a socket with the visitor's cookies,
reads what is the visitor's and acts in their name.
"""

import time

import pytest

from compat.channels.security.websocket import OriginValidator as CompatOriginValidator
from consumers import AllowedHostsOriginValidator, AsyncWebsocketConsumer, OriginValidator
from consumers.types import ASGIApp

from ..support.wire import connected, connecting

pytestmark = pytest.mark.anyio

COOKIE = (b"cookie", b"session=the visitor's")


class Account(AsyncWebsocketConsumer):
    """Says what only the visitor may know."""

    async def connect(self) -> None:
        await self.accept()
        await self.send(dict(self.scope["headers"])[b"cookie"].decode())


GUARDED = {
    "host": OriginValidator(Account.as_asgi(), ["good.com", "[2001:db8::1]"]),
    "domain": AllowedHostsOriginValidator(Account.as_asgi(), [".good.com", "2001:db8::1"]),
    "origin": OriginValidator(Account.as_asgi(), ["https://good.com", "https://.good.com", "https://[2001:db8::1]"]),
    "programs too": OriginValidator(Account.as_asgi(), ["https://good.com"], allow_missing=True),
    "compat": CompatOriginValidator(Account.as_asgi(), ["https://good.com"]),
    "compat, host": CompatOriginValidator(Account.as_asgi(), ["good.com", ".good.com", "good.com:443"]),
}

FOREIGN = [
    "null",
    "NULL",
    "file://",
    "about:blank",
    "data:text/html,good.com",
    # the name in another one
    "https://evil.com",
    "https://good.com.evil.com",
    "https://evilgood.com",
    "https://evil-good.com",
    "https://good.com-evil.com",
    "https://good.comevil.com",
    "https://good.co",
    "https://com",
    "https://evil.com/good.com",
    "https://evil.com?.good.com",
    "https://evil.com#.good.com",
    "https://evil.com\\.good.com",
    "https://evil.com%2f.good.com",
    "https://evil.com%00.good.com",
    "https://evil.com\0.good.com",
    "https://evil.com\t.good.com",
    "https://evil.com\n.good.com",
    "https://evil.com:80.good.com",
    "https://evil.com&good.com",
    # somebody at it, a port that is none, a dot behind it
    "https://good.com@evil.com",
    "https://good.com:x@evil.com",
    "https://evil.com@good.com",
    "https://good.com:443@evil.com",
    "https://good.com:evil.com",
    "https://good.com:",
    "https://good.com:0x1bb",
    "https://good.com:443443",
    "https://good.com:-443",
    "https://good.com.",
    "https://.good.com",
    "https://good..com",
    # names that look like it
    "https://g\u043e\u043ed.com",
    "https://\uff47ood.com",
    "https://good\u3002com",
    "https://xn--gd-emca.com",
    "https://g\xf6\xf6d.com",
    # schemes that a page may have
    "https:good.com",
    "https:/good.com",
    "//good.com",
    "good.com",
    "javascript:good.com",
    "blob:https://good.com",
    "https://https://good.com",
    # schemes under which an add-on, an app or a file has a name of its own choice
    "chrome-extension://good.com",
    "moz-extension://good.com",
    "safari-web-extension://good.com",
    "extension://www.good.com",
    "chrome://good.com",
    "devtools://good.com",
    "app://good.com",
    "capacitor://good.com",
    "ionic://good.com:443",
    "tauri://good.com",
    "vscode-webview://good.com",
    "resource://good.com",
    "file://good.com",
    "ftp://good.com",
    "ws://good.com",
    "wss://good.com",
    "httpx://good.com",
    "shttp://good.com",
    # addresses
    "https://[2001:db8::1].evil.com",
    "https://[2001:db8::2]",
    "https://[2001:db8::1%25good.com]",
    "https://[::ffff:2001:db8]",
    "https://[good.com]",
    "https://2001:db8::1",
    # several in one
    "https://good.com https://evil.com",
    "https://evil.com https://good.com",
    "https://good.com, https://evil.com",
    "https://evil.com,https://good.com",
    "https://good.com;https://evil.com",
]


async def assert_refused(app: ASGIApp, *origins: bytes) -> None:
    headers = [COOKIE, (b"host", b"good.com"), *((b"origin", origin) for origin in origins)]
    async with connecting(app, headers=headers) as wire:
        await wire.end()
    assert [event["type"] for event in wire.sent] == ["websocket.close"]
    assert wire.error is None


@pytest.mark.parametrize("guard", GUARDED)
async def test_a_page_of_another_site_is_refused(guard: str) -> None:
    for origin in FOREIGN:
        for encoded in {origin.encode("utf-8"), origin.encode("latin-1", "replace")}:
            await assert_refused(GUARDED[guard], encoded)


@pytest.mark.parametrize("guard", GUARDED)
async def test_a_header_that_is_there_twice_is_refused(guard: str) -> None:
    for origins in ([b"https://good.com", b"https://evil.com"], [b"https://evil.com", b"https://good.com"]):
        await assert_refused(GUARDED[guard], *origins)
    headers = [COOKIE, (b"origin", b"https://good.com"), (b"Origin", b"https://evil.com")]
    async with connecting(GUARDED[guard], headers=headers) as wire:
        await wire.end()
    assert [event["type"] for event in wire.sent] == ["websocket.close"]


@pytest.mark.parametrize("guard", ["origin", "programs too", "compat"])
@pytest.mark.parametrize("origin", ["http://good.com", "ws://good.com", "https://good.com:8443", "http://good.com:443"])
async def test_another_scheme_or_port_of_the_same_host_is_another_site(guard: str, origin: str) -> None:
    await assert_refused(GUARDED[guard], origin.encode())


@pytest.mark.parametrize("guard", ["host", "domain", "origin", "compat"])
async def test_a_missing_origin_is_refused(guard: str) -> None:
    await assert_refused(GUARDED[guard])
    await assert_refused(GUARDED[guard], b"")


@pytest.mark.parametrize("guard", GUARDED)
async def test_the_sites_own_pages_are_let_in(guard: str) -> None:
    for origin in (b"https://good.com", b"HTTPS://GOOD.com", b"https://good.com:443"):
        async with connected(GUARDED[guard], headers=[COOKIE, (b"origin", origin)]) as wire:
            assert await wire.next_text() == "session=the visitor's"


@pytest.mark.parametrize("guard", GUARDED)
@pytest.mark.parametrize(
    "origin",
    [
        "https://" + "a." * 100_000 + "evil.com",
        "https://" + "a" * 200_000,
        "https://" + "-" * 200_000 + "!",
        "a+" * 100_000 + "://evil.com",
        "https://[" + ":" * 200_000 + "]",
        "https://good.com:" + "4" * 200_000,
    ],
    ids=["labels", "a label", "dashes", "a scheme", "an address", "a port"],
)
async def test_a_huge_origin_is_refused_at_once(guard: str, origin: str, caplog: pytest.LogCaptureFixture) -> None:
    started = time.perf_counter()
    await assert_refused(GUARDED[guard], origin.encode())
    assert time.perf_counter() - started < 2
    assert len(caplog.text) < 1000
