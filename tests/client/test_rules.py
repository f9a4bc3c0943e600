"""When a client tries again: the rules, and five thousand clients in virtual time."""

import random
from base64 import urlsafe_b64encode
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest
from anyio.abc import ByteStream
from trio.testing import MockClock
from websockets.http11 import Request
from websockets.server import ServerProtocol

from consumers.client import Client, rules

from ..support.slow import left_to_ci
from ..support.spread import is_even


@pytest.mark.parametrize("code", [1000, 1008, 1009, 4000, 4008, 4401, 4999, 200, 301, 403, 404])
def test_final_codes(code: int) -> None:
    assert rules.is_final(code)


@pytest.mark.parametrize(
    "code", [0, 1001, 1005, 1006, 1011, 1012, 1013, 1015, 3000, 4011, 4012, 4013, 408, 429, 500, 503]
)
def test_codes_after_which_a_client_comes_back(code: int) -> None:
    assert not rules.is_final(code)


def test_the_backoff_is_anything_up_to_a_limit_that_doubles() -> None:
    chance = random.Random(1)
    for attempt, limit in enumerate([0.5, 1, 2, 4, 8, 16, 20, 20, *[20] * 2000]):
        found = [rules.backoff(attempt, chance) for _ in range(200 if attempt < 8 else 1)]
        assert all(0 <= seconds <= limit for seconds in found)
        assert attempt > 7 or (min(found) < 0.1 * limit and max(found) > 0.9 * limit)


@pytest.mark.parametrize(
    ("reason", "first", "last"),
    [
        ("retry=5-20", 5, 20),
        ("restart; retry=0.5-1.5", 0.5, 1.5),
        ("retry=20-5", 5, 20),
        ("retry=5000-6000", 600, 1200),
        ("retry=1-999999999999999999999", 1, 601),
        ("retry=0-0", 0, 0),
    ],
)
def test_a_hint_is_a_span_of_seconds(reason: str, first: float, last: float) -> None:
    chance = random.Random(1)
    hints = [rules.hinted(reason, chance) or 0 for _ in range(200)]
    assert first <= min(hints) <= max(hints) <= last
    assert max(hints) - min(hints) >= 0.9 * (last - first)


@pytest.mark.parametrize(("header", "first", "last"), [("30", 30, 37.5), ("0", 0, 0), ("100000", 600, 1200)])
def test_a_header_says_when_at_the_earliest(header: str, first: float, last: float) -> None:
    chance = random.Random(1)
    for _ in range(50):
        seconds = rules.retry_after(header, chance)
        assert seconds is not None and first <= seconds <= last


@pytest.mark.parametrize("header", [None, "", "-5", "5.5", "Wed, 21 Oct 2015 07:28:00 GMT", "٥"])
def test_other_headers_say_nothing(header: str | None) -> None:
    assert rules.retry_after(header, random.Random(1)) is None


@pytest.mark.parametrize("reason", ["", "retry", "retry=5", "retry=-5-20", "noretry=5-20", "retry=a-b", "retry=٥-٦"])
def test_other_reasons_are_no_hint(reason: str) -> None:
    assert rules.hinted(reason, random.Random(1)) is None


def test_the_address_says_who_and_where_the_client_is() -> None:
    parts = rules.checked_url("https://host:1/chat/1?user=ann#x")
    url = urlsplit(rules.address(parts, "key", {"room": "a.1", "b": "c&d"}))
    assert url[:3] == ("wss", "host:1", "/chat/1")
    assert parse_qsl(url.query) == [("user", "ann"), ("client", "key"), ("since", "room:a.1"), ("since", "b:c&d")]


def test_an_address_is_encoded_as_browsers_do() -> None:
    parts = rules.checked_url("ws://host/a b/%20/\u00e9?q=a b&r=%41")
    assert rules.address(parts, "key", {}) == "ws://host/a%20b/%20/%C3%A9?q=a%20b&r=%41&client=key"


def test_a_token_goes_into_the_subprotocols() -> None:
    assert rules.subprotocols(None) == ["consumers.v1", "consumers.any"]
    assert rules.subprotocols("a b") == ["consumers.v1", "consumers.any", f"token.{urlsafe_b64encode(b'a b').decode()}"]


def test_keys_have_at_least_128_bits_and_differ() -> None:
    keys = {rules.new_key() for _ in range(100)}
    assert len(keys) == 100 and {len(key) for key in keys} == {24}


class Line(ByteStream):
    """A connection to a server, which takes every handshake and says nothing until it leaves."""

    def __init__(self) -> None:
        self._protocol = ServerProtocol()
        self._news = anyio.Event()
        self.is_open = False

    def leave(self, reason: str) -> None:
        self._protocol.send_close(1012, reason)
        self._news.set()

    async def send(self, item: bytes) -> None:
        self._protocol.receive_data(item)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
                self.is_open = True
                self._news.set()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await self._news.wait()
        self._news = anyio.Event()
        return b"".join(self._protocol.data_to_send())

    async def send_eof(self) -> None: ...

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
@pytest.mark.parametrize("count", [500, *left_to_ci(5000)])
@pytest.mark.anyio
async def test_clients_whose_server_goes_away_come_back_spread_evenly_over_the_hint(count: int) -> None:
    lines: list[Line] = []
    came_back: list[float] = []
    left_at = 0.0

    async def live(seed: int) -> None:
        is_back = anyio.Event()

        async def connect(host: str, port: int) -> ByteStream:
            if not left_at:
                lines.append(Line())
                return lines[-1]
            if not is_back.is_set():
                came_back.append(anyio.current_time() - left_at)
            is_back.set()
            raise OSError("nobody is here")

        async with Client("ws://host", connect=connect, chance=random.Random(seed)):
            await is_back.wait()

    async with anyio.create_task_group() as tasks:
        for seed in range(count):
            tasks.start_soon(live, seed)
        await anyio.sleep(1)
        assert len(lines) == count and all(line.is_open for line in lines)
        left_at = anyio.current_time()
        for line in lines:
            line.leave("retry=5-20")
    assert len(came_back) == count
    assert is_even(came_back, 5, 20)
    assert not is_even([seconds * 0.9 for seconds in came_back], 5, 20)
