"""The subscriptions of a process at one shard."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio
import pytest
from redis.exceptions import NoPermissionError

from consumers.layers.redis.hosts import decode_hosts
from consumers.layers.redis.subscriptions import Subscriptions

from ...support.redis_layers import until
from ...support.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.anyio


class Wanted:
    """Names that are wanted; `heard` is what has come by them."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.heard: list[tuple[str, bytes]] = []
        self.refused: list[str] = []

    def wanted(self, shard: int) -> Iterable[str]:
        return {name for name in self.names if not name.startswith("own!")}

    def own(self, shard: int) -> Iterable[str]:
        return self.names

    def is_wanted(self, name: str) -> bool:
        return name in self.names

    def together(self, name: str) -> list[str]:
        return [name]

    def begins(self, shard: int) -> None: ...

    def does_without(self, name: str) -> bool:
        self.refused.append(name)
        return True

    def on_message(self, channel: str, payload: bytes) -> int:
        self.heard.append((channel, payload))
        return 0


@asynccontextmanager
async def hearing(url: str, wanted: Wanted) -> AsyncIterator[Subscriptions]:
    """Hear from a server until the end of the block."""
    subscriptions = Subscriptions(decode_hosts([url])[0], 5, lambda is_up: None, "own!*", wanted, 0)
    running = asyncio.create_task(subscriptions.run())
    try:
        await subscriptions.connection.until_up()
        yield subscriptions
    finally:
        running.cancel()
        await asyncio.wait([running])
        await subscriptions.connection.hang_up()
        subscriptions.end()


async def test_what_is_wanted_is_subscribed_to_before_it_is_up(redis_server: RedisServer) -> None:
    wanted = Wanted("first", "second")
    async with hearing(redis_server.url, wanted) as subscriptions:
        assert subscriptions.is_subscribed("first") and subscriptions.is_subscribed("second")
        with redis_server.client() as client:
            client.publish("first", "1")
            client.publish("other", "2")
            client.publish("own!x", "3")
            client.publish("second", "4")
        await until(lambda: len(wanted.heard) == 3)
    assert wanted.heard == [("first", b"1"), ("own!x", b"3"), ("second", b"4")]


async def test_names_come_and_go(redis_server: RedisServer) -> None:
    wanted = Wanted()
    with redis_server.client() as client:
        async with hearing(redis_server.url, wanted) as subscriptions:
            wanted.names.add("late")
            await subscriptions.until_subscribed("late")
            assert client.publish("late", "1") == 1
            await until(lambda: wanted.heard == [("late", b"1")])
            wanted.names.clear()
            subscriptions.update_all()
            await until(lambda: client.pubsub_channels() == [])


async def test_a_name_that_is_wanted_again_at_once_stays_subscribed_to(redis_server: RedisServer) -> None:
    wanted = Wanted("name")
    with redis_server.client() as client:
        async with hearing(redis_server.url, wanted) as subscriptions:
            wanted.names.clear()
            subscriptions.update("name")
            wanted.names.add("name")
            await subscriptions.until_subscribed("name")
            assert client.publish("name", "1") == 1


async def test_all_that_is_wanted_is_subscribed_to_again_by_a_new_connection(server: RedisServer) -> None:
    wanted = Wanted("name")
    async with hearing(server.url, wanted) as subscriptions:
        server.stop()
        await until(lambda: not subscriptions.connection.is_up)
        wanted.names.add("meanwhile")
        server.start()
        await subscriptions.connection.until_up()
        with server.client() as client:
            assert sorted(client.pubsub_channels()) == ["meanwhile", "name"]


async def test_a_refused_pattern_is_replaced_by_names_and_a_refused_name_is_told() -> None:
    wanted = Wanted("name", "own!x", "forbidden")
    with running_redis("user default on nopass ~* &name &own!x +@all") as server:
        async with hearing(server.url, wanted) as subscriptions:
            assert subscriptions.is_by_name
            assert subscriptions.is_subscribed("own!x")
            assert wanted.refused == ["forbidden"]
            wanted.names.add("late")
            with pytest.raises(NoPermissionError, match="refuses channel 'late'"):
                await subscriptions.until_subscribed("late")


async def test_what_was_published_before_the_end_is_handed_over(redis_server: RedisServer) -> None:
    wanted = Wanted("name")
    subscriptions = Subscriptions(decode_hosts([redis_server.url])[0], 5, lambda is_up: None, "own!*", wanted, 0)
    running = asyncio.create_task(subscriptions.run())
    await subscriptions.connection.until_up()
    running.cancel()
    await asyncio.wait([running])
    with redis_server.client() as client:
        client.publish("name", "1")
    pipelined = subscriptions.connection.pipelined
    assert pipelined is not None
    with anyio.fail_after(5):
        await subscriptions.take_the_rest(pipelined)
    assert wanted.heard == [("name", b"1")]
    await subscriptions.connection.hang_up()
