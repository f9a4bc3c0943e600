"""Who is there when Redis, or the way to it, fails."""

import asyncio
import contextlib
import signal
import time
from typing import Any

import anyio
import pytest
from redis.exceptions import RedisError

from consumers.layers.redis.layer import RedisLayer
from consumers.layers.redis.owner_loop import OwnerLoopEnded
from consumers.layers.redis.presence_scripts import as_texts

from ....support.proxy import proxying
from ....support.redis_layers import LAYERS, layer_on
from ....support.redis_server import RedisServer
from .support import GROUP, LEASE, PRESENCE, Members, Watcher, processes, soon, soon_there, tracked

pytestmark = pytest.mark.anyio

LONG = {"lease": 60, "grace": 0.3}


def presence_of(layer: RedisLayer) -> Any:
    return layer._process.exchange.presence


async def soon_reads(layer: RedisLayer, right: Members) -> None:
    """Wait until a layer reads just that; Redis may have to come back before."""
    with anyio.fail_after(10):
        while True:
            with contextlib.suppress(RedisError):
                if await layer.presence(GROUP) == right:
                    return
            await anyio.sleep(0.02)


async def test_all_are_there_again_when_redis_has_started_anew(kind: str, server: RedisServer) -> None:
    async with processes(kind, 2, server.url) as (one, two):
        watchers = [await Watcher().watch(layer) for layer in (one, two)]
        for layer, key in ((one, "ann"), (two, "bob"), (two, "ann")):
            await tracked(layer, key)
        gone = await tracked(two, "cat")
        await soon(lambda: all(set(watcher.known) == {"ann", "bob", "cat"} for watcher in watchers))
        server.stop()
        two.detach(gone)
        server.start()
        started = time.monotonic()
        await soon(lambda: all(set(watcher.known) == {"ann", "bob"} for watcher in watchers), 5)
        await soon_there(one, "ann", "bob")
        assert time.monotonic() - started < 5
        await tracked(one, "dan")
        await soon(lambda: all(set(watcher.known) == {"ann", "bob", "dan"} for watcher in watchers), 2)


async def test_who_died_while_redis_was_away_is_forgotten_by_members_that_only_read(
    kind: str, server: RedisServer
) -> None:
    async with processes(kind, 2, server.url) as (one, two):
        await tracked(two, "ann")
        watcher = await Watcher().watch(one)  # nothing has changed since: it has been told nothing
        assert set(watcher.known) == {"ann"}
        server.stop()
        await two.close()
        server.start()
        await soon(lambda: watcher.known == {}, 5)


@pytest.mark.parametrize("lease", [1, 60])
async def test_all_are_there_again_after_a_flushall(kind: str, server: RedisServer, lease: float) -> None:
    async with processes(kind, 2, server.url, presence={"lease": lease, "grace": 0.3}) as (one, two):
        watchers = [await Watcher().watch(layer) for layer in (one, two)]
        await tracked(one, "ann", tab=1)
        name = await tracked(two, "bob")
        await soon(lambda: all(set(watcher.known) == {"ann", "bob"} for watcher in watchers))
        with server.client() as client:
            client.flushall()
        if lease == 60:  # whoever tracks something finds out before the next beat
            await one.presence_update(GROUP, next(iter(presence_of(one)._tracked._groups_of)), meta={"tab": 2})
            await two.presence_update(GROUP, name, meta={"tab": 3})
        await soon_there(one, "ann", "bob", seconds=5)
        await soon(lambda: all(set(watcher.known) == {"ann", "bob"} for watcher in watchers), 3)
        assert await one.presence(GROUP) == watchers[0].known == watchers[1].known


async def test_a_redis_that_comes_back_older_is_put_right_though_leases_go_on(kind: str, server: RedisServer) -> None:
    server.stop()
    server.options = ("save 3600 1000000",)
    server.start()
    async with processes(kind, 2, server.url, presence=LONG) as (one, two):
        watchers = [await Watcher().watch(layer) for layer in (one, two)]
        await tracked(two, "ann")
        gone, changed = await tracked(one, "bob"), await tracked(one, "cat", tab=1)
        with server.client() as client:
            client.save()
        await tracked(one, "dan")
        one.detach(gone)
        await one.presence_update(GROUP, changed, meta={"tab": 2})
        right: Members = {"ann": [{}], "cat": [{"tab": 2}], "dan": [{}]}
        await soon(lambda: all(watcher.known == right for watcher in watchers))
        server.stop()
        server.start()
        with server.client() as client:
            assert client.zcard("asgi__presence__:leases") >= 2  # as the older one has them, they live
        await soon_reads(one, right)
        await soon(lambda: all(watcher.known == right for watcher in watchers), 3)


