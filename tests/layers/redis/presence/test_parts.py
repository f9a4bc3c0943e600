"""The parts that presence on Redis is made of, each by itself."""

import asyncio
import threading
from typing import Any

import anyio
import pytest
from redis.exceptions import ConnectionError, NoPermissionError, ResponseError, TimeoutError

from consumers.layers._local import LocalChannels
from consumers.layers.redis import lease as lease_module
from consumers.layers.redis.control import Control
from consumers.layers.redis.hosts import Host
from consumers.layers.redis.presence_lua import AT_ONCE
from consumers.layers.redis.presence_scripts import as_texts
from consumers.layers.redis.presence_tracked import Tracked

from ....support.redis_layers import LAYERS, layer_on
from ....support.redis_server import RedisServer, running_redis
from .support import GROUP, LEASE, PRESENCE, Watcher, processes, soon, soon_there, tracked

pytestmark = pytest.mark.anyio

ANN, BOB = ("ann", "{}"), ("bob", "{}")


def everywhere(group: str) -> bool:
    return True


@pytest.fixture
def local() -> LocalChannels:
    return LocalChannels(lambda name: 100, 60, 60, "own!", lambda: 0.0)


def test_what_is_tracked_and_what_redis_is_yet_to_be_told(local: LocalChannels) -> None:
    known = Tracked(local)
    assert known.track("room", "x", ANN) is None
    assert known.track("hall", "x", ANN) is None
    assert known.track("room", "x", BOB) == ANN
    assert (known.get("room", "x"), known.channels("room"), known.has("room")) == (BOB, ["x"], True)
    assert sorted(known.of(everywhere)) == [("hall", "x"), ("room", "x")]
    assert known.of(lambda group: group == "hall") == [("hall", "x")]
    assert known.untrack("room", "x")
    assert not known.untrack("room", "x")
    assert known.take_to_untrack(lambda group: group == "hall") == []
    assert known.end("x")
    assert not known.end("x")
    assert known.groups_to_untrack() == {"room", "hall"}
    assert sorted(known.take_to_untrack(everywhere)) == [("hall", "x"), ("room", "x")]
    assert not known.has_any()


def test_a_track_that_failed_is_undone_unless_another_has_followed(local: LocalChannels) -> None:
    known = Tracked(local)
    known.track("room", "x", ANN)
    known.restore("room", "x", ANN, None)
    assert (known.get("room", "x"), known.take_to_untrack(everywhere)) == (None, [("room", "x")])
    known.track("room", "x", ANN)
    before = known.track("room", "x", BOB)
    known.restore("room", "x", BOB, before)
    assert (known.get("room", "x"), known.take_unsure(everywhere)) == (ANN, [("room", "x")])
    failed = ("cat", "{}")
    before = known.track("room", "x", failed)
    known.track("room", "x", BOB)
    known.restore("room", "x", failed, before)
    assert (known.get("room", "x"), known.take_unsure(everywhere)) == (BOB, [("room", "x")])
    known.track("room", "x", failed)
    known.end("x")
    known.restore("room", "x", failed, BOB)
    assert (known.get("room", "x"), set(known.take_to_untrack(everywhere))) == (None, {("room", "x")})


def test_what_could_not_be_told_is_told_as_it_is_then(local: LocalChannels) -> None:
    known = Tracked(local)
    known.track("room", "x", ANN)
    known.end("x")
    ended = known.take_to_untrack(everywhere)
    known.track("room", "x", BOB)
    known.put_back([*ended, ("room", "y")])
    assert known.take_unsure(everywhere) == [("room", "x")]
    assert known.take_to_untrack(everywhere) == [("room", "y")]


async def test_threads_track_and_end_at_once_and_leave_nothing(local: LocalChannels) -> None:
    known = Tracked(local)
    local._ended = known.end
    names = [f"own!{number}" for number in range(200)]
    for name in names:
        local.attach(name, lambda message: 1)

    def track() -> None:
        for name in names:
            for group in ("room", "hall"):
                try:
                    known.track(group, name, ANN)
                except RuntimeError:
                    break

    def end() -> None:
        for name in names:
            local.detach(name)

    threads = [threading.Thread(target=work) for work in (track, end, track)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    assert known.of(everywhere) == []
    assert not known._groups_of


def lease_of(layer: Any) -> Any:
    [lease] = layer._process.exchange.presence._leases
    return lease


async def test_a_refusal_is_told_once_and_recovered_from(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease_module, "REFUSED_RETRY", 0.1)
    caplog.set_level("INFO", "consumers.layers")
    with running_redis() as server, server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-time")  # which only scripts of presence use
        async with processes(kind, 1, server.url) as [layer]:
            name = layer.attach(lambda message: 1)
            await layer.group_add(GROUP, name)  # which needs none of it
            with pytest.raises(ResponseError, match="can't run this command"):
                await layer.presence_track(GROUP, name, key="ann")
            await anyio.sleep(0.3)
            client.execute_command("ACL", "SETUSER", "default", "+@all")
            await soon(lambda: lease_of(layer).refusal is None)
            await layer.presence_track(GROUP, name, key="ann")
            await soon_there(layer, "ann")
        assert len([record for record in caplog.records if "presence and counts do not work" in record.message]) == 1


async def test_names_that_are_refused_are_asked_for_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "REFUSED_RETRY", 0.1)
    with running_redis() as server, server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "resetchannels", "&asgi__group__*", "&asgi*!*", "&*:close")
        async with processes(kind, 1, server.url) as [layer]:
            name = layer.attach(lambda message: 1)
            await layer.group_add(GROUP, name)
            with pytest.raises(NoPermissionError):
                await layer.presence_track(GROUP, name, key="ann")
            client.execute_command("ACL", "SETUSER", "default", "allchannels")
            await soon(lambda: lease_of(layer).refusal is None)
            await layer.presence_track(GROUP, name, key="ann")


