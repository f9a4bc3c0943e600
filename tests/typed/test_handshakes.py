"""What a typed consumer says in the handshake, the token that comes with it, and how it answers pings."""

import json
import threading
import weakref
from base64 import urlsafe_b64encode
from typing import Any

import anyio
import pytest
from starlette.requests import HTTPConnection

from consumers.typed import SyncTypedConsumer, TypedConsumer, on, token

from ..support.wire import Wire, connected, connecting
from .models import Said, Say, ask

pytestmark = pytest.mark.anyio


class Chat(TypedConsumer):
    sends = Said

    @on
    async def say(self, message: Say) -> None: ...


class PlainChat(SyncTypedConsumer):
    sends = Said

    @on
    def say(self, message: Say) -> None: ...


async def heard(wire: Wire) -> Any:
    return json.loads(await wire.next_text())


async def test_the_protocols_name_is_chosen_if_the_client_offers_it() -> None:
    for offered, chosen in ((["consumers.v1", "token.eA"], "consumers.v1"), (["other"], None), ([], None)):
        async with connecting(Chat.as_asgi(), subprotocols=offered) as wire:
            assert (await wire.next()).get("subprotocol") == chosen


async def test_another_subprotocol_of_the_applications_wins() -> None:
    class Own(TypedConsumer):
        async def connect(self) -> None:
            await self.accept("own")

    async with connecting(Own.as_asgi(), subprotocols=["consumers.v1", "own"]) as wire:
        assert (await wire.next())["subprotocol"] == "own"


@pytest.mark.parametrize(
    ("offered", "found"),
    [
        ([f"token.{urlsafe_b64encode('a.b~ü'.encode()).decode().rstrip('=')}"], "a.b~ü"),
        (["consumers.v1", "token.YQ"], "a"),
        (["consumers.v1"], None),
        (["token.*"], None),
        (["token._w"], None),
        ([], None),
    ],
)
async def test_the_token_is_read_from_the_subprotocols(offered: list[str], found: str | None) -> None:
    assert await token(HTTPConnection({"type": "websocket", "subprotocols": offered})) == found


async def test_a_ping_is_answered_and_is_no_invalid_message() -> None:
    class Strict(Chat):
        max_invalid = 1

    async with connected(Strict.as_asgi()) as wire:
        for _ in range(3):
            assert await ask(wire, {"type": "ping"}) == {"type": "pong"}
        wire.text('{"type": "ping", "padding": "%s"}' % ("x" * 200))
        await wire.end()
        assert wire.close_code == 1008


class Event(dict[str, Any]):
    """An event that can be referred to weakly."""


async def test_an_idle_connection_keeps_no_ping() -> None:
    async with connected(Chat.as_asgi()) as wire:
        event = Event(type="websocket.receive", text='{"type": "ping"}')
        kept = weakref.ref(event)
        wire.event(event)
        del event
        assert await heard(wire) == {"type": "pong"}
        await anyio.wait_all_tasks_blocked()
        assert kept() is None


async def test_a_ping_is_answered_while_a_handler_runs() -> None:
    is_over = anyio.Event()

    class Slow(Chat):
        @on
        async def say(self, message: Say) -> None:
            await is_over.wait()

    async with connected(Slow.as_asgi()) as wire:
        wire.text('{"type": "say", "text": "hi", "id": 1}')
        for text in ('{"type": "ping"}', '{"type":"ping"}', r'{"\u0074ype": "p\u0069ng"}'):
            wire.text(text)
            assert await heard(wire) == {"type": "pong"}
        is_over.set()
        assert await heard(wire) == {"type": "ack", "to": 1}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # sync consumers need it
async def test_a_ping_is_answered_while_a_thread_runs() -> None:
    is_over = threading.Event()

    class Slow(PlainChat):
        @on
        def say(self, message: Say) -> None:
            assert is_over.wait(10)

    async with connected(Slow.as_asgi()) as wire:
        wire.text('{"type": "say", "text": "hi", "id": 1}')
        wire.text('{"type": "ping"}')
        assert await heard(wire) == {"type": "pong"}
        is_over.set()
        assert await heard(wire) == {"type": "ack", "to": 1}


async def test_pings_that_come_faster_than_they_can_be_answered_have_one_answer() -> None:
    async with connected(Chat.as_asgi()) as wire:
        wire.hold_sends = anyio.Event()
        for _ in range(100):
            wire.text('{"type": "ping"}')
        await anyio.wait_all_tasks_blocked()
        assert wire.everything_is_read
        wire.hold_sends.set()
        assert await heard(wire) == {"type": "pong"}
        assert await ask(wire, {"type": "say", "text": "hi", "id": 1}) != {"type": "pong"}


async def test_a_ping_counts_against_the_limits() -> None:
    class Limited(Chat):
        rate_limit = 1.0
        rate_burst = 3

    async with connected(Limited.as_asgi()) as wire:
        for _ in range(10):
            wire.text('{"type": "ping"}')
        await wire.end()
        assert wire.close_code == 1008
