"""What a group with history has in Redis, and what it asks of Redis."""

import asyncio
import threading
from typing import Any

import anyio
import pytest
from redis.crc import key_slot
from redis.exceptions import ConnectionError, NoPermissionError, ResponseError

from consumers.layers.redis import RedisPubSubChannelLayer

from ....support.redis_layers import LEASES, groups_by_shard, until
from ....support.redis_server import RedisServer, running_redis
from .support import GROUP, HISTORY, KEYS, UNKNOWN, Reader, layer_at, message, send

pytestmark = pytest.mark.anyio

MAY = "+eval +publish +subscribe +unsubscribe +psubscribe +ping +xadd +xrange +xrevrange +hset +hmget +pexpire +pttl"
MAY_TOO = "+del +exists +get +set"


async def test_all_keys_expire_and_share_a_slot(server: RedisServer) -> None:
    async with layer_at(server) as layer:
        await Reader().join(layer)
        await send(layer, [0], id="once")
        await layer.history(GROUP)
        await layer.position("chat.2")
        with server.client() as client:
            kinds = {key: client.type(key) for key in client.scan_iter()}
            lives = {key: client.ttl(key) for key in kinds}
    head = "asgi__history__{chat.1}:"
    [id_key] = [key for key in kinds if ":id:" in key]
    assert kinds == {
        f"{head}log": "stream",
        f"{head}place": "hash",
        id_key: "string",
        "asgi__history__{chat.2}:place": "hash",
        LEASES: "zset",
    }
    assert 86000 < lives[LEASES] <= 86400
    assert 50 < lives[f"{head}log"] <= 60
    assert 86000 < lives[f"{head}place"] <= 86400
    assert 50 < lives[id_key] <= 60
    assert len({key_slot(key.encode()) for key in kinds if "{chat.1}" in key}) == 1


async def test_a_message_is_one_round_trip_and_a_join_is_two(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server) as other:
        await other.position(GROUP)
        await Reader().join(layer, "chat.2")  # the first join of a process begins its lease
        with server.client() as client:
            before = _commands(client)
            await Reader().join(layer)
            joined = _commands(client)
            await send(other, range(10))
            sent = _commands(client)
        assert joined["eval"] - before["eval"] == 1  # the other one subscribes
        assert sent["eval"] - joined["eval"] == 10
        # All else is done within these.
        assert sent.get("publish", 0) - joined.get("publish", 0) == 20


def _commands(client: Any) -> dict[str, int]:
    return {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in client.info("commandstats").items()}


async def test_channels_redis_gets_the_bytes_that_it_would_get_without_history(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server, history=None) as plain:
        with server.client(decode_responses=False) as client, client.pubsub() as hears:
            hears.subscribe(f"asgi__group__{GROUP}")
            await anyio.to_thread.run_sync(hears.get_message, True, 5)  # that it has subscribed
            await layer.group_send(GROUP, message(1))
            await plain.group_send(GROUP, message(1))
            first, second = [await anyio.to_thread.run_sync(hears.get_message, True, 5) for _ in range(2)]
        assert first["data"] == second["data"]


async def test_nothing_of_a_message_or_its_id_is_readable_when_it_is_encrypted(server: RedisServer) -> None:
    async with layer_at(server, symmetric_encryption_keys=["old"]) as layer:
        reader = await Reader().join(layer)
        position = await layer.group_send(GROUP, {"type": "test", "number": 1, "text": "secret"}, id="secret id")
        await reader.has(1)
        with server.client(decode_responses=False) as client:
            everything = [key + (client.dump(key) or b"") for key in client.scan_iter()]
        assert not any(b"secret" in each for each in everything)
        async with layer_at(server, symmetric_encryption_keys=["new", "old"]) as rotated:
            again = await Reader().join(rotated, last=5)
            await again.has(1)
            assert await rotated.group_send(GROUP, message(1), id="secret id") == position
            assert (await rotated.history(GROUP)).messages[0]["text"] == "secret"


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_either_serializer(server: RedisServer, format: str) -> None:
    async with layer_at(server, serializer_format=format) as layer:
        reader = await Reader().join(layer)
        positions = await send(layer, range(3), exclude="nobody")
        await reader.has(0, 1, 2)
        again = await Reader().join(layer, since=positions[0])
        await again.has(1, 2)
        assert all("consumers.exclude" not in event for event in [*reader, *again])


async def test_those_excluded_do_not_get_it_in_whichever_process(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server) as other:
        here, there = await Reader().join(layer), await Reader().join(other)
        await send(layer, [0], exclude=[here.name, there.name])
        await send(layer, [1], exclude=there.name)
        await layer.group_send(GROUP, message(2), keep=False, exclude=here.name)
        await send(layer, [3])
        await here.has(1, 3)
        await there.has(2, 3)


async def test_groups_of_several_shards() -> None:
    with running_redis() as first, running_redis() as second:
        async with layer_at(first, hosts=[first.url, second.url], history={"*": HISTORY["chat.*"]}) as layer:
            groups = groups_by_shard("pubsub", layer)
            for group in groups:
                reader = await Reader().join(layer, group)
                [position, _] = await send(layer, range(2), group)
                await reader.has(0, 1)
                again = await Reader().join(layer, group, since=position)
                await again.has(1)
            for server, group in zip((first, second), groups, strict=True):
                with server.client() as client:
                    heads = {key.partition("}")[0] for key in client.scan_iter()}
                    assert heads == {f"asgi__history__{{{group}", LEASES}


