"""How many messages a client may send, and how large."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from consumers import AsyncJsonWebsocketConsumer, InMemoryChannelLayer

from ..support.limited import CLIENT, Counter, Lines, closed, kinds, limited
from ..support.wire import connected

pytestmark = pytest.mark.anyio


# Messages per second


@kinds
async def test_one_message_too_many_at_once_closes_with_1008_and_one_line(kind: type, lines: Lines) -> None:
    made, app = limited(kind, rate_limit=0.001, rate_burst=3)
    async with connected(app, client=CLIENT) as wire:
        for number in range(4):
            wire.text(str(number))
        assert await closed(wire) == (1008, "too many messages")
    assert made.codes == [1008]
    line = lines.only()
    assert line.startswith("Limited at '/ws' from 192.0.2.1:5 is closed with 1008: more than rate_limit (0.001 mess")


@kinds
@pytest.mark.parametrize(("rate", "burst", "expected"), [(10, 4, 4), (0.1, None, 1), (2, None, 10), (1000 / 3, 7, 7)])
async def test_a_burst_is_spent_exactly_and_comes_back_at_the_rate(
    kind: type, rate: float, burst: int | None, expected: int, clock: Iterator[list[float]]
) -> None:
    _, app = limited(kind, rate_limit=rate, rate_burst=burst)
    now = next(clock)
    async with connected(app) as wire:
        for _ in range(3):  # each time it has come back as a whole, and not more
            for number in range(expected):
                wire.text(str(number))
                await wire.next_text()
            now[0] += (expected + 5) / rate
        for number in range(expected):
            wire.text(str(number))
            await wire.next_text()
        for number in range(50):  # at the rate itself, for ever
            now[0] += 1 / rate
            wire.text(str(number))
            await wire.next_text()
        wire.text("too much")
        assert (await closed(wire))[0] == 1008


async def test_waiting_messages_are_counted_in_the_line_of_the_limit(lines: Lines) -> None:
    class Slow(Counter):
        rate_limit = 0.001
        rate_burst = 3

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await anyio.sleep_forever()

    async with connected(Slow.as_asgi()) as wire:
        for _ in range(9):
            wire.text("secret")
        await wire.end()
    assert lines.only().endswith("; handlers cancelled: 1, waiting messages dropped: 2")


async def test_the_handshake_and_the_layer_count_for_no_limit(layer: InMemoryChannelLayer) -> None:
    class Member(AsyncJsonWebsocketConsumer):
        groups = ["everyone"]
        rate_limit = 0.001
        rate_burst = 1
        max_message_size = 5

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.send_json(content)

        async def note(self, event: dict[str, Any]) -> None:
            await self.send_json(event["text"])

    async with connected(Member.as_asgi()) as wire:
        for _ in range(10):
            await layer.group_send("everyone", {"type": "note", "text": "x" * 100})
            await wire.next_text()
        wire.text("1")
        assert await wire.next_text() == "1"


# Size


@kinds
@pytest.mark.parametrize("message", [{"text": "x" * 10}, {"text": "€€€x"}, {"text": "𝄞𝄞xx"}, {"bytes": b"x" * 10}])
async def test_a_message_of_the_largest_size_is_handled_and_a_larger_one_closes_with_1009(
    kind: type, message: dict[str, Any], lines: Lines
) -> None:
    made, app = limited(kind, max_message_size=10)
    name, data = next(iter(message.items()))
    async with connected(app, client=CLIENT) as wire:
        wire.client("receive", **message)
        assert (await wire.next())[name] == data
        wire.client("receive", **{name: data + (b"y" if isinstance(data, bytes) else "y")})
        assert await closed(wire) == (1009, "messages have 10 bytes at most")
    assert made.codes == [1009]
    assert "from 192.0.2.1:5 is closed with 1009: a message is larger than max_message_size (10" in lines.only()
