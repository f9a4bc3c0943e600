"""Presence in more groups than can be looked after at once."""

import asyncio
import contextlib
import time

import anyio
import pytest

from consumers.layers.redis import presence_truths as truths_module
from consumers.layers.redis.layer import RedisLayer
from consumers.layers.redis.presence_lua import AT_ONCE
from consumers.layers.redis.presence_truths import Truths

from ....support.redis_server import RedisServer
from .support import processes, soon

pytestmark = pytest.mark.anyio


async def track_in(layer: RedisLayer, groups: list[str]) -> str:
    """Attach a channel and track it in groups; return its name."""
    name = layer.attach(lambda message: 1)
    await asyncio.gather(*(layer.presence_track(group, name, key="ann") for group in groups))
    return name


def groups(count: int) -> list[str]:
    return [f"room.{number}" for number in range(count)]


@pytest.mark.slow
async def test_keys_leave_many_groups_at_the_same_time(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        with server.client() as client:
            layer.detach(await track_in(layer, groups(5 * AT_ONCE)))
            started = time.monotonic()
            await soon(lambda: client.dbsize() <= 2)
            assert time.monotonic() - started < 5  # ten groups with each beat took a minute


async def test_nothing_is_kept_of_groups_in_which_somebody_was_tracked(kind: str, server: RedisServer) -> None:
    async with processes(kind, 2, server.url) as (one, two):
        await track_in(two, groups(10))
        presence = one._process.exchange.presence
        for number in range(10):
            name = one.attach(lambda message: 1)
            await one.presence_track(f"room.{number}", name, key="ann", meta={"tab": 2})
            await soon(lambda: presence._feeds.groups())
            await anyio.sleep(0.1)  # it has been told
            if number % 2:
                one.detach(name)
            else:
                await one.presence_untrack(f"room.{number}", name)
        assert presence._feeds.groups() == {}


async def test_groups_are_read_some_at_a_time_and_each_once() -> None:
    reading, most, read = 0, 0, []

    async def read_one(group: str) -> None:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0)
        reading -= 1
        read.append(group)

    truths = Truths(read_one)
    names = groups(3 * truths_module.AT_ONCE)
    for name in [*names, *names]:
        truths.want(name)
    task = asyncio.create_task(truths.read_forever())
    await soon(lambda: len(read) == len(names))
    assert sorted(read) == sorted(names)
    assert most == truths_module.AT_ONCE
    truths.want("late")
    await soon(lambda: read[-1] == "late")
    task.cancel()
    truths.want("never")
    truths.forget()
    task = asyncio.create_task(truths.read_forever())
    truths.want("again")
    await soon(lambda: read[-1] == "again")
    assert "never" not in read
    task.cancel()


@pytest.mark.slow
async def test_all_groups_are_read_after_a_flushall_and_others_are_not_kept_waiting(
    kind: str, server: RedisServer
) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        await track_in(layer, groups(500))
        await anyio.sleep(0.2)
        presence = layer._process.exchange.presence
        reads = most = 0
        read = presence._read_truth

        async def counted(group: str) -> None:
            nonlocal reads, most
            reads += 1
            most = max(most, reads)
            await read(group)
            reads -= 1

        for truths in presence._truths:
            truths._read = counted
        with server.client() as client:
            client.flushall()
        await soon(lambda: most > 0)
        await soon(lambda: not any(feed.is_read for feed in presence._feeds._feeds.values()))
        assert most <= truths_module.AT_ONCE


async def test_who_reads_lets_go_of_others_in_no_more_than_some_steps(kind: str, server: RedisServer) -> None:
    async with processes(kind, 1, server.url) as [layer]:
        sweep = layer._process.exchange.presence.reads.sweep(0, most=5)
        requests, steps = next(sweep), 0
        with contextlib.suppress(StopIteration):
            while True:
                steps += 1
                is_reap = len(requests[0][1][0]) == 6  # the script, how many keys, the base, the grace, and whose
                requests = sweep.send([[1]] if is_reap else [[[1, [b"a.1"], 0, 0]]])
        assert steps == 5
