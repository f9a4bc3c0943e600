"""What a process takes from queues."""

import time
from typing import Any

import pytest

from consumers.layers.codec import CHANNELS_KEY
from consumers.layers.redis.process import Process
from consumers.layers.redis.queue_exchange import QueueExchange
from consumers.types import Message

from ...support.redis_layers import Make, Member, lines, until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def layer(make: Make) -> Any:
    return make("queue")


@pytest.fixture
def process(layer: Any) -> Process[QueueExchange]:
    process: Process[QueueExchange] = layer._process
    return process


def number(value: int) -> Message:
    return {"type": "test", "number": value}


def entry(layer: Any, queue: str, message: Message) -> tuple[bytes, bytes, float]:
    """Return what a pop of a queue has taken."""
    return f"asgi{queue}".encode(), layer._codec.encode(message), time.time()


async def test_an_entry_goes_to_the_channels_that_it_is_for(layer: Any, process: Process[QueueExchange]) -> None:
    member, other = Member(), Member()
    for each in (member, other):
        each.name = layer.attach(each.deliver)
    process.exchange.on_entry(0, entry(layer, process.head, {**number(1), CHANNELS_KEY: member.name}))
    process.exchange.on_entry(0, entry(layer, process.head, {**number(2), CHANNELS_KEY: [member.name, other.name]}))
    assert (member.numbers, other.numbers) == ([1, 2], [2])
    assert member[0] == number(1)


async def test_what_expired_or_is_for_nobody_is_dropped_with_a_word(
    layer: Any, process: Process[QueueExchange], caplog: pytest.LogCaptureFixture
) -> None:
    key, payload, now = entry(layer, process.head, number(1))
    assert process.exchange.on_entry(0, (key, payload, now - 61)) == 0
    assert "it was sent 61.0 s ago, and expires after 60 s" in lines(caplog)[0]
    assert process.exchange.on_entry(0, (key, b"\xff", now)) == 0


async def test_a_job_whose_worker_was_cancelled_goes_back(
    layer: Any, process: Process[QueueExchange], redis_server: RedisServer
) -> None:
    taken = entry(layer, "jobs", number(1))
    assert process.exchange.on_entry(0, taken) == 0
    with redis_server.client(decode_responses=False) as client:
        await until(lambda: client.zrange("asgijobs", 0, -1) == [taken[1]])
        assert 0 < client.ttl("asgijobs") <= 60


async def test_only_one_whole_order_is_obeyed(layer: Any, process: Process[QueueExchange]) -> None:
    member, closed = Member(), list[int]()
    member.name = layer.attach(member.deliver, lambda code, reason: closed.append(code))
    control = f"{process.head}control"
    order = {"type": "layer.close", "channels": [member.name], "code": 4001, "reason": ""}
    for to in ([control, member.name], [control, "specific.other!c.x"], [control, f"{process.head}group.room"]):
        process.exchange.on_entry(0, entry(layer, process.head, {**order, CHANNELS_KEY: to}))
    assert closed == []
    process.exchange.on_entry(0, entry(layer, process.head, {**order, CHANNELS_KEY: control}))
    assert closed == [4001]


async def test_there_is_something_to_clean_up_while_there_are_channels_or_groups(
    layer: Any, process: Process[QueueExchange], redis_server: RedisServer
) -> None:
    assert not process.exchange.has_anything()
    member = await Member().join(layer)
    assert process.exchange.has_anything()
    await layer.group_discard("room", member.name)
    await until(lambda: not process.local.has_groups() and not process.exchange.memberships.has_left_some())
    assert process.exchange.has_anything()  # the lease, which tells others that the process lives
    await layer.close()
    assert not process.exchange.has_anything()
    await layer.new_channel()
    assert process.exchange.has_anything()
