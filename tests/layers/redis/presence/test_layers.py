"""Presence on layers of every kind: encrypted, on several shards, of other serializers, on loops that end, in forks."""

import asyncio
import json
import os
import threading
from typing import Any

import anyio
import pytest

from consumers.exceptions import PresenceFull
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.layers.redis.layer import RedisLayer

from ....support.redis_layers import LAYERS, lines
from ....support.redis_loops import another_loop, errors
from ....support.redis_server import RedisServer, running_redis
from .support import GROUP, LEASE, MARGIN, PRESENCE, Watcher, processes, soon, soon_there, tracked

pytestmark = pytest.mark.anyio

SECRET = "Ann-Clear-Text"


def everything(client: Any) -> bytes:
    """Return all that is in Redis: the names of its keys, and all values of all types."""
    found: list[bytes] = []
    for name in client.keys("*"):
        found.append(name)
        match client.type(name):
            case b"string":
                found.append(client.get(name))
            case b"hash":
                found += [part for pair in client.hgetall(name).items() for part in pair]
            case b"set":
                found += client.smembers(name)
            case b"zset":
                found += client.zrange(name, 0, -1)
            case b"list":
                found += client.lrange(name, 0, -1)
    return b"\n".join(found)


@pytest.mark.parametrize("keys", [None, ["secret"]])
async def test_with_encryption_no_name_is_in_redis(kind: str, server: RedisServer, keys: list[str] | None) -> None:
    heard: list[bytes] = []
    with server.client(decode_responses=False) as client, client.pubsub() as pubsub:
        pubsub.psubscribe("*")
        async with processes(kind, 2, server.url, symmetric_encryption_keys=keys) as (one, two):
            watchers = [await Watcher().watch(layer) for layer in (one, two)]
            names = [await tracked(layer, SECRET, name="Bob-Clear-Text") for layer in (one, two)]
            await one.presence_update(GROUP, names[0], meta={"name": "Cat-Clear-Text"})
            await soon(lambda: all(len(watcher.known.get(SECRET, ())) == 2 for watcher in watchers))
            assert await two.presence_count(GROUP) == 1
            stored = everything(client)
            one.detach(names[0])
            two.detach(names[1])
            await soon(lambda: all(watcher.left == [SECRET] for watcher in watchers))
        while (message := pubsub.get_message(timeout=0.1)) is not None:
            heard.append(message["channel"] + message["data"] if message["type"] == "pmessage" else b"")
    assert (b"Clear-Text" in stored) == (keys is None)
    assert (b"Clear-Text" in b"\n".join(heard)) == (keys is None)
    assert len(heard) > 3


async def test_while_secrets_are_changed_a_key_is_one(kind: str, server: RedisServer) -> None:
    async with (
        processes(kind, 1, server.url, symmetric_encryption_keys=["old", "new"]) as [before],
        processes(kind, 1, server.url, symmetric_encryption_keys=["new", "old"]) as [after],
    ):
        watchers = [await Watcher().watch(layer) for layer in (before, after)]
        for first, second, key in ((before, after, "ann"), (after, before, "bob")):
            name = await tracked(first, key)
            await tracked(second, key)
            assert await first.presence(GROUP) == await second.presence(GROUP)
            first.detach(name)
        assert await before.presence_count(GROUP) == 2
        await anyio.sleep(PRESENCE["grace"] + 0.3)
        for watcher in watchers:
            assert (watcher.known, watcher.left) == ({"ann": [{}], "bob": [{}]}, [])


async def test_what_has_another_secret_is_dropped_and_logged(
    kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        processes(kind, 1, server.url, symmetric_encryption_keys=["one"]) as [one],
        processes(kind, 1, server.url, symmetric_encryption_keys=["other"]) as [other],
    ):
        watcher = await Watcher().watch(one)
        await tracked(other, "ann")
        await tracked(one, "bob")
        await soon(lambda: set(watcher.known) == {"bob"})
        assert set(await one.presence(GROUP)) == {"bob"}
        assert any("dropped" in line for line in lines(caplog))