async def test_a_layer_without_an_event_loop_keeps_what_it_sends(server: RedisServer) -> None:
    async with layer_at(server) as layer:
        reader = await Reader().join(layer)
        script = RedisPubSubChannelLayer([server.url], history=HISTORY)
        [position] = [await anyio.to_thread.run_sync(script.group_send_sync, GROUP, message(0), "id")]
        assert await anyio.to_thread.run_sync(script.group_send_sync, GROUP, message(0), "id") == position
        await anyio.to_thread.run_sync(script.group_send_sync, GROUP, message(1))
        await reader.has(0, 1)
        assert reader.positions[0] == position
        await script.close()


async def test_members_on_another_event_loop(server: RedisServer) -> None:
    async with layer_at(server) as layer:
        reader = await Reader().join(layer)
        positions = await send(layer, range(3))
        there, go_on = Reader(), threading.Event()

        async def elsewhere() -> None:
            await there.join(layer, since=positions[0])
            while there.numbers != [1, 2, 3]:
                await asyncio.sleep(0.005)
            go_on.wait(5)
            layer.detach(there.name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, lambda: asyncio.run(elsewhere()))
            await until(lambda: there.numbers == [1, 2])
            await send(layer, [3])
            await until(lambda: there.numbers == [1, 2, 3])
            go_on.set()
        await reader.has(0, 1, 2, 3)


async def test_a_user_of_redis_who_may_do_no_more_than_the_docs_say() -> None:
    user = f"user app on nopass resetkeys ~asgi* resetchannels &asgi* -@all {MAY} {MAY_TOO}"
    with running_redis(user) as server:
        url = server.url.replace("redis://", "redis://app:any@")
        async with layer_at(server, hosts=[url]) as layer:
            reader = await Reader().join(layer)
            positions = await send(layer, range(2), id=None)
            await send(layer, [2], id="id")
            await reader.has(0, 1, 2)
            await (await Reader().join(layer, since=positions[0])).has(1, 2)
            assert len((await layer.history(GROUP)).messages) == 3
    with running_redis(user.replace("+eval ", "")) as server:
        async with layer_at(server, hosts=[server.url.replace("redis://", "redis://app:any@")]) as layer:
            with pytest.raises(NoPermissionError):
                await layer.group_send(GROUP, message(0))


async def test_a_node_of_a_cluster_is_refused() -> None:
    with running_redis("cluster-enabled yes") as server:
        async with layer_at(server) as layer:
            with pytest.raises(ConnectionError, match="option `history` do not support"):
                await layer.group_send(GROUP, message(0))


async def test_names_that_are_the_layers_own_are_refused(server: RedisServer) -> None:
    async with layer_at(server, validate_names=False) as layer:
        with pytest.raises(TypeError, match="is a layer's own"):
            await layer.send(f"asgi__history__{GROUP}", message(0))
    with pytest.raises(ValueError, match="must not contain '__history__'"):
        RedisPubSubChannelLayer(prefix="asgi__history__x")


async def test_a_group_without_members_here_leaves_nothing_here(server: RedisServer) -> None:
    async with layer_at(server) as layer:
        reader = await Reader().join(layer)
        await send(layer, range(3))
        await reader.has(0, 1, 2)
        await layer.group_discard(GROUP, reader.name)
        history = layer._process.exchange.history
        await until(lambda: not history._known)
        assert not history._readings
        assert not layer._process.local.feeds.has(GROUP)
        await send(layer, [3])
        again = await Reader().join(layer, since=reader.positions[-1])
        await again.has(3)


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", f"{KEYS}log", "5-7", "foo", "bar"),
        ("XADD", f"{KEYS}log", "*", "t", "bar"),
        ("HSET", f"{KEYS}place", "epoch", "x"),
        ("HSET", f"{KEYS}place", "offset", "x"),
        ("SET", f"{KEYS}place", "x"),
        ("SET", f"{KEYS}log", "x"),
    ],
)
async def test_what_somebody_else_has_written_is_an_error_of_redis(
    server: RedisServer, command: tuple[str, ...]
) -> None:
    async with layer_at(server) as layer:
        reader = await Reader().join(layer)
        await send(layer, range(2))
        with server.client() as client:
            client.execute_command(*command)
        with pytest.raises(ResponseError):
            await layer.history(GROUP)
        with pytest.raises(ResponseError):
            await Reader().join(layer, since=UNKNOWN)
        with server.client() as client:
            client.flushall()
        await send(layer, [2])
        await until(lambda: reader.gaps == [GROUP])
        await reader.has(0, 1, 2)


async def test_large_messages_are_read_in_parts(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server) as other:
        begin = await layer.position(GROUP)
        for number in range(7):
            await other.group_send(GROUP, {**message(number), "text": "x" * 400_000})
        newest = await layer.history(GROUP)
        assert [event["number"] for event in newest.messages] == [5, 6]
        first = await layer.history(GROUP, since=begin)
        second = await layer.history(GROUP, since=first.position)
        assert [event["number"] for event in (*first.messages, *second.messages)] == [0, 1, 2, 3]
        reader = await Reader().join(layer, since=begin)
        await reader.has(*range(7))