async def test_a_lease_is_renewed_while_long_work_is_done(kind: str, server: RedisServer) -> None:
    async with processes(kind, 2, server.url) as (one, two):
        await tracked(one, "ann")
        watcher = await Watcher().watch(two)
        presence, lease = one._process.exchange.presence, lease_of(one)
        before, original = lease.incarnation, presence.on_beat

        async def on_beat(shard: int) -> None:
            await asyncio.sleep(2 * LEASE)
            await original(shard)

        presence.on_beat = on_beat
        lease.beat_soon()
        await anyio.sleep(2.5 * LEASE)
        presence.on_beat = original
        assert (lease.incarnation, watcher.left) == (before, [])


async def test_a_lease_that_is_forgotten_begins_anew(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        await tracked(layer, "ann")
        before = lease_of(layer).incarnation
        await layer.close()
        assert lease_of(layer).incarnation is None
        await tracked(layer, "bob")
        assert lease_of(layer).incarnation not in (None, before)
        await soon_there(layer, "bob")


async def test_a_redis_that_cannot_be_reached_is_waited_for_no_longer_than_the_timeout(
    kind: str, server: RedisServer
) -> None:
    server.stop()
    layer = LAYERS[kind]([server.url], timeout=0.3)
    name = layer.attach(lambda message: 1)
    with anyio.fail_after(3), pytest.raises(ConnectionError):
        await layer.presence_track(GROUP, name, key="ann")
    await layer.close()


async def test_the_control_connection_subscribes_again(server: RedisServer) -> None:
    heard: list[tuple[str, bytes]] = []
    changes: list[bool] = []
    host = Host({"host": "127.0.0.1", "port": server.port})
    control = Control(host, 1, ["one", "two"], changes.append, lambda *message: heard.append(message))
    running = asyncio.create_task(control.run())
    with server.client() as client:
        await control.connection.until_up()
        client.publish("one", "a")
        client.publish("three", "b")
        client.client_kill_filter(_type="pubsub")
        await soon(lambda: changes == [False, True])
        client.publish("two", "c")
        await soon(lambda: heard == [("one", b"a"), ("two", b"c")])
    running.cancel()
    await asyncio.wait([running])
    assert server.connections() == []


async def test_counts_and_channels_are_those_of_all_processes(kind: str, server: RedisServer) -> None:
    async with processes(kind, 3, server.url) as layers:
        names = {layer.attach(lambda message: 1) for layer in layers[:1]}
        for layer in layers:
            names.add((await Watcher().watch(layer)).name)
        [name] = names - {each for layer in layers for each in layer.groups.get(GROUP, ())}
        await layers[0].group_add(GROUP, name)
        for layer in layers:
            assert await layer.group_channels(GROUP) == names
            assert await layer.group_count(GROUP) == 4
            assert await layer.group_count("empty") == 0
        idle = LAYERS[kind]([server.url])
        assert await idle.group_count(GROUP) == 4
        await idle.close()
        with server.client() as client:
            await soon(lambda: client.keys("*:answers:*") == [])


async def test_who_answers_too_late_is_no_part_of_the_next_answer(kind: str, server: RedisServer) -> None:
    async with layer_on(kind, server.port, presence=PRESENCE, timeout=0.4) as one, layer_on(kind, server.port) as two:
        for layer in (one, two):
            await Watcher().watch(layer)
        answer = two._process.exchange.presence.members.answer
        asked: list[tuple[Any, ...]] = []

        async def keep(*question: Any) -> None:
            asked.append(question)

        two._process.exchange.presence.members.answer = keep
        with pytest.raises(TimeoutError, match=f"'{GROUP}'"):
            await one.group_count(GROUP)
        two._process.exchange.presence.members.answer = answer
        await answer(*asked[0])
        assert await one.group_count(GROUP) == 2
        await answer(0, as_texts(b"no", b"question"))


async def test_who_is_tracked_again_while_many_are_untracked_stays(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        names = [f"worker.{number}" for number in range(3 * AT_ONCE)]
        await asyncio.gather(*(layer.presence_track(GROUP, name, key=name) for name in names))
        presence: Any = layer._process.exchange.presence
        for name in names:
            presence._tracked.untrack(GROUP, name)  # as if Redis could not be told for a while
        telling = asyncio.create_task(presence._writes.write_untracks(0))
        await asyncio.sleep(0)
        await asyncio.gather(*(layer.presence_track(GROUP, name, key=name) for name in names))
        await telling
        there = await layer.presence(GROUP)
        assert len(there) == len(names)
        assert all(metas == [{}] for metas in there.values())
