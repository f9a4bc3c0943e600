"""What the tests of groups with history on Redis have in common."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio

from consumers import Joined
from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.types import Message

from ....support.redis_layers import Mailbox, until
from ....support.redis_server import RedisServer

HISTORY = {"chat.*": {"size": 100, "ttl": 60}}
GROUP = "chat.1"

KEYS = "asgi__history__{chat.1}:"
"""What the names of the group's keys begin with."""

UNKNOWN = f"{'0' * 16}-{'0' * 16}.7"
"""A position that no group has."""


class Reader(Mailbox):
    """A member of a group with history that takes everything."""

    name: str
    joined: Joined

    async def join(self, layer: RedisPubSubChannelLayer, group: str = GROUP, **options: Any) -> Self:
        self.name = layer.attach(self.deliver)
        self.joined = await layer.group_add(group, self.name, **options)
        return self

    @property
    def numbers(self) -> list[int]:
        """The numbers of the messages that it has got."""
        return [message["number"] for message in self if message["type"] == "test"]

    @property
    def positions(self) -> list[str | None]:
        return [message["history"]["position"] for message in self if message["type"] == "test"]

    @property
    def gaps(self) -> list[str | None]:
        """The groups that it was told gaps of."""
        return [message["group"] for message in self if message["type"] == "layer.gap"]

    async def has(self, *numbers: int) -> None:
        """Wait until it has got messages with these numbers, and no others."""
        with anyio.fail_after(15):
            while self.numbers != list(numbers):
                assert self.numbers == list(numbers)[: len(self.numbers)]
                await anyio.sleep(0.005)


@asynccontextmanager
async def layer_at(server: RedisServer, **options: Any) -> AsyncIterator[RedisPubSubChannelLayer]:
    """Make a layer with history, as a process of its own would."""
    layer = RedisPubSubChannelLayer(**{"hosts": [server.url], "history": HISTORY, **options})
    try:
        yield layer
    finally:
        await layer.close()


async def send(layer: RedisPubSubChannelLayer, numbers: Sequence[int], group: str = GROUP, **options: Any) -> list[str]:
    """Send messages with these numbers; return their positions."""
    positions = []
    for number in numbers:
        position = await layer.group_send(group, message(number), **options)
        assert position is not None
        positions.append(position)
    return positions


def message(number: int) -> Message:
    return {"type": "test", "number": number}


def cut_subscribers(server: RedisServer) -> None:
    """Cut all connections that hear messages."""
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


async def all_up(layer: RedisPubSubChannelLayer) -> None:
    """Wait until a layer hears from all shards again."""
    owner = layer._process.owners.require()
    await until(lambda: all(receiver.connection.is_up for receiver in owner.receivers))
