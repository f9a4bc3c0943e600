"""What presence costs: round trips, messages, and how long a script keeps Redis from others."""

import asyncio
import statistics
from typing import Any

import anyio
import pytest

from consumers.layers.redis import presence_lua
from consumers.layers.redis.presence_scripts import Item, PresenceScripts

from ....support.redis_server import RedisServer
from ....support.slow import left_to_ci
from .support import GROUP, PRESENCE, Watcher, peer, processes, soon, soon_there, tracked

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["pubsub", *left_to_ci("queue")])
def kind(request: pytest.FixtureRequest) -> str:
    """Presence is the same code in both layers."""
    return str(request.param)


QUIET = {"presence": {"lease": 60, "grace": 5}}
LONGEST = 10_000
"""Microseconds that a script may take."""

MANY = 10_000


def calls(client: Any) -> dict[str, int]:
    """Return how often each command was called, those of scripts included."""
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}


def since(client: Any, before: dict[str, int], *names: str) -> dict[str, int]:
    now = calls(client)
    return {name: now.get(name, 0) - before.get(name, 0) for name in names}


async def test_a_track_is_one_round_trip_and_a_second_tab_tells_nobody(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url, **QUIET) as [layer]:
        watcher = await Watcher().watch(layer)
        await tracked(layer, "ann")
        await soon(lambda: set(watcher.known) == {"ann"})
        names = [layer.attach(lambda message: 1) for _ in range(3)]
        with server.client() as client:
            with client.monitor() as monitor:
                await layer.presence_track(GROUP, names[0], key="ann")
                await layer.presence_track(GROUP, names[1], key="bob")
                await layer.presence_update(GROUP, names[1], meta={"tab": 1})
                layer.group_send_sync(GROUP, {"type": "end"})
                seen: list[str] = []
                for entry in monitor.listen():
                    command, is_of_script = entry["command"].split()[0], entry["client_type"] == "lua"
                    if is_of_script and command == "PUBLISH":
                        seen.append("a message")
                    elif not is_of_script and command in ("EVAL", "PUBLISH"):
                        seen.append(command)
                    if len(seen) == 6:  # the last one sends the message
                        break
        assert seen[:5] == ["EVAL", "EVAL", "a message", "EVAL", "a message"]


async def test_a_group_is_joined_without_a_command_of_presence(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url, **QUIET) as [layer]:
        await Watcher().watch(layer)
        with server.client() as client:
            before = calls(client)
            for _ in range(10):
                await layer.group_add(GROUP, layer.attach(lambda message: 1))
            assert since(client, before, "eval", "publish") == {"eval": 0, "publish": 0}
            for number in range(10):
                await layer.group_add(f"room{number}", layer.attach(lambda message: 1))
            joins = 10 if kind == "queue" else 0
            assert since(client, before, "eval", "publish") == {"eval": joins, "publish": 0}


@pytest.mark.slow
async def test_a_heartbeat_costs_as_much_for_many_as_for_one(kind: str, server: RedisServer) -> None:
    counts = []
    async with processes(kind, 1, server.url, presence={"lease": 1, "grace": 5}, timeout=10) as [layer]:
        with server.client() as client:
            for many in (1, 999):
                names = [layer.attach(lambda message: 1) for _ in range(many)]
                tracks = (layer.presence_track(GROUP, name, key=f"user{i}") for i, name in enumerate(names))
                await asyncio.gather(*tracks)
                await anyio.sleep(0.5)
                before = calls(client)
                await anyio.sleep(2)
                counts.append(since(client, before, "eval", "zadd", "hget", "hset", "pexpire"))
    for count in counts:
        assert 2 <= count["eval"] <= 8  # lease / 3
        assert count["hget"] == count["hset"] == 0
        assert count["zadd"] == count["eval"]
        assert count["pexpire"] == 2 * count["eval"]


@pytest.mark.slow
async def test_no_script_is_long_though_a_great_process_dies(server: RedisServer) -> None:
    async with processes("pubsub", 2, server.url, timeout=30) as (one, two):
        watchers = [await Watcher().watch(layer) for layer in (one, two)]
        with server.client(decode_responses=False) as client:
            scripts = PresenceScripts("asgi", PRESENCE["grace"])
            client.execute_command(*scripts.beat("dead.1", 30, True))
            client.config_set("slowlog-log-slower-than", 1000)
            client.config_set("slowlog-max-len", 10_000)
            client.slowlog_reset()
            for start in range(0, MANY, presence_lua.AT_ONCE):
                names = [f"user{number}" for number in range(start, start + presence_lua.AT_ONCE)]
                items = [Item(GROUP, 0, f"dead!{n}", *one._seals.key(n), *one._seals.meta("{}")) for n in names]
                client.execute_command(*scripts.track("dead.1", items))
            assert await one.presence_count(GROUP) == MANY
            assert len(await two.presence(GROUP)) == MANY
            client.zadd("asgi__presence__:leases", {"dead.1": 1})
            one._process.exchange.presence._leases[0].beat_soon()
            two._process.exchange.presence._leases[0].beat_soon()
            await soon_there(one, seconds=30)
            slow = [entry["duration"] for entry in client.slowlog_get(10_000)]
        await soon(lambda: not any(watcher.known for watcher in watchers))
        print(f"of some 400 scripts {len(slow)} took over 1 ms: {sorted(slow)[-10:]} µs")
        # The machine takes moments from Redis: even a command of one may seem long. So most are what counts.
        assert len([duration for duration in slow if duration > LONGEST]) <= 2 * MANY / presence_lua.AT_ONCE / 10
        assert statistics.median([*slow, 0]) < LONGEST / 2


@pytest.mark.slow
async def test_those_who_watch_a_great_group_hear_once_per_moment(server: RedisServer) -> None:
    async with processes("pubsub", 1, server.url, timeout=30) as [layer]:
        watcher = await Watcher().watch(layer)
        with peer("pubsub", server.url, timeout=30) as other:
            await other.do("track_many", GROUP, 500)
            await soon(lambda: len(watcher.known) == 500)
        assert len([message for message in watcher if message["type"] == "presence.diff"]) <= 40
