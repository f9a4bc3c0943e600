"""Log injection: what a client has chosen, in this library's log.

If one of these fails: an attacker writes lines of their own into the log, hides theirs from whoever reads it in a
terminal, or fills the disk with a few handshakes.
"""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from consumers import (
    AsyncHttpConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    InMemoryChannelLayer,
    OriginValidator,
    URLRouter,
)
from consumers._connection import log
from consumers.exceptions import InvalidFrame

from ..support.wire import connected, connecting

pytestmark = pytest.mark.anyio

LONGEST = 700  # characters of one line

NASTY = {
    "lines": "x\r\n2026-01-01 INFO root logged in\n",
    "escapes": "\x1b[2J\x1b]0;title\x07\x9b31m\x08\x7f",
    "other ends of lines": "a\u2028b\u2029c\x85d\x0b\x0c",
    "directions": "\u202egnp.exe\u2066\u200b\ufeff",
    "NUL": "a\0b",
    "formats": "%s%s%n%(levelname)s{0}{message}",
    "length": "x" * 10_000,
    "length of escapes": "\U000e0001" * 10_000,
}


@pytest.fixture(params=NASTY)
def nasty(request: pytest.FixtureRequest) -> str:
    return NASTY[request.param]


@pytest.fixture(autouse=True)
def harmless_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See after each test that there was a log, and that it is one of plain, short lines."""
    monkeypatch.setattr(log, "_logged", type(log._logged)())
    caplog.set_level(logging.DEBUG, logger="consumers")
    yield
    records = [record for record in caplog.get_records("call") if record.name.startswith("consumers")]
    assert records
    for record in records:
        line = record.getMessage()
        assert line.isprintable(), ascii(line)
        assert len(line) < LONGEST, line[:LONGEST]
        assert record.exc_info is None


class Reader(AsyncJsonWebsocketConsumer):
    groups = ["room"]


class Rude(AsyncWebsocketConsumer):
    """Quotes the client in its refusal."""

    async def receive(self, text_data: str) -> None:
        raise InvalidFrame(1008, f"not {text_data}")


class Strict(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept("chat")


class Undecided(AsyncWebsocketConsumer):
    async def connect(self) -> None: ...


async def test_a_path_and_an_address(nasty: str, layer: InMemoryChannelLayer) -> None:
    async with connected(Reader.as_asgi(), path=f"/{nasty}", client=[nasty, 1]) as wire:
        wire.text("no json")
        await wire.end()


async def test_a_path_without_a_route(nasty: str) -> None:
    async with connecting(URLRouter([]), path=f"/{nasty}") as wire:
        await wire.end()


async def test_a_path_with_the_wrong_protocol(nasty: str) -> None:
    async with connecting(AsyncHttpConsumer.as_asgi(), path=f"/{nasty}") as wire:
        await wire.end()


async def test_a_handshake_that_is_not_answered(nasty: str) -> None:
    async with connecting(Undecided.as_asgi(), path=f"/{nasty}", client=[nasty, 1]) as wire:
        wire.disconnect()


async def test_subprotocols(nasty: str) -> None:
    async with connecting(Strict.as_asgi(), path=f"/{nasty}", subprotocols=[nasty, nasty]) as wire:
        await wire.end()


async def test_origins(nasty: str) -> None:
    app = OriginValidator(Reader.as_asgi(), ["good.com"])
    for origins in ([nasty], [nasty, nasty], [f"https://{nasty}"], ["https://" + "x" * 5000]):
        headers = [(b"origin", origin.encode()) for origin in origins]
        async with connecting(app, path=f"/{nasty}", headers=headers) as wire:
            await wire.end()


async def test_a_reason_that_quotes_the_client(nasty: str) -> None:
    async with connected(Rude.as_asgi()) as wire:
        wire.text(nasty)
        await wire.end()
    assert len(wire.sent[-1]["reason"].encode()) <= 123


async def test_the_clients_own_reason(nasty: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(Rude.as_asgi(), path=f"/{nasty}") as wire:
        wire.client("disconnect", code=4000, reason=nasty)
        await wire.end()
    logging.getLogger("consumers").info("nothing else need be in the log")


async def test_types(nasty: str, unchecked_layer: InMemoryChannelLayer) -> None:
    async with connected(Reader.as_asgi()) as wire:
        for kind in (nasty, [nasty], f"a{nasty}", {"a": nasty}, nasty.encode(errors="replace")):
            await unchecked_layer.group_send("room", {"type": kind})
        wire.text("no json")
        await wire.end()


async def test_an_endpoint(nasty: str) -> None:
    class Endpoint(BaseWSEndpoint):
        encoding = "json"

        async def _background_handler(self, task_id: Any, websocket: Any, data: Any) -> None:
            raise InvalidFrame(1008, data)

    async with connected(Endpoint, path=f"/{nasty}") as wire:
        wire.text('"' + nasty.encode("unicode_escape").decode().replace("\\x", "\\u00") + '"')
        await wire.end()
