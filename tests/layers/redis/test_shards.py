"""A shard that cannot be reached leaves the others alone."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio
import pytest
from redis.exceptions import RedisError

from consumers.layers.redis.layer import RedisLayer

from ...support.redis_layers import Member, groups_by_shard, layer_on, until
from ...support.redis_server import RedisServer, free_port, running_redis

pytestmark = pytest.mark.anyio

TIMEOUT = 3.0  # seconds; what waits for the dead shard takes as long


@pytest.fixture
def dead() -> int:
    """A port where no server is, until a test starts one."""
    return free_port()


@pytest.fixture
async def layer(kind: str, server: RedisServer, dead: int, anyio_backend: str) -> AsyncIterator[RedisLayer]:
    """A layer with a shard that is there, the first, and one that is not; its process' queue is on the first."""
    while True:
        async with layer_on(kind, server.port, dead, timeout=TIMEOUT) as layer:
            if layer.consistent_hash(layer._process.head) == 0:
                yield layer
                return


@contextmanager
def at_once() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < TIMEOUT / 2


def channel_on_first(layer: RedisLayer) -> str:
    return next(name for name in (f"worker{number}" for number in range(50)) if layer.consistent_hash(name) == 0)


async def test_groups_of_the_shards_that_are_there_work_from_the_start(kind: str, layer: RedisLayer) -> None:
    living, dead = groups_by_shard(kind, layer)
    with at_once():
        member = await Member().join(layer, living)
        await layer.group_send(living, {"type": "test"})
        await member.holds(1)
        await layer.group_discard(living, member.name)
    assert layer.groups == {}
    layer.timeout = TIMEOUT / 4
    with pytest.raises(RedisError, match=str(layer.hosts[1])):
        await layer.group_send(dead, {"type": "test"})


async def test_sending_is_the_first_thing_that_is_done(kind: str, layer: RedisLayer) -> None:
    layer.attach(lambda message: 1)
    with at_once():
        await layer.group_send(groups_by_shard(kind, layer)[0], {"type": "test"})


async def test_what_waits_for_messages_gets_those_of_the_shards_that_are_there(
    kind: str, layer: RedisLayer, server: RedisServer
) -> None:
    received: list[dict[str, object]] = []
    named = channel_on_first(layer)
    with at_once():
        own = await layer.new_channel()
        while layer.consistent_hash(own if kind == "pubsub" else layer.non_local_name(own)) != 0:
            own = await layer.new_channel()

        async def receive(channel: str) -> None:
            received.append(await layer.receive(channel))

        async with anyio.create_task_group() as tasks:
            for channel in (own, named):
                tasks.start_soon(receive, channel)
            owner = layer._process.owners.ensure()
            await owner.receivers[0].connection.until_up()
            await until(lambda: set(layer._process.local.awaited()) == {own, named})
            if kind == "pubsub":  # a queue keeps what comes before
                with server.client() as client:
                    await until(lambda: dict(client.pubsub_numsub(named))[named])
            await layer.send(own, {"type": "own"})
            if kind == "queue":
                layer._turns = iter(range(0, 100, 2))  # type: ignore[attr-defined]
            await layer.send(named, {"type": "named"})
    assert sorted(str(message["type"]) for message in received) == ["named", "own"]


async def test_the_shard_that_comes_later_is_used_then(kind: str, layer: RedisLayer, dead: int) -> None:
    await Member().join(layer, groups_by_shard(kind, layer)[0])
    with running_redis(port=dead):
        await layer._process.owners.ensure().until_ready()
        late = groups_by_shard(kind, layer)[1]
        member = await Member().join(layer, late)
        await layer.group_send(late, {"type": "test"})
        await member.holds(1)
