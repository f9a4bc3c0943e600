"""The names of channels_redis: what code written for its layers finds in `compat.channels_redis`."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from compat.channels_redis import core, pubsub, serializers, utils
from consumers import ChannelFull
from consumers.layers import codec

from ..support.redis_layers import Mailbox, until
from ..support.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
async def layer(server: RedisServer) -> Any:
    layer = core.RedisChannelLayer([server.url], capacity=2)
    yield layer
    await layer.close()
    with server.client() as client:
        client.flushall()
    await until(lambda: server.connections() == [])


def test_names_and_hashes_are_those_of_channels_redis() -> None:
    assert core.ChannelFull is ChannelFull
    two = core.RedisChannelLayer([("a", 1), ("b", 2)])
    assert (two.ring_size, two.consistent_hash("key_one"), two.consistent_hash(b"key_two")) == (2, 1, 0)
    assert [utils._consistent_hash(b"key_one", size) for size in (1, 2, 10)] == [0, 1, 6]
    assert str(two) == "RedisChannelLayer(hosts=['a:1', 'b:2'])"


async def test_the_clients_prefix_is_in_the_names_of_its_channels(layer: Any) -> None:
    assert (await layer.new_channel()).startswith(f"specific.{layer.client_prefix}!")
    assert layer.client_prefix != core.RedisChannelLayer().client_prefix


async def test_a_connection_is_a_client_of_redis_py_for_the_host(layer: Any, server: RedisServer) -> None:
    client = layer.connection(0)
    await client.set("mine", "1")
    assert await client.get("mine") == b"1"
    assert layer.connection(0) is client
    with pytest.raises(ValueError, match="only 1 hosts - you asked for 1"):
        layer.connection(1)
    await layer.close_pools()
    await until(lambda: server.connections() == [])
    assert layer.connection(0) is not client


def test_a_connection_is_closed_with_its_loop(server: RedisServer) -> None:
    layer = core.RedisChannelLayer([server.url])

    async def ask() -> None:
        await layer.connection(0).ping()

    for _ in range(2):
        asyncio.run(ask())
        loop = asyncio.new_event_loop()
        loop.run_until_complete(ask())
        loop.close()
    with server.client() as client:
        assert len(client.client_list()) == 1


async def test_close_pools_loses_nothing(layer: Any, server: RedisServer) -> None:
    one, other = await layer.new_channel(), await layer.new_channel()
    await layer.group_add("room", one)
    for name in (one, other):
        await layer.send(name, {"type": "test", "to": name})
    assert (await layer.receive(one))["to"] == one
    await layer.close_pools()
    await until(lambda: server.connections() == [])
    await layer.group_send("room", {"type": "more"})
    assert (await layer.receive(other))["to"] == other
    assert await layer.receive(one) == {"type": "more"}


async def test_close_pools_cuts_off_no_consumer(layer: Any) -> None:
    messages = Mailbox()
    await layer.group_add("room", layer.attach(messages.deliver))
    await layer.close_pools()
    await layer.group_send("room", {"type": "test"})
    await until(lambda: messages)


@pytest.mark.parametrize(
    "host",
    [
        "redis://example.com:1/2",
        ("example.com", 1),
        {"address": "redis://example.com:1", "db": 2},
        {"host": "example.com", "port": 1, "db": 2},
        {"sentinels": [("example.com", 1)], "master_name": "main", "db": 2},
    ],
)
async def test_pools_are_made_of_what_hosts_may_be(host: object) -> None:
    (arguments,) = utils.decode_hosts([host])
    before = dict(arguments)
    pool = utils.create_pool(arguments)
    assert arguments == before
    if "sentinels" not in arguments:
        assert (pool.connection_kwargs["host"], pool.connection_kwargs["port"]) == ("example.com", 1)
    else:
        assert pool.service_name == "main"
    await pool.disconnect()


async def test_assertions_of_channels_redis_are_assertion_errors(layer: Any) -> None:
    with pytest.raises(AssertionError):
        await layer.send("channel", "no dict")
    with pytest.raises(AssertionError):
        await layer.send("channel", {"type": "test", "__asgi_channel__": "other"})
    with pytest.raises(AssertionError):
        await layer.receive("another.process!its")
    with pytest.raises(AssertionError):
        core.RedisChannelLayer(prefix=1)
    with pytest.raises(TypeError):
        await layer.send("=+135!", {"type": "test"})


async def test_a_group_over_capacity_is_one_line_at_level_info(layer: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await layer.group_add("room", await layer.new_channel())
    await layer.group_add("room", "named")
    await layer.send("named", {"type": "test"})
    for _ in range(2):
        await layer.group_send("room", {"type": "test"})
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("channels_redis.core", "INFO", "1 of 2 channels over capacity in group room")
    ]
    assert layer.dropped == 1


async def test_a_full_consumer_is_told_of_at_level_info(layer: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await layer.group_add("room", layer.attach(lambda message: 0))
    await layer.group_send("room", {"type": "test"})
    await until(lambda: layer.dropped)
    assert {record.levelname for record in caplog.records} == {"INFO"}


async def test_the_pub_sub_layer_carries_what_is_no_dict_to_receivers_alone(server: RedisServer) -> None:
    layer, consumer = pubsub.RedisPubSubChannelLayer([server.url]), Mailbox()
    attached = layer.attach(consumer.deliver)
    name = await layer.new_channel()
    for member in (attached, name):
        await layer.group_add("room", member)
    await layer.group_send("room", "text")
    await layer.send(name, ["a", "list"])
    await layer.send(attached, 3)
    await layer.group_send("room", {"type": "test"})
    assert [await layer.receive(name) for _ in range(3)] == ["text", ["a", "list"], {"type": "test"}]
    await until(lambda: consumer)
    assert consumer == [{"type": "test"}]
    await layer.close()


async def test_the_pub_sub_layer_turns_groups_into_text(server: RedisServer) -> None:
    layer, consumer = pubsub.RedisPubSubChannelLayer([server.url]), Mailbox()
    name = layer.attach(consumer.deliver)
    await layer.group_add(7, name)
    await layer.group_send(7, {"type": "test"})
    await layer.group_send("7", {"type": "test"})
    assert await consumer.holds(2) == 2 * [{"type": "test"}]
    await layer.group_send(7, {"type": "test"}, exclude=name)
    await layer.group_send(7, {"type": "end"})
    assert (await consumer.holds(3))[2:] == [{"type": "end"}]
    await layer.group_discard(7, name)
    assert layer.groups == {}
    await layer.close()


@pytest.mark.parametrize("cls", [serializers.JSONSerializer, serializers.MsgPackSerializer])
@pytest.mark.parametrize("length", [0, -1, -5])
def test_no_prefix_length_below_one_is_a_prefix(cls: Any, length: int) -> None:
    serializer = cls(random_prefix_length=length)
    data = serializer.serialize({"type": "test"})
    assert data == serializer.as_bytes({"type": "test"})
    assert serializer.deserialize(data) == {"type": "test"}


def test_a_serializer_that_is_none_is_an_assertion_error_and_the_others_are_the_layers() -> None:
    with pytest.raises(AssertionError):
        serializers.registry.register_serializer("none", object)
    with pytest.raises(serializers.SerializerDoesNotExist):
        serializers.SerializersRegistry().get_serializer("json")

    class Own(serializers.JSONSerializer):
        """Registered by ported code."""

    serializers.registry.register_serializer("own", Own)
    assert isinstance(codec.registry.get_serializer("own"), Own)


async def test_a_group_with_history_takes_dicts_alone_and_others_messages_as_they_are(server: RedisServer) -> None:
    layer = pubsub.RedisPubSubChannelLayer([server.url], history={"room": {"size": 10, "ttl": 60}})
    without = pubsub.RedisPubSubChannelLayer([server.url])
    channel = await layer.new_channel()
    await layer.group_add("room", channel)
    for keep in (True, False):
        with pytest.raises(TypeError, match="must be a dict, not list"):
            await layer.group_send("room", ["no dict"], keep=keep)
    await without.group_send("room", ["no dict"])
    assert await asyncio.wait_for(layer.receive(channel), 5) == ["no dict"]
    assert (await layer.history("room")).messages == []
    await layer.close()
    await without.close()