async def test_a_diff_that_was_lost_with_the_connection_is_made_good(kind: str, server: RedisServer) -> None:
    async with (
        proxying(server.port) as proxy,
        layer_on(kind, proxy.port, presence=LONG) as behind,
        layer_on(kind, server.port, presence=LONG) as direct,
    ):
        name = await tracked(direct, "ann")
        watcher = await Watcher().watch(behind)
        proxy.flowing.clear()
        proxy.cut()
        direct.detach(name)
        with anyio.fail_after(5):
            while await direct.presence(GROUP):  # until "ann" has left, and the group has no version any more
                await anyio.sleep(0.02)
        proxy.flowing.set()
        await soon(lambda: watcher.known == {}, 5)
        assert watcher.states == 1


async def test_who_cannot_ask_what_was_lost_asks_again(
    kind: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        proxying(server.port) as proxy,
        layer_on(kind, proxy.port, presence=LONG) as behind,
        layer_on(kind, server.port, presence=LONG) as direct,
    ):
        name = await tracked(direct, "ann")
        watcher = await Watcher().watch(behind)
        presence = presence_of(behind)
        original, failed = presence.on_return, asyncio.Event()

        async def on_return(shard: int) -> None:
            if not failed.is_set():
                failed.set()
                raise TimeoutError("Redis is slow")
            await original(shard)

        monkeypatch.setattr(presence, "on_return", on_return)
        proxy.flowing.clear()
        proxy.cut()
        direct.detach(name)
        await soon_there(direct)
        proxy.flowing.set()
        await failed.wait()
        await soon(lambda: watcher.known == {}, 5)


@pytest.mark.parametrize("text", ["", "x", "-5", "1e300", "9" * 40])
async def test_a_version_that_no_layer_has_written_keeps_nothing_from_members(
    kind: str, server: RedisServer, text: str
) -> None:
    async with layer_on(kind, server.port, presence=LONG) as layer:
        name = await tracked(layer, "ann")
        watcher = await Watcher().watch(layer)
        with server.client() as client:
            client.set("asgi__presence__{room}:version", text)
            presence = presence_of(layer)
            presence._leases[0].may_have_missed = True  # as after a reconnect
            presence._leases[0].beat_soon()
            await layer.presence_update("room", name, meta={"a": 1})
            assert await layer.presence("room") == {"ann": [{"a": 1}]}
            await soon(lambda: watcher.known == {"ann": [{"a": 1}]}, 5)
            await tracked(layer, "bob")
            await soon(lambda: set(watcher.known) == {"ann", "bob"}, 5)
            assert presence._leases[0].refusal is None


async def test_a_diff_that_follows_a_lost_one_hides_nothing(kind: str, server: RedisServer) -> None:
    """The connection is back, and the next change is heard before it is asked what was missed."""
    async with (
        proxying(server.port) as proxy,
        layer_on(kind, proxy.port, presence=LONG) as behind,
        layer_on(kind, server.port, presence=LONG) as direct,
    ):
        name = await tracked(direct, "ann")
        watcher = await Watcher().watch(behind)
        await tracked(behind, "eve", "other")
        presence = presence_of(behind)
        [lease] = presence._leases
        original, asked = lease._beat_once, asyncio.Event()

        async def beat_once(*arguments: Any) -> Any:
            await asked.wait()
            return await original(*arguments)

        lease._beat_once = beat_once
        proxy.flowing.clear()
        proxy.cut()
        direct.detach(name)
        with anyio.fail_after(5):
            while await direct.presence(GROUP):
                await anyio.sleep(0.02)
        proxy.flowing.set()
        with server.client() as client:
            await soon(lambda: client.pubsub_numsub("asgi__presence__") == [("asgi__presence__", 2)])
        before = presence._feeds.groups().get(GROUP)
        await tracked(direct, "cat")
        await soon(lambda: presence._feeds.groups().get(GROUP) != before)  # it has been heard
        asked.set()
        await soon(lambda: set(watcher.known) == {"cat"}, 3)


@pytest.mark.slow
async def test_who_ended_while_redis_was_away_for_long_is_kept_in_no_list(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url, timeout=0.3) as [layer]:
        await tracked(layer, "ann")
        await soon_there(layer, "ann")
        server.stop()
        stopped = time.monotonic()
        ended = presence_of(layer)._tracked._to_untrack
        while time.monotonic() - stopped < LEASE + 0.3:
            name = layer.attach(lambda message: 1)
            with pytest.raises(RedisError):
                await layer.presence_track(GROUP, name, key="bob")
            layer.detach(name)
            await anyio.sleep(0.05)
        await soon(lambda: not ended, 3)
        server.start()
        await soon_reads(layer, {"ann": [{}]})


