"""Orders from one process of the queue layer to another."""

from typing import Any

import pytest

from consumers.layers.codec import CHANNELS_KEY
from consumers.layers.redis.orders import CLOSE, DISCARD, JOIN, control_of

from ...support.redis_layers import Make, Member, until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


async def test_an_order_goes_into_the_queue_of_the_channels_process(make: Make, redis_server: RedisServer) -> None:
    layer = make("queue")
    head = f"specific.{'0' * 32}!"
    process = layer._process
    shard, [command] = process.exchange.orders.give(JOIN, "room", f"{head}c.x")
    await process.trips.run(_once(shard, command))
    with redis_server.client(decode_responses=False) as client:
        [payload] = client.zrange(f"asgi{head}", 0, -1)
    expected = {"type": JOIN, "group": "room", "channel": f"{head}c.x", CHANNELS_KEY: f"{head}control"}
    assert layer._codec.decode(payload) == expected


def _once(shard: int, command: Any) -> Any:
    yield [(shard, [command])]


async def test_a_process_obeys(make: Make, redis_server: RedisServer) -> None:
    layer, member, closed = make("queue"), Member(), list[tuple[int, str]]()
    member.name = layer.attach(member.deliver, lambda code, reason: closed.append((code, reason)))
    orders = layer._process.exchange.orders
    orders.obey({"type": JOIN, "group": "room", "channel": member.name})
    assert layer.groups == {"room": {member.name}}
    with redis_server.client() as client:
        await until(lambda: client.zcard("asgi:group:room") == 1)
    orders.obey({"type": CLOSE, "channels": [member.name], "code": 4001, "reason": "bye"})
    assert closed == [(4001, "bye")]
    orders.obey({"type": DISCARD, "group": "room", "channel": member.name})
    assert layer.groups == {}


@pytest.mark.parametrize("order", [{"type": JOIN}, {"type": CLOSE, "channels": "all"}, {"type": "nonsense"}, {}])
async def test_an_order_that_is_none_does_nothing(order: dict[str, Any], make: Make) -> None:
    layer = make("queue")
    await Member().join(layer)
    groups = layer.groups
    layer._process.exchange.orders.obey(order)
    assert layer.groups == groups


def test_the_channel_for_orders_is_the_process() -> None:
    assert control_of("specific.abc!c.x") == control_of("specific.abc!") == "specific.abc!control"
