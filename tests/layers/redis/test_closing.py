"""Closing a group across processes: by an order that no message can be."""

import time
from typing import Any

import anyio
import msgpack  # type: ignore[import-untyped]
import pytest

from consumers import AsyncWebsocketConsumer, channel_layers
from consumers.layers.codec import CHANNELS_KEY
from consumers.layers.redis.layer import RedisLayer
from consumers.types import Message

from ...support.redis_layers import Make, Member, groups_by_shard, layer_on, lines, until
from ...support.redis_server import RedisServer
from ...support.wire import Wire, start

pytestmark = pytest.mark.anyio

NOTICE = {"type": "consumers.close", "code": 4001, "reason": "bye"}


class Closeable(Member):
    """A member that can be closed."""

    async def join(self, layer: RedisLayer, group: str = "room") -> "Closeable":
        self.closed: list[tuple[int, str]] = []
        self.name = layer.attach(self.deliver, lambda code, reason: self.closed.append((code, reason)))
        await layer.group_add(group, self.name)
        return self


@pytest.mark.parametrize("is_open", [True, False])
async def test_members_of_other_processes_are_closed_before_they_are_told(is_open: bool, make: Make, kind: str) -> None:
    layers = [make(kind) for _ in range(3)]
    for layer in layers if is_open else ():  # else the groups are there when it connects
        await layer._process.owners.ensure().until_ready()
    members = [await Closeable().join(layer) for layer in layers for _ in range(2)]
    other = await Closeable().join(layers[0], "other_room")
    await layers[2].close_group("room", 4001, "bye")
    for member in members:
        assert await member.holds(1) == [NOTICE]
        assert member.closed == [(4001, "bye")]
    assert (other, other.closed) == ([], [])


async def test_a_consumer_of_another_process_is_closed(make: Make, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class InRoom(AsyncWebsocketConsumer):
        groups = ["room"]
        strict_types = True

    monkeypatch.setitem(channel_layers.backends, "default", make(kind))
    async with anyio.create_task_group() as tasks:
        wire = Wire()
        start(tasks, wire, InRoom.as_asgi())
        await wire.accepted()
        await make(kind).close_group("room", 4001, "bye")
        assert await wire.next() == {"type": "websocket.close", "code": 4001, "reason": "bye"}
        await wire.end()
    assert wire.error is None


async def test_the_groups_of_all_shards_are_closed(server: RedisServer, redis_server: RedisServer, kind: str) -> None:
    ports = (server.port, redis_server.port)
    async with layer_on(kind, *ports) as theirs, layer_on(kind, *ports) as ours:
        for group in groups_by_shard(kind, theirs):
            member = await Closeable().join(theirs, group)
            await ours.close_group(group, 4001, "bye")
            await member.holds(1)
            assert member.closed == [(4001, "bye")]


async def test_an_order_is_encrypted_like_a_message(make: Make, kind: str) -> None:
    keyed = {"symmetric_encryption_keys": ["secret"]}
    member = await Closeable().join(make(kind, **keyed))
    await make(kind).close_group("room", 4001, "from somebody without the key")
    await make(kind, **keyed).close_group("room", 4001, "bye")
    await member.holds(1)
    assert member.closed == [(4001, "bye")]


async def test_a_member_by_another_process_is_closed(make: Make) -> None:
    its_own, other = make("queue"), make("queue")
    member = await Closeable().join(its_own, "first")
    await other.group_add("room", member.name)
    await other.close_group("room", 4001, "bye")
    await member.holds(1)
    assert member.closed == [(4001, "bye")]


async def test_a_full_queue_drops_no_order(make: Make, redis_server: RedisServer) -> None:
    layer = make("queue", capacity=1)
    head = f"specific.{'0' * 32}!"  # a process that is too busy to take anything out of its queue
    with redis_server.client(decode_responses=False) as client:
        client.zadd("asgi:group:room", {f"{head}group.room": time.time()})
        await layer.group_send("room", {"type": "test"})
        await layer.close_group("room", 4001, "bye")
        payloads = client.zrange(f"asgi{head}", 0, -1)
    message, order = (layer._codec.decode(payload) for payload in payloads)
    assert message["type"] == "test"
    assert order == {
        "type": "layer.close",
        "code": 4001,
        "reason": "bye",
        "channels": [f"{head}group.room"],
        CHANNELS_KEY: f"{head}control",
    }
    assert layer.dropped == 1  # the message that goes with the order


# What no message can do


def forgeries(layer: RedisLayer) -> list[dict[str, Any]]:
    head = layer._process.head
    order = {"type": "layer.close", "group": "room", "channels": [f"{head}group.room"], "code": 4001, "reason": ""}
    return [NOTICE, order, {**order, CHANNELS_KEY: f"{head}control"}, {**order, CHANNELS_KEY: [f"{head}control"]}]


async def test_no_message_closes_a_member(make: Make, kind: str) -> None:
    theirs, ours = make(kind), make(kind)
    member = await Closeable().join(theirs)
    sent = 0
    for forgery in forgeries(theirs):
        await ours.group_send("room", forgery)
        sent += 1
        if kind == "pubsub" or CHANNELS_KEY not in forgery:
            await ours.send(member.name, forgery)
            sent += 1
    await member.holds(sent)
    assert member.closed == []


@pytest.mark.parametrize("validate_names", [True, False])
async def test_no_message_goes_where_orders_do(make: Make, kind: str, validate_names: bool) -> None:
    theirs, ours = make(kind), make(kind, validate_names=validate_names)
    member = await Closeable().join(theirs)
    channel = {"pubsub": "asgi:close", "queue": f"{theirs._process.head}control"}[kind]
    for forgery in forgeries(theirs):
        with pytest.raises(TypeError):
            await ours.send(channel, forgery)
    if kind == "queue" or not validate_names:  # else the name itself is refused
        with pytest.raises(TypeError, match="a layer's own"):
            await ours.group_add("other_room", channel)
    await ours.group_send("room", {"type": "test", "number": 1})
    await member.holds(1)
    assert member.closed == []


async def test_an_order_that_makes_no_sense_is_logged(
    make: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    member = await Closeable().join(layer := make("pubsub"))
    orders: list[Message] = [{"group": "room", "code": 4001}, {"group": "room", "code": 1006, "reason": ""}]
    with redis_server.client() as client:
        for order in orders:
            client.publish("asgi:close", msgpack.packb(order))
    await layer.group_send("room", {"type": "test", "number": 1})
    await member.holds(1)
    assert member.closed == []
    await until(lambda: lines(caplog))
    assert "an order to close a group that is none (KeyError: 'reason')" in lines(caplog)[0]
