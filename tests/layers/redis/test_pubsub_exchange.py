"""What a process hears by subscriptions."""

from typing import Any

import pytest

from consumers.layers.redis.process import Process
from consumers.layers.redis.pubsub_exchange import PubSubExchange

from ...support.redis_layers import Make, Member, until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def layer(make: Make) -> Any:
    return make("pubsub")


@pytest.fixture
def process(layer: Any) -> Process[PubSubExchange]:
    process: Process[PubSubExchange] = layer._process
    return process


async def test_groups_are_wanted_while_they_have_members_here_and_orders_with_them(
    layer: Any, process: Process[PubSubExchange]
) -> None:
    exchange = process.exchange
    assert exchange.wanted(0) == []
    member = await Member().join(layer)
    assert exchange.wanted(0) == ["asgi:close", "asgi__group__room"]
    assert exchange.is_wanted("asgi__group__room") and not exchange.is_wanted("asgi__group__other")
    assert exchange.own(0) == [member.name]
    await layer.group_discard("room", member.name)
    assert exchange.wanted(0) == []


async def test_what_is_published_where_nothing_is_heard_reaches_own_receivers(
    layer: Any, process: Process[PubSubExchange]
) -> None:
    process.local.group_add("room", "named")  # and no owner loop
    payload = layer._codec.encode({"type": "test"})
    assert await process.trips.run(process.exchange.publish("asgi__group__room", payload))
    assert process.local.held("named") == 1
    process.local.flush()
    assert not await process.trips.run(process.exchange.publish("asgi__group__room", payload))


async def test_a_named_channel_is_heard_for_a_while_after_receive(
    process: Process[PubSubExchange], redis_server: RedisServer
) -> None:
    await process.owners.call(process.exchange.listen_to, "named")
    assert process.exchange.is_wanted("named")
    with redis_server.client() as client:
        assert client.pubsub_channels() == ["named"]
        process.exchange.after_receive("named")
        assert process.exchange.is_wanted("named")
        process.exchange.named["named"] = 0
        process.exchange.update_all()
        await until(lambda: client.pubsub_channels() == [])


async def test_bytes_that_are_no_message_are_dropped(layer: Any, process: Process[PubSubExchange]) -> None:
    member = await Member().join(layer)
    assert process.exchange.on_message("asgi__group__room", b"\xff") == 0
    assert member == []
