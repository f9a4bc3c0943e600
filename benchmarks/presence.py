"""What presence costs beside the pieces that are usually written by hand.

Run it with `.venv/bin/python -m benchmarks.presence`. It starts a Redis of its own. Both have the same people in one
group, each by one channel; both announce who joins and leaves; both use redis-py in one process. By hand that is

- a hash of the group's channels and users, `HSET` when one joins, `HDEL` when one leaves, each with a `PUBLISH`;
- a key of each channel that lives 15 seconds, so that the dead can be told, and is renewed every 5 seconds.

The figures:

- join: joins per second, 100 at a time, and microseconds of the Redis server's processor for each;
- heartbeat: commands for each member and minute that only say that it lives, counted by Redis;
- memory: bytes of Redis for each member;
- read: milliseconds until one has the list of all.
"""

import asyncio
import json
import time
from collections.abc import Awaitable
from typing import Any, Protocol

import anyio
import redis.asyncio

from consumers.layers.redis import RedisPubSubChannelLayer
from tests.support.redis_server import RedisServer, running_redis

from .history import processor_seconds

PEOPLE = 5000
AT_ONCE = 100
BEAT = 5.0
LEASE = 15
GROUP = "room"


class Side(Protocol):
    """One way to do it."""

    async def join(self, number: int) -> Any: ...
    async def people(self) -> dict[str, Any]: ...
    async def beat(self) -> None:
        """Do what is due once in `BEAT` seconds, or wait so long."""


class Presence:
    """The layer's."""

    def __init__(self, layer: RedisPubSubChannelLayer) -> None:
        self._layer = layer
        self._channels = [layer.attach(lambda message: 1) for _ in range(PEOPLE)]

    async def join(self, number: int) -> Any:
        meta = {"name": f"User {number}"}
        await self._layer.presence_track(GROUP, self._channels[number], key=f"user{number}", meta=meta)

    async def people(self) -> dict[str, Any]:
        return await self._layer.presence(GROUP)

    async def beat(self) -> None:
        await asyncio.sleep(BEAT)


class ByHand:
    """A hash, and a key for each channel."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client: Any = client
        self._channels = [f"specific.{number:032x}!{number:016x}" for number in range(PEOPLE)]

    async def join(self, number: int) -> Any:
        channel, user = self._channels[number], {"user": f"user{number}", "name": f"User {number}"}
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.hset(f"people:{GROUP}", channel, json.dumps(user))
            pipeline.set(f"alive:{channel}", 1, ex=LEASE)
            pipeline.publish(f"people:{GROUP}", json.dumps({"joined": user}))
            await pipeline.execute()

    async def people(self) -> dict[str, Any]:
        found = await self._client.hgetall(f"people:{GROUP}")
        alive = await self._client.mget([f"alive:{channel.decode()}" for channel in found])
        users = [json.loads(user) for user, lives in zip(found.values(), alive, strict=True) if lives]
        return {user["user"]: user for user in users}

    async def beat(self) -> None:
        for start in range(0, PEOPLE, AT_ONCE):
            async with self._client.pipeline(transaction=False) as pipeline:
                for channel in self._channels[start : start + AT_ONCE]:
                    pipeline.expire(f"alive:{channel}", LEASE)
                await pipeline.execute()


async def milliseconds_of(work: Awaitable[Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = await work
    return (time.perf_counter() - start) * 1e3, result


async def measure(name: str, server: RedisServer, side: Side) -> None:
    """Print one side's figures."""
    with server.client() as client:
        memory, used = client.info("memory")["used_memory"], processor_seconds(server)
        taken = 0.0
        for start in range(0, PEOPLE, AT_ONCE):
            joins = asyncio.gather(*map(side.join, range(start, start + AT_ONCE)))
            taken += (await milliseconds_of(joins))[0]
        in_redis = (processor_seconds(server) - used) / PEOPLE * 1e6
        size = (client.info("memory")["used_memory"] - memory) / PEOPLE
        read, people = await milliseconds_of(side.people())
        assert len(people) == PEOPLE
        before = client.info("stats")["total_commands_processed"]
        await side.beat()
        commands = client.info("stats")["total_commands_processed"] - before - 1  # and this question
        print(
            f"{name}: {PEOPLE / taken * 1e3:,.0f} joins a second, {in_redis:.0f} us each in Redis; "
            f"{commands / PEOPLE * 60 / BEAT:.3f} commands a member and minute; {size:.0f} bytes a member; "
            f"{read:.0f} ms for the list"
        )
        client.flushall()


async def main() -> None:
    for _ in range(3):
        with running_redis() as server:
            async with redis.asyncio.Redis.from_url(server.url) as client:
                await measure("by hand ", server, ByHand(client))
            async with RedisPubSubChannelLayer([server.url]) as layer:
                await layer.presence_count(GROUP)
                await measure("presence", server, Presence(layer))


if __name__ == "__main__":
    anyio.run(main)