async def test_a_layer_that_was_closed_while_redis_was_away_tracks_nothing_of_before(
    kind: str, server: RedisServer
) -> None:
    layer = LAYERS[kind]([server.url], presence=PRESENCE, timeout=0.3)
    await tracked(layer, "ann")
    server.stop()
    await layer.close()
    server.start()
    try:
        await tracked(layer, "bob")
        await soon_there(layer, "bob")
    finally:
        await layer.close()


async def test_a_track_that_redis_did_not_confirm_is_none(kind: str, server: RedisServer) -> None:
    async with (
        proxying(server.port) as proxy,
        layer_on(kind, proxy.port, presence=LONG, timeout=0.3) as behind,
        layer_on(kind, server.port, presence=LONG) as direct,
    ):
        watcher = await Watcher().watch(direct)
        first = await tracked(behind, "ann", tab=1)
        other = behind.attach(lambda message: 1)
        proxy.delay = 0.6  # Redis does it, and its answer comes too late
        with pytest.raises(RedisError):
            await behind.presence_track(GROUP, other, key="bob")
        with pytest.raises(ValueError, match="is not tracked"):
            await behind.presence_update(GROUP, other, meta={})
        proxy.delay = 0.0
        await soon_there(direct, "ann", seconds=10)
        await soon(lambda: watcher.known == {"ann": [{"tab": 1}]})
        proxy.delay = 0.6
        with pytest.raises(RedisError):
            await behind.presence_update(GROUP, first, meta={"tab": 2})
        proxy.delay = 0.0
        await soon(lambda: watcher.known == {"ann": [{"tab": 1}]}, 5)
        await soon_reads(direct, {"ann": [{"tab": 1}]})


@pytest.mark.slow
async def test_who_tracks_when_the_lease_has_ended_waits_for_redis_and_is_told_so(
    kind: str, server: RedisServer
) -> None:
    async with processes(kind, 1, server.url, timeout=0.5) as [layer]:
        name = await tracked(layer, "ann")
        lease = presence_of(layer)._leases[0]
        tries = 0
        prepare = lease.prepare

        async def counted(**arguments: Any) -> None:
            nonlocal tries
            tries += 1
            await prepare(**arguments)

        lease.prepare = counted
        server.send_signal(signal.SIGSTOP)
        try:
            await soon(lambda: lease.incarnation is None)
            with pytest.raises(RedisError) as failed:
                await layer.presence_track(GROUP, name, key="bob")
            assert not isinstance(failed.value, OwnerLoopEnded)
            assert tries == 1
        finally:
            server.send_signal(signal.SIGCONT)
        await soon_reads(layer, {"ann": [{}]})


async def test_members_hear_of_all_though_the_clock_of_redis_was_set_back(kind: str, server: RedisServer) -> None:
    async with processes(kind, 3, server.url, presence=LONG) as (one, two, three):
        watcher = await Watcher().watch(one)
        with server.client() as client:  # as if it had been an hour ahead until now
            ahead = client.time()[0] * 10**6 + 3600 * 10**6
            client.set(f"asgi__presence__{{{GROUP}}}:version", ahead)
        name = await tracked(two, "ann")
        await soon(lambda: watcher.version == ahead + 1)
        two.detach(name)
        await soon(lambda: watcher.left == ["ann"])
        version = watcher.version
        await tracked(three, "bob")
        await soon(lambda: set(watcher.known) == {"bob"}, 5)
        await tracked(three, "cat")
        await soon(lambda: set(watcher.known) == {"bob", "cat"}, 5)
        assert watcher.version > version


@pytest.mark.parametrize("payload", [b"400:" + b"9" * 400, b"", b"\xff", b"2:-5"])
async def test_what_nobody_of_this_library_has_published_cuts_no_connection(
    kind: str, server: RedisServer, payload: bytes
) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        watcher = await Watcher().watch(layer)
        before = {each["id"] for each in server.connections()}
        with server.client() as client:
            client.publish("asgi__presence__", payload)
        await tracked(layer, "ann")
        await soon(lambda: set(watcher.known) == {"ann"})
        assert before <= {each["id"] for each in server.connections()}


@pytest.mark.parametrize("meta", [b"{no", b"5", b"[" * 100_000, b'{"a":' * 100 + b"1" + b"}" * 100])
async def test_a_meta_that_no_layer_has_written_keeps_nothing_else_from_members(
    kind: str, server: RedisServer, meta: bytes
) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        watcher = await Watcher().watch(layer)
        await tracked(layer, "ann")
        await soon(lambda: set(watcher.known) == {"ann"})
        version = watcher.version
        texts = [b"%d" % (version + 1), b"%d" % version, b"2", b"joins", b"bob", b"1", meta]
        with server.client() as client:
            client.publish("asgi__presence__", as_texts(GROUP.encode(), *texts))
        await soon(lambda: watcher.known == {"ann": [{}], "bob": []})
