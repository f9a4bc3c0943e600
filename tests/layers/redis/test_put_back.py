"""Messages that were taken from a queue, and go back."""

import time
from typing import Any

import pytest

from consumers.layers.redis.process import Process
from consumers.layers.redis.put_back import PutBack

from ...support.redis_layers import Make, layer_on, until
from ...support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.anyio


def number(value: int) -> dict[str, Any]:
    return {"type": "test", "number": value}


@pytest.fixture
async def process(make: Make) -> Process[Any]:
    process: Process[Any] = make("queue")._process
    return process


@pytest.fixture
def put_back(process: Process[Any]) -> PutBack:
    found: PutBack = process.exchange.put_back
    return found


def waiting(process: Process[Any], server: RedisServer) -> list[int]:
    with server.client(decode_responses=False) as client:
        codec = process.exchange._codec
        return [codec.decode(payload)["number"] for payload in client.zrange("asgijobs", 0, -1)]


async def test_messages_go_to_the_front_in_their_order(
    process: Process[Any], put_back: PutBack, redis_server: RedisServer
) -> None:
    await process.trips.run(put_back.putting_back("jobs", [(0.0, number(3))]))
    await process.trips.run(put_back.putting_back("jobs", [(0.2, number(1)), (0.1, number(2))]))
    assert waiting(process, redis_server) == [1, 2, 3]


async def test_an_entry_goes_to_where_it_was(
    process: Process[Any], put_back: PutBack, redis_server: RedisServer
) -> None:
    codec, now = process.exchange._codec, time.time()
    entries = {value: (b"asgijobs", codec.encode(number(value)), now + value) for value in (1, 2, 3)}
    for value in (3, 1):
        put_back.entry(0, "jobs", entries[value])
    put_back.entry(0, "jobs", entries[2])
    assert await put_back.wait(5)
    assert waiting(process, redis_server) == [1, 2, 3]


async def test_what_is_stored_here_goes_back_beside(
    process: Process[Any], put_back: PutBack, redis_server: RedisServer
) -> None:
    for value in (1, 2):
        process.local.send("jobs", number(value))
    put_back.stored("jobs")
    assert process.local.held("jobs") == 0
    await until(lambda: waiting(process, redis_server) == [1, 2])
    await put_back.wait(5)
    assert not await put_back.wait(5)


async def test_what_is_stored_at_the_end_goes_back_but_for_own_channels(
    process: Process[Any], put_back: PutBack, redis_server: RedisServer
) -> None:
    own = f"{process.head}n.x"
    process.local.send("jobs", number(1))
    process.local.send(own, number(2))
    await process.trips.run(put_back.all_stored())
    assert waiting(process, redis_server) == [1]
    assert process.local.held(own) == 1


async def test_what_cannot_go_back_stays_here() -> None:
    async with layer_on("queue", free_port(), timeout=0.3) as layer:
        process = layer._process
        for value in (1, 2):
            process.local.send("jobs", number(value))
        process.exchange.put_back.stored("jobs")
        await process.exchange.put_back.wait(5)
        assert process.local.held("jobs") == 2
        waiter = process.local.take("jobs", lambda: None)
        assert waiter.entry is not None and waiter.entry[1] == number(1)
        process.local.flush()
