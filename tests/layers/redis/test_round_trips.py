"""What is asked of Redis: one flow, whoever runs it."""

import asyncio
import signal
import time
from typing import Any

import anyio
import pytest
from redis.exceptions import ResponseError, TimeoutError

from consumers.layers.redis.layer import RedisLayer
from consumers.layers.redis.round_trips import Flow

from ...support.redis_layers import layer_on
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


def count(times: int, closed: list[bool]) -> Flow[list[Any]]:
    """Count in Redis, one round trip after the other."""
    found = []
    try:
        for _ in range(times):
            [[value]] = yield [(0, [("INCR", "counter")])]
            found.append(value)
    finally:
        closed.append(True)
    return found


async def test_a_flow_is_the_same_on_the_owner_loop_on_another_and_on_none(layer: RedisLayer) -> None:
    trips, closed = layer._process.trips, list[bool]()
    await layer._process.owners.ensure().until_ready()
    assert await trips.run(count(2, closed)) == [1, 2]
    assert await anyio.to_thread.run_sync(lambda: asyncio.run(trips.run(count(2, closed)))) == [3, 4]
    assert await anyio.to_thread.run_sync(lambda: trips.run_blocking(count(2, closed))) == [5, 6]
    assert closed == [True] * 3


@pytest.mark.parametrize("is_owner", [True, False])
async def test_a_flow_whose_command_fails_is_closed(layer: RedisLayer, is_owner: bool) -> None:
    trips, closed = layer._process.trips, list[bool]()

    def fail() -> Flow[None]:
        try:
            yield [(0, [("NONSENSE",)])]
        finally:
            closed.append(True)

    if is_owner:
        await layer._process.owners.ensure().until_ready()
    with pytest.raises(ResponseError):
        await trips.run(fail())
    assert closed == [True]


async def test_a_flow_asks_several_shards_at_once(kind: str, server: RedisServer, redis_server: RedisServer) -> None:
    def both() -> Flow[list[Any]]:
        replies = yield [(0, [("ECHO", "a"), ("ECHO", "b")]), (1, [("ECHO", "c")])]
        return replies

    async with layer_on(kind, server.port, redis_server.port) as layer:
        expected = [[b"a", b"b"], [b"c"]]
        assert await layer._process.trips.run(both()) == expected
        await layer._process.owners.ensure().until_ready()
        assert await layer._process.trips.run(both()) == expected


@pytest.mark.parametrize("is_owner", [True, False])
async def test_the_round_trips_of_a_flow_share_one_deadline(kind: str, server: RedisServer, is_owner: bool) -> None:
    async with layer_on(kind, server.port, timeout=1) as layer:
        if is_owner:
            await layer._process.owners.ensure().until_ready()

        def slow() -> Flow[None]:
            yield [(0, [("PING",)])]
            time.sleep(0.7)  # as if Redis had taken so long
            server.send_signal(signal.SIGSTOP)
            yield [(0, [("PING",)])]

        started = time.monotonic()
        try:
            with pytest.raises(TimeoutError, match="did not answer within 1 s"):
                await layer._process.trips.run(slow())
        finally:
            server.send_signal(signal.SIGCONT)
        assert time.monotonic() - started < 1.6  # and not 0.7 and a whole timeout
