"""What the tests of the Redis layers have in common."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import pytest
from redis.exceptions import RedisError

from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.layers.redis.layer import RedisLayer
from consumers.types import Message

PATIENCE = 15  # seconds
PRESENCE = "asgi__presence__"
LEASES = f"{PRESENCE}:leases"
LAYERS: dict[str, Callable[..., RedisLayer]] = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}

Make = Callable[..., Any]


async def until(condition: Callable[[], Any], every: float = 0.005) -> None:
    """Wait for what nothing tells of.

    Args:
        condition: returns something true when it is so.
        every: seconds from one look to the next; more where a look is costly and a server takes its time.
    """
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.sleep(every)


@asynccontextmanager
async def layer_on(kind: str, *ports: int, **arguments: Any) -> AsyncIterator[RedisLayer]:
    """Make a layer, and close it at the end of the block."""
    layer = LAYERS[kind]([("127.0.0.1", port) for port in ports], **arguments)
    try:
        yield layer
    finally:
        await layer.close()


class Mailbox(list[Message]):
    """A receiver's messages, as they come."""

    def deliver(self, message: Message) -> int:
        self.append(message)
        return 1

    async def holds(self, count: int) -> list[Message]:
        await until(lambda: len(self) >= count)
        return self


class Member(Mailbox):
    """A member of a group; `numbers` are those of the messages it has got."""

    name: str

    async def join(self, layer: RedisLayer, group: str = "room") -> Self:
        self.name = layer.attach(self.deliver)
        await layer.group_add(group, self.name)
        return self

    @property
    def numbers(self) -> list[int]:
        return [message["number"] for message in self if message["type"] == "test"]

    @property
    def gaps(self) -> int:
        return sum(message["type"] == "layer.gap" for message in self)


async def send(layer: RedisLayer, *numbers: int) -> list[int]:
    """Send messages with these numbers to the group "room"; return those that raised nothing."""
    sent = []
    for number in numbers:
        try:
            await layer.group_send("room", {"type": "test", "number": number})
        except RedisError:
            continue
        sent.append(number)
    return sent


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "consumers.layers"]


def heard(client: Any) -> list[str]:
    """Return the channels of a server that somebody subscribes to, without presence's own two of each process."""
    return [name for name in client.pubsub_channels() if not name.startswith(PRESENCE)]


def groups_by_shard(kind: str, layer: RedisLayer) -> list[str]:
    """Return, for each shard of a layer, the name of a group whose messages go by it."""
    names = [f"room{number}" for number in range(50)]
    head = f"{layer.prefix}__group__" if kind == "pubsub" else ""
    return [
        next(name for name in names if layer.consistent_hash(head + name) == shard) for shard in range(len(layer.hosts))
    ]
