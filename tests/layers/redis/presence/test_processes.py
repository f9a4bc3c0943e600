"""Who is there when processes are killed, hang, end and come back: real processes, and a real Redis."""

import os
import signal
import time

import anyio
import pytest
from redis.exceptions import TimeoutError

from ....support.redis_server import RedisServer
from ....support.slow import left_to_ci
from .support import GROUP, LEASE, MARGIN, PRESENCE, Watcher, peer, processes, soon, soon_there, tracked

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["pubsub", *left_to_ci("queue")])
def kind(request: pytest.FixtureRequest) -> str:
    """Presence is the same code in both layers."""
    return str(request.param)


async def test_those_of_a_killed_process_leave_once_and_soon(kind: str, server: RedisServer) -> None:
    async with processes(kind, 2, server.url) as (one, two):
        with peer(kind, server.url) as other:
            for key in ("ann", "bob"):
                await other.do("track", GROUP, key)
            await tracked(one, "cat")
            await other.do("watch", GROUP)
            watchers = [await Watcher().watch(layer) for layer in (one, two)]
            assert set(watchers[0].known) == {"ann", "bob", "cat"}
            assert await one.group_count(GROUP) == 3
            other.process.kill()
            killed = time.monotonic()
            await soon(lambda: other.process.poll() is not None)
            assert await one.group_count(GROUP) == 2
            await soon(lambda: all(set(watcher.known) == {"cat"} for watcher in watchers), LEASE + MARGIN)
            assert time.monotonic() - killed < LEASE + MARGIN
            assert await one.presence_count(GROUP) == 1
            await anyio.sleep(PRESENCE["grace"] + 0.2)
            for watcher in watchers:
                assert sorted(watcher.left) == ["ann", "bob"]
                assert not {"ann", "bob"} & {*watcher.joined, *watcher.updated}


@pytest.mark.slow
async def test_a_process_that_has_hung_is_there_again_without_a_double(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url, timeout=0.5) as [layer]:
        with peer(kind, server.url, timeout=0.5) as other:
            await other.do("track", GROUP, "ann", {"tab": 1})
            await other.do("watch", GROUP)
            watcher = await Watcher().watch(layer)
            before = await other.do("incarnation")
            os.kill(other.pid, signal.SIGSTOP)
            stopped = time.monotonic()
            with pytest.raises(TimeoutError, match=f"'{GROUP}'"):
                await layer.group_count(GROUP)
            await soon(lambda: watcher.left == ["ann"], LEASE + MARGIN)
            started = time.monotonic()
            assert await layer.group_count(GROUP) == 1
            assert time.monotonic() - started < 0.3
            await anyio.sleep(max(0, stopped + 1.5 * LEASE - time.monotonic()))
            os.kill(other.pid, signal.SIGCONT)
            await soon(lambda: watcher.known == {"ann": [{"tab": 1}]})
            assert await other.do("incarnation") not in (None, before)
            await anyio.sleep(LEASE + 0.3)  # what is left of the earlier one has been let go of
            assert await layer.presence(GROUP) == watcher.known == {"ann": [{"tab": 1}]}
            assert (watcher.joined, watcher.left) == (["ann"], ["ann"])
            with anyio.fail_after(5):
                while await other.do("known", GROUP) != watcher.known:
                    await anyio.sleep(0.05)
            assert await layer.group_count(GROUP) == 2


@pytest.mark.slow
async def test_a_process_that_closes_leaves_its_members_to_others(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        with peer(kind, server.url) as other:
            await other.do("track", GROUP, "ann")
            await other.do("track", GROUP, "bob")
            watcher = await Watcher().watch(layer)
            closed = time.monotonic()
            await other.do("close")
            await tracked(layer, "ann")
            await soon(lambda: set(watcher.known) == {"ann"})
            assert time.monotonic() - closed >= PRESENCE["grace"]
            await anyio.sleep(0.3)
            assert (watcher.joined, watcher.left, watcher.updated) == ([], ["bob"], [])
            await soon_there(layer, "ann")


@pytest.mark.slow
async def test_a_process_that_ends_without_closing_does_the_same(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url, presence={"lease": 60, "grace": 0.3}) as [layer]:
        with peer(kind, server.url, presence={"lease": 60, "grace": 0.3}) as other:
            await other.do("track", GROUP, "ann")
            watcher = await Watcher().watch(layer)
            assert other.process.stdin is not None
            print('["end"]', file=other.process.stdin, flush=True)
            await soon(lambda: watcher.left == ["ann"], 5)
            await soon_there(layer)


@pytest.mark.slow
async def test_clocks_an_hour_apart_change_nothing(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        with peer(kind, server.url, ahead=3600) as ahead, peer(kind, server.url, ahead=-3600) as behind:
            await ahead.do("track", GROUP, "ann")
            await behind.do("track", GROUP, "bob")
            for other in (ahead, behind):
                await other.do("watch", GROUP)
            watcher = await Watcher().watch(layer)
            name = await tracked(layer, "cat")
            await soon(lambda: set(watcher.known) == {"ann", "bob", "cat"})
            layer.detach(name)
            await soon(lambda: watcher.left == ["cat"])
            await anyio.sleep(2 * LEASE)
            assert watcher.left == ["cat"]
            ahead.process.kill()
            await soon(lambda: watcher.left == ["cat", "ann"], LEASE + MARGIN)
            with anyio.fail_after(5):
                while set(await behind.do("known", GROUP)) != {"bob"}:
                    await anyio.sleep(0.05)
