"""The queue layer's own queues: which of them a process takes from, and what that costs."""

import asyncio
from typing import Any

import anyio
import pytest

from consumers.exceptions import ChannelFull
from consumers.layers.redis import RedisChannelLayer

from ...support.redis_layers import PATIENCE, Make
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


def number(value: int) -> dict[str, Any]:
    return {"type": "test", "number": value}


def calls(server: RedisServer, command: str) -> int:
    """Return how often a command has been called, scripts aside."""
    with server.client() as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def talk(layer: RedisChannelLayer, channel: str, times: int = 1) -> None:
    for value in range(times):
        await layer.send(channel, number(value))
        with anyio.fail_after(PATIENCE):
            assert await layer.receive(channel) == number(value)


async def test_the_number_of_kinds_of_channels_costs_a_message_nothing(make: Make, redis_server: RedisServer) -> None:
    layer = make("queue")
    channels = [await layer.new_channel(f"user{value}") for value in range(300)]
    await talk(layer, channels[0])
    before = calls(redis_server, "zpopmin")
    for channel in channels[:20]:
        await talk(layer, channel)
    assert calls(redis_server, "zpopmin") - before <= 20 * 4


async def test_kinds_of_channels_that_nobody_uses_are_forgotten(make: Make) -> None:
    layer = make("queue", expiry=0.01)
    kept = await layer.new_channel("kept")
    await layer.group_add("room", kept)
    for value in range(1000):
        await layer.new_channel(f"user{value}")
        if value % 100 == 0:
            await asyncio.sleep(0.02)
    heads = layer._process.exchange.queues.all()
    assert len(heads) < 300
    assert kept.partition("!")[0] + "!" in heads


async def test_what_is_sent_to_a_channel_and_to_its_group_arrives_in_order(make: Make) -> None:
    layer, other = make("queue"), make("queue")
    first, second = await layer.new_channel("first"), await layer.new_channel("second")
    for channel in (first, second):
        await layer.group_add("room", channel)
    await talk(layer, first)
    await talk(layer, second)
    for value in range(0, 60, 3):  # which block this loop: it finds them all waiting
        other.send_sync(first, number(value))
        other.send_sync(second, number(value + 1))
        other.group_send_sync("room", number(value + 2))
    for channel, offset in ((first, 0), (second, 1)):
        expected = [value for value in range(60) if value % 3 in (offset, 2)]
        with anyio.fail_after(PATIENCE):
            assert [(await layer.receive(channel))["number"] for _ in expected] == expected


@pytest.mark.parametrize("kind_of_channel", ["specific", "mine"])
async def test_who_has_received_from_a_channel_is_expected_to_do_it_again(
    kind_of_channel: str, make: Make, redis_server: RedisServer
) -> None:
    layer = make("queue")
    channel = await layer.new_channel(kind_of_channel)
    await talk(layer, channel, 2)
    pops, interruptions = calls(redis_server, "bzpopmin"), calls(redis_server, "client|unblock")
    await talk(layer, channel, 50)
    assert calls(redis_server, "client|unblock") == interruptions
    assert calls(redis_server, "bzpopmin") - pops <= 60


async def test_what_nobody_waits_for_any_more_is_not_dropped_for_want_of_room(make: Make) -> None:
    layer = make("queue", capacity=5)
    channel, group = await layer.new_channel("mine"), "room"
    await layer.group_add(group, channel)
    await talk(layer, channel)
    sent = []
    for value in range(30):
        try:
            await layer.send(channel, number(value))
        except ChannelFull:
            continue
        sent.append(value)
        await asyncio.sleep(0.01)
    assert 5 <= len(sent) <= 10
    with anyio.fail_after(PATIENCE):
        assert [(await layer.receive(channel))["number"] for _ in sent] == sent
    assert layer.dropped == 0
