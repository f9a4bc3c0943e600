"""What typed messages cost beside pydantic's JSON functions in a consumer written by hand.

Run it with `.venv/bin/python -m benchmarks.typed`. Both sides are consumers of this library, served in one process
without sockets, and take turns; it prints the medians of their microseconds, and their ratio:

- echo: a model comes in, another goes out; with an id, the answer repeats it;
- group: a model goes to a group of 1,000; by hand that is `group_send_json()`. An operation is one delivery.
"""

import asyncio
import json
import statistics
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel

from consumers import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers
from consumers.typed import TypedConsumer, group_send_message, on

from .fake_server import Members
from .peers import Peer
from .scenarios import Stopwatch

ROUNDS = 31
MESSAGES = 2000
MEMBERS = 1000
SENDS = 5
TEXT = "a line of chat, neither long nor short"


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: str
    id: int | None = None


class TypedSay(BaseModel):
    type: Literal["say"] = "say"
    text: str


class Said(BaseModel):
    type: Literal["said"] = "said"
    user: str
    text: str


class Answer(Said):
    to: int


class EchoByHand(AsyncWebsocketConsumer):
    async def receive(self, text_data: str) -> None:
        message = Say.model_validate_json(text_data)
        if message.id is None:
            said = Said(user="ann", text=message.text)
        else:
            said = Answer(user="ann", text=message.text, to=message.id)
        await self.send(text_data=said.model_dump_json())


class RoomByHand(AsyncJsonWebsocketConsumer):
    groups = ["room"]
    raw_frames = True


class EchoTyped(TypedConsumer):
    sends = Said

    @on
    async def say(self, message: TypedSay) -> Said:
        return Said(user="ann", text=message.text)


class RoomTyped(TypedConsumer):
    groups = ["typed"]
    sends = Said


class Side(Peer):
    """One way to write it."""

    def __init__(self, consumer: type[AsyncWebsocketConsumer]) -> None:
        self.app = consumer.as_asgi()


async def echo(consumer: type[AsyncWebsocketConsumer], text: str, expected: str) -> float:
    """Return the seconds for each message of one client's that is answered."""
    async with Members(Side(consumer), "echo", 1) as members:
        [client] = members.connections
        complete = members.tally.expect(MESSAGES)
        with Stopwatch() as stopwatch:
            client.feed_many(text, MESSAGES)
            await complete
        await members.park()
        members.take([expected] * MESSAGES)
        return stopwatch.seconds / MESSAGES


async def group(consumer: type[AsyncWebsocketConsumer], send: Callable[[], Awaitable[Any]], expected: str) -> float:
    """Return the seconds for each delivery to a group's member."""
    async with Members(Side(consumer), "room", MEMBERS) as members:
        with Stopwatch() as stopwatch:
            for _ in range(SENDS):
                complete = members.tally.expect(MEMBERS)
                await send()
                await complete
        members.take([expected] * SENDS)
        return stopwatch.seconds / (SENDS * MEMBERS)


async def send_by_hand() -> None:
    text = await AsyncJsonWebsocketConsumer.encode_json({"type": "said", "user": "ann", "text": TEXT})
    await channel_layers["default"].group_send("room", {"type": "websocket.send", "text": text})


async def send_typed() -> None:
    await group_send_message("typed", Said(user="ann", text=TEXT))


async def compare(what: str, by_hand: Callable[[], Awaitable[float]], typed: Callable[[], Awaitable[float]]) -> None:
    pairs = [(await by_hand(), await typed()) for _ in range(ROUNDS)]
    one, other = (statistics.median(each) * 1e6 for each in zip(*pairs, strict=True))
    ratio = statistics.median(typed / hand for hand, typed in pairs)
    print(f"{what:15} by hand {one:6.2f} µs, typed {other:6.2f} µs: {ratio:.2f} times")


async def main() -> None:
    channel_layers.configure({"default": InMemoryChannelLayer(capacity=10_000)})
    said = {"type": "said", "user": "ann", "text": TEXT}
    say = {"type": "say", "text": TEXT}
    for what, extra, to in (("echo", {}, {}), ("echo with an id", {"id": 7}, {"to": 7})):
        text, answer = ({**each, **more} for each, more in ((say, extra), (said, to)))
        pair = tuple(json.dumps(each, separators=(",", ":")) for each in (text, answer))
        await compare(what, partial(echo, EchoByHand, *pair), partial(echo, EchoTyped, *pair))
    spaced, compact = json.dumps(said), json.dumps(said, separators=(",", ":"))
    await compare(
        f"group of {MEMBERS}",
        partial(group, RoomByHand, send_by_hand, spaced),
        partial(group, RoomTyped, send_typed, compact),
    )


if __name__ == "__main__":
    asyncio.run(main())
