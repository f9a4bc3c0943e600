"""What takes messages from the queues at one shard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from consumers.layers.redis.commands import Commands
from consumers.layers.redis.hosts import decode_hosts
from consumers.layers.redis.own_queues import Wanted
from consumers.layers.redis.queue_reader import Entry, QueueReader

from ...support.redis_layers import until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


class Queues:
    """Queues to take from; `taken` are the payloads that have come."""

    def __init__(self, *heads: str) -> None:
        self.heads = set(heads)
        self.names: list[str] = []
        self.taken: list[bytes] = []

    def wanted(self) -> Wanted:
        return Wanted(set(self.heads), set(self.heads))

    def named(self) -> list[str]:
        return self.names

    def on_entry(self, shard: int, entry: Entry) -> int:
        self.taken.append(entry[1])
        return 0

    async def after_others(self) -> None:
        pass


@asynccontextmanager
async def reading(server: RedisServer, queues: Queues) -> AsyncIterator[QueueReader]:
    """Take from a server's queues until the end of the block, and then what is left, as an owner loop does."""
    host = decode_hosts([server.url])[0]
    commands = Commands(host, 5)
    reader = QueueReader(host, 5, lambda is_up: None, commands, "own!", queues, 0, None)
    running = asyncio.create_task(reader.run())
    try:
        await reader.connection.until_up()
        yield reader
    finally:
        running.cancel()
        await asyncio.wait([running])
        if reader.connection.pipelined is not None:
            await reader.take_the_rest(reader.connection.pipelined)
        await reader.connection.hang_up()
        reader.end()
        await commands.close()


async def test_what_is_in_a_queue_is_taken_oldest_first(redis_server: RedisServer) -> None:
    queues = Queues("own!")
    with redis_server.client() as client:
        client.zadd("own!", {"second": 2, "first": 1})
        async with reading(redis_server, queues):
            await until(lambda: len(queues.taken) == 2)
            client.zadd("own!", {"third": 3})
            await until(lambda: len(queues.taken) == 3)
    assert queues.taken == [b"first", b"second", b"third"]


async def test_the_queues_of_one_channel_are_taken_in_the_order_of_sending(redis_server: RedisServer) -> None:
    queues = Queues("own!", "kind!")
    with redis_server.client() as client:
        client.zadd("own!", {"1": 1, "3": 3, "5": 5})
        client.zadd("kind!", {"2": 2, "4": 4, "6": 6})
        async with reading(redis_server, queues):
            await until(lambda: len(queues.taken) == 6)
    assert queues.taken == [b"1", b"2", b"3", b"4", b"5", b"6"]


async def test_a_queue_that_is_wanted_later_is_included_at_once(redis_server: RedisServer) -> None:
    queues = Queues()
    with redis_server.client() as client:
        async with reading(redis_server, queues) as reader:
            assert reader.hears_all
            queues.names.append("jobs")
            assert not reader.hears_all
            client.zadd("jobs", {"job": 1})
            with anyio.fail_after(2):  # the pop would wait longer
                await reader.update()
                await until(lambda: queues.taken == [b"job"])


async def test_the_end_takes_nothing_that_nobody_gets(redis_server: RedisServer) -> None:
    queues, sent = Queues("own!"), 0
    with redis_server.client() as client:
        for _ in range(5):
            async with reading(redis_server, queues):
                for _ in range(10):
                    sent += 1
                    client.zadd("own!", {str(sent): sent})
                    await asyncio.sleep(0)
        left = client.zcard("own!")
        client.delete("own!")
    assert len(queues.taken) + left == sent
    assert queues.taken == sorted(queues.taken, key=int)


async def test_a_lost_connection_that_redis_still_has_is_ended(redis_server: RedisServer) -> None:
    queues, host = Queues("own!"), decode_hosts([redis_server.url])[0]
    commands = Commands(host, 5)
    first = QueueReader(host, 5, lambda is_up: None, commands, "own!", queues, 0, None)
    reading_first = asyncio.create_task(first.run())
    await first.connection.until_up()
    reading_first.cancel()  # and its pop waits in Redis
    await asyncio.wait([reading_first])
    second = QueueReader(host, 5, lambda is_up: None, commands, "own!", queues, 0, first)
    reading_second = asyncio.create_task(second.run())
    await second.connection.until_up()
    pops = [entry for entry in redis_server.connections() if entry["cmd"] == "bzpopmin"]
    assert len(pops) <= 1  # the second's, if it has arrived
    reading_second.cancel()
    await asyncio.wait([reading_second])
    for reader in (first, second):
        await reader.connection.hang_up()
        reader.end()
    await commands.close()
