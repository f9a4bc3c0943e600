"""Several joins at once of one channel: where it follows the log from is decided once."""

import asyncio
import gc
from weakref import ref

import pytest
from asgiref.sync import async_to_sync

from consumers import Joined
from consumers.layers.redis import RedisPubSubChannelLayer

from ....support.redis_server import RedisServer
from .support import GROUP, HISTORY, UNKNOWN, Reader, layer_at, send

pytestmark = pytest.mark.anyio


async def test_a_channel_that_left_while_it_joined_and_joins_anew_follows_from_where_it_said_last(
    server: RedisServer,
) -> None:
    async with layer_at(server) as other, layer_at(server) as layer:
        positions = await send(other, range(10))
        await Reader().join(layer)
        reader = Reader()
        reader.name = layer.attach(reader.deliver)
        first = asyncio.create_task(layer.group_add(GROUP, reader.name, since=positions[1]))
        while not layer.groups_of(reader.name):
            await asyncio.sleep(0)
        await layer.group_discard(GROUP, reader.name)
        second = await layer.group_add(GROUP, reader.name, since=positions[6])
        assert await first == Joined(None, False, 0)
        assert (second.recovered, second.missed) == (True, 3)
        await send(other, [10])
        await reader.has(7, 8, 9, 10)
        assert reader.gaps == []


async def test_a_channel_that_is_added_while_it_joins_gets_nothing_twice(server: RedisServer) -> None:
    async with layer_at(server) as other, layer_at(server) as layer:
        positions = await send(other, range(10))
        await Reader().join(layer)
        reader = Reader()
        reader.name = layer.attach(reader.deliver)
        first = asyncio.create_task(layer.group_add(GROUP, reader.name, since=positions[6]))
        while not layer.groups_of(reader.name):
            await asyncio.sleep(0)
        await layer.group_add(GROUP, reader.name)
        await send(other, [10])
        try:
            is_replayed = (await first).recovered
        except ValueError:  # the other was first
            is_replayed = False
        await reader.has(*([7, 8, 9] if is_replayed else []), 10)
        assert reader.gaps == []


def test_a_loop_that_stands_still_in_the_middle_of_a_read_keeps_no_other_waiting(server: RedisServer) -> None:
    layer = RedisPubSubChannelLayer([server.url], history=HISTORY)

    async def join(number: int) -> Joined:
        return await layer.group_add(GROUP, f"reader{number}", since=UNKNOWN)

    async def begin() -> "asyncio.Task[Joined]":
        await join(0)
        reading = asyncio.ensure_future(join(1))
        while not any(each.runs for each in layer._process.exchange.history._readings.values()):
            await asyncio.sleep(0)
        return reading

    async def go_on() -> Joined:
        async with asyncio.timeout(4):
            return await join(2)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        reading = first.run_until_complete(begin())
        assert not second.run_until_complete(go_on()).recovered
        assert not first.run_until_complete(reading).recovered
        second.run_until_complete(layer.close())
    finally:
        first.close()
        second.close()


def test_a_layer_that_is_closed_keeps_no_log_and_no_event_loop(server: RedisServer) -> None:
    layer = RedisPubSubChannelLayer([server.url], history=HISTORY)

    async def use() -> None:
        await layer.group_add(GROUP, "reader", since=UNKNOWN)
        await send(layer, range(3))
        await layer.receive("reader")

    loop = asyncio.SelectorEventLoop()
    ended = ref(loop)
    loop.run_until_complete(use())
    loop.close()
    del loop
    gc.collect()
    assert ended() is None
    history = layer._process.exchange.history
    assert history._known.keys() == {GROUP}
    async_to_sync(layer.close)()
    assert not history._known
    assert not history._readings
    assert not history._at_hand
