"""A server that has just started, and two thousand clients that come to it at once."""

import asyncio
from functools import partial

import pytest

from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.types import Message

from ....support.redis_server import RedisServer
from .support import Reader, layer_at, send

pytestmark = pytest.mark.anyio

CLIENTS, KEPT, BEHIND = 2000, 1000, 50
HISTORY = {"chat.*": {"size": KEPT, "ttl": 60}}
CAPACITY = 20
MOST = 50
"""Commands that Redis gets for a group from one process, those within scripts included."""


class RoomyReader(Reader):
    """A member whose mailbox is smaller than what it has missed: it is read step by step."""

    def __init__(self, layer: RedisPubSubChannelLayer) -> None:
        super().__init__()
        self.waiting = 0
        self._layer = layer

    def deliver(self, message: Message) -> int:
        self.waiting += 1
        return super().deliver(message)

    def room(self) -> int:
        return CAPACITY - self.waiting

    def read(self) -> None:
        """Handle what waits."""
        self.waiting = 0
        self._layer.resume(self.name)


async def come(layer: RedisPubSubChannelLayer, group: str, since: str) -> RoomyReader:
    """Join a group, as a client that goes on from a position."""
    reader = RoomyReader(layer)
    reader.name = layer.attach(reader.deliver, None, reader.room)
    reader.joined = await layer.group_add(group, reader.name, since=since)
    return reader


def commands(server: RedisServer) -> int:
    """Return how many commands Redis was given since the last look, and begin anew."""
    with server.client() as client:
        counts = {name: stat["calls"] for name, stat in client.info("commandstats").items()}
        client.config_resetstat()
    overhead = ("cmdstat_info", "cmdstat_config", "cmdstat_client", "cmdstat_hello", "cmdstat_select", "cmdstat_ping")
    return int(sum(count for name, count in counts.items() if not name.startswith(overhead)))


@pytest.mark.slow
async def test_two_thousand_clients_that_come_at_once_cost_redis_a_few_commands(server: RedisServer) -> None:
    groups = ["chat.1", "chat.2"]
    async with layer_at(server, history=HISTORY) as sender:
        positions = {group: await send(sender, range(KEPT + 10), group) for group in groups}
        async with layer_at(server, history=HISTORY) as layer:
            commands(server)
            comers = [
                partial(come, layer, groups[index % 2], positions[groups[index % 2]][-BEHIND - 1])
                for index in range(CLIENTS)
            ]
            readers = await asyncio.gather(*(comer() for comer in comers))
            await send(sender, [KEPT + 10], groups[0])
            async with asyncio.timeout(60):
                while behind := [reader for reader in readers if len(reader) < BEHIND]:
                    for reader in behind:
                        reader.read()
                    await asyncio.sleep(0)
            given = commands(server)
            for reader in readers:
                assert (reader.joined.recovered, reader.joined.missed) == (True, BEHIND)
            for index, reader in enumerate(readers):
                reader.read()
                await reader.has(*range(KEPT + 10 - BEHIND, KEPT + 11 - index % 2))
            assert given <= MOST * len(groups), given