async def test_what_is_no_message_of_presence_is_dropped(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        watcher = await Watcher().watch(layer)
        own = f"asgi__presence__:{layer._process.id}"
        with server.client() as client:
            for text in ("", "x", "-3:", "1:x", "4:room1:x1:01:1", "4:room1:91:01:15:joins3:ann1:9", "9" * 400):
                client.publish("asgi__presence__", text)
                client.publish(own, text)
            client.publish(own, "1:q5:count4:room1:0")
        await tracked(layer, "ann")
        await soon(lambda: set(watcher.known) == {"ann"})
        assert await layer.group_count(GROUP) == 1


async def test_groups_are_divided_among_shards(kind: str, server: RedisServer) -> None:
    with running_redis() as another:
        async with processes(kind, 2, server.url, another.url) as (one, two):
            groups = sorted({one.consistent_hash(f"room{number}"): f"room{number}" for number in range(50)}.values())
            watchers = [await Watcher().watch(layer, group) for layer in (one, two) for group in groups]
            name = one.attach(lambda message: 1)
            for group in groups:
                await one.presence_track(group, name, key="ann")
                assert await two.group_count(group) == 2
            await soon(lambda: all(set(watcher.known) == {"ann"} for watcher in watchers))
            for each in (server, another):
                with each.client() as client:
                    assert client.zcard("asgi__presence__:leases") == 2
            another.stop()
            one.detach(name)
            await soon(lambda: 0 < len([watcher for watcher in watchers if watcher.left]) < 4)
            another.start()
            await soon(lambda: all(watcher.known == {} for watcher in watchers), LEASE + MARGIN + 5)


class Plain(RedisPubSubChannelLayer):
    def serialize(self, message: Any) -> bytes:
        return b"my" + json.dumps(message).encode()

    def deserialize(self, message: bytes) -> Any:
        return json.loads(message.removeprefix(b"my"))


class PlainQueue(RedisChannelLayer):
    serialize, deserialize = Plain.serialize, Plain.deserialize


@pytest.mark.parametrize("how", ["json", "overrides"])
async def test_keys_and_metas_go_through_any_serializer(kind: str, server: RedisServer, how: str) -> None:
    key = "Änn ☃ \x00:5"
    meta: dict[str, Any] = {"name": "☃", "tabs": [1, {"a": None}]}
    overriding: dict[str, Any] = {"pubsub": Plain, "queue": PlainQueue}
    make: Any = overriding[kind] if how == "overrides" else LAYERS[kind]
    options: dict[str, Any] = {"serializer_format": "json"} if how == "json" else {}
    layers: list[Any] = [make(hosts=[server.url], presence=PRESENCE, **options) for _ in range(2)]
    try:
        watcher = await Watcher().watch(layers[0])
        await tracked(layers[1], key, **meta)
        await soon(lambda: watcher.known == {key: [meta]})
        assert await layers[0].presence(GROUP) == {key: [meta]}
    finally:
        for layer in layers:
            await layer.close()


@pytest.mark.parametrize("group", ["room 1 ☃", "a:b{c}d", "*", "9:room"])
async def test_groups_of_any_name(kind: str, server: RedisServer, group: str) -> None:
    async with processes(kind, 2, server.url, validate_names=False) as (one, two):
        watcher = await Watcher().watch(one, group)
        await tracked(two, "ann", group)
        await soon(lambda: set(watcher.known) == {"ann"})
        assert await two.group_count(group) == 1
        assert set(await one.presence(group)) == {"ann"}
        assert await one.presence("other") == {}


async def test_a_named_channel_stands_for_one_key_in_each_process(kind: str, server: RedisServer) -> None:
    async with processes(kind, 2, server.url) as (one, two):
        await one.presence_track(GROUP, "worker", key="ann")
        await two.presence_track(GROUP, "worker", key="bob")
        await soon_there(one, "ann", "bob")
        await one.presence_untrack(GROUP, "worker")
        await soon_there(two, "bob")


async def test_a_key_has_so_many_channels_in_all_processes_together(kind: str, server: RedisServer) -> None:
    async with processes(kind, 2, server.url) as (one, two):
        for layer in (one, two):
            await asyncio.gather(*(tracked(layer, "ann") for _ in range(50)))
        extra = two.attach(lambda message: 1)
        with pytest.raises(PresenceFull):
            await two.presence_track(GROUP, extra, key="ann")
        await two.presence_track(GROUP, extra, key="bob")
        with pytest.raises(PresenceFull):
            await two.presence_track(GROUP, extra, key="ann")
        await soon_there(one, "ann", "bob")
        await anyio.sleep(2 * PRESENCE["grace"])
        await soon_there(one, "ann", "bob")


async def test_when_all_have_closed_nothing_is_in_redis(kind: str, server: RedisServer) -> None:
    async with processes(kind, 2, server.url, presence={"lease": 60, "grace": 60}) as (one, two):
        for layer in (one, two):
            await Watcher().watch(layer)
            for key in ("ann", "bob"):
                await tracked(layer, key)
            layer.detach(await tracked(layer, "cat"))
        await one.close()
        assert await two.presence_count(GROUP) == 3
        with server.client() as client:
            assert client.keys("*__presence__*")
            await two.close()
            assert client.keys("*") == []


async def test_scripts_see_no_ghosts_though_no_process_is_left(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url, presence={"lease": 60, "grace": 60}) as [dead]:
        await tracked(dead, "ann")
        layer = LAYERS[kind]([server.url])
        assert await anyio.to_thread.run_sync(layer.presence_sync, GROUP) == {"ann": [{}]}
        with server.client() as client:
            [incarnation] = client.zrange("asgi__presence__:leases", 0, -1)
            client.zadd("asgi__presence__:leases", {incarnation: 1})
        assert await anyio.to_thread.run_sync(layer.presence_count_sync, GROUP) == 0
        assert await anyio.to_thread.run_sync(layer.presence_sync, GROUP) == {}


async def test_channels_of_a_loop_that_has_ended_are_gone(kind: str, server: RedisServer) -> None:
    async with processes(kind, 2, server.url) as (one, two):
        watcher = await Watcher().watch(two)
        await Watcher().watch(one)  # so that the running loop is the owner
        with another_loop() as loop:
            await loop.do(tracked(one, "ann"))
            await soon(lambda: set(watcher.known) == {"ann"})
        await soon(lambda: watcher.left == ["ann"], LEASE + MARGIN)


def test_loops_one_after_the_other_leave_nobody_behind(kind: str, server: RedisServer, caplog: Any) -> None:
    layer: RedisLayer = LAYERS[kind]([server.url], presence={"lease": 60, "grace": 0.3})

    async def first() -> None:
        await Watcher().watch(layer)
        await tracked(layer, "ann")

    async def second() -> None:
        await tracked(layer, "bob")
        await soon_there(layer, "bob", seconds=5)
        await layer.close()

    asyncio.run(first())
    asyncio.run(second())
    assert errors(caplog) == []


async def test_the_owner_loop_ends_during_a_track(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        with another_loop() as loop:
            await loop.do(Watcher().watch(layer))
            assert layer._process.owners.current.loop is loop.loop  # type: ignore[union-attr]
            names = [layer.attach(lambda message: 1) for _ in range(30)]
            tracks = [
                asyncio.create_task(layer.presence_track(GROUP, name, key=f"user{number}"))
                for number, name in enumerate(names)
            ]
            await asyncio.sleep(0.01)
            ending = threading.Thread(target=loop.end)
            ending.start()
            await asyncio.wait(tracks)
            await anyio.to_thread.run_sync(ending.join)
        done = {f"user{number}" for number, task in enumerate(tracks) if task.exception() is None}
        await soon_there(layer, *done)
        assert len(done) > 20


async def test_closing_while_somebody_joins_is_not_waited_for(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        name = layer.attach(lambda message: 1)
        with anyio.fail_after(4):
            joining = asyncio.create_task(layer.presence_track(GROUP, name, key="ann"))
            await asyncio.sleep(0)
            await layer.close()
            await asyncio.wait([joining])


async def test_a_fork_has_a_presence_of_its_own(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        await tracked(layer, "ann")

        def fork() -> int:
            pid = os.fork()
            if pid:
                return os.waitpid(pid, 0)[1]
            try:

                async def work() -> None:
                    await tracked(layer, "bob")
                    assert set(await layer.presence(GROUP)) == {"ann", "bob"}
                    await layer.close()

                asyncio.run(work())
            except BaseException:
                os._exit(1)
            os._exit(0)

        thread: list[int] = []
        worker = threading.Thread(target=lambda: thread.append(fork()))
        worker.start()
        await anyio.to_thread.run_sync(worker.join)
        assert thread == [0]
        await soon_there(layer, "ann")
