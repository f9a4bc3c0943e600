"""What must not reach a layer's connections, or disturb those that share them."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio.lowlevel
import pytest
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from consumers.layers.redis.commands import BlockingCommands, Commands, as_pattern
from consumers.layers.redis.hosts import decode_hosts

from ...support.redis_layers import LAYERS, Make, Member, send, until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["\ud800", None, 5, b"room"])
async def test_a_name_without_bytes_is_refused_and_harms_nobody(make: Make, kind: str, name: Any) -> None:
    layer = make(kind, validate_names=False)
    member = await Member().join(layer)
    for call in (
        layer.send(name, {"type": "test"}),
        layer.group_send(name, {"type": "test"}),
        layer.group_add(name, member.name),
        layer.group_discard(name, member.name),
        layer.receive(name),
    ):
        with pytest.raises(TypeError, match="name must be a string that UTF-8 has bytes for"):
            await call
    assert layer.groups == {"room": {member.name}}
    assert await send(layer, 1, 2) == [1, 2]
    await until(lambda: member.numbers == [1, 2])


async def test_a_command_without_bytes_leaves_the_replies_of_others_in_their_order(make: Make, kind: str) -> None:
    layer = make(kind)
    await Member().join(layer)
    commands = layer._process.owners.current.commands[0]
    with pytest.raises(UnicodeEncodeError):
        await commands.run([("ECHO", "\ud800")])
    assert await commands.run([("ECHO", "a")]) == [b"a"]


async def test_a_group_named_after_a_channel_gets_each_message_once(make: Make) -> None:
    layer = make("pubsub", validate_names=False)
    member = await Member().join(layer)
    group = f"of_{member.name}"
    await layer.group_add(group, member.name)
    await layer.group_send(group, {"type": "test", "number": 1})
    await layer.group_send("room", {"type": "test", "number": 2})
    await until(lambda: 2 in member.numbers)
    assert member.numbers == [1, 2]
    assert layer._process.local.channels() == {member.name: 0}


async def test_a_closed_layer_opens_no_connection_for_what_runs_late(
    make: Make, kind: str, redis_server: RedisServer
) -> None:
    layer = make(kind)
    await Member().join(layer)
    owner = layer._process.owners.current
    await layer.close()
    with pytest.raises(ConnectionError, match="the layer was closed"):
        await owner.run(0, [("PING",)], time.monotonic() + 5)
    assert redis_server.connections() == []


# Commands of their own


@pytest.fixture
async def commands(redis_server: RedisServer, anyio_backend: str) -> AsyncIterator[Commands]:
    commands = Commands(decode_hosts([redis_server.url])[0], timeout=5)
    yield commands
    await commands.close()


async def test_commands_of_many_tasks_share_one_connection(commands: Commands, redis_server: RedisServer) -> None:
    replies = await asyncio.gather(*(commands.run([("ECHO", str(number)), ("PING",)]) for number in range(50)))
    assert replies == [[str(number).encode(), b"PONG"] for number in range(50)]
    assert len(redis_server.connections()) == 1


async def test_the_first_command_that_fails_is_the_error_of_all_that_are_run_together(commands: Commands) -> None:
    fine = asyncio.create_task(commands.run([("PING",)]))
    with pytest.raises(ResponseError, match="FIRST") as caught:
        await commands.run([("PING",), ("FIRST",), ("SECOND",)])
    assert caught.value.__notes__ == [f"Redis at {commands._host} answered so"]
    assert await fine == [b"PONG"]


async def test_the_next_command_opens_another_connection_when_one_is_lost(server: RedisServer) -> None:
    commands = Commands(decode_hosts([server.url])[0], timeout=5)
    await commands.run([("PING",)])
    server.stop()
    with pytest.raises(ConnectionError, match="No connection to Redis at"):
        while True:  # it may not have been noticed yet
            await commands.run([("PING",)])
    server.start()
    assert await commands.run([("PING",)]) == [b"PONG"]
    await commands.close()


async def test_a_dead_connection_is_given_up_by_a_probe(server: RedisServer) -> None:
    commands = Commands(decode_hosts([server.url])[0], timeout=5)
    await commands.probe(0.1)  # none is open
    await commands.run([("PING",)])
    await commands.probe(5)
    assert len(server.connections()) == 1
    server.send_signal(signal.SIGSTOP)
    try:
        await commands.probe(0.1)
    finally:
        server.send_signal(signal.SIGCONT)
    await until(lambda: server.connections() == [])
    await commands.close()


async def test_blocking_commands_keep_a_connection_for_the_next(redis_server: RedisServer) -> None:
    blocking = BlockingCommands(decode_hosts([redis_server.url])[0], timeout=5)
    for _ in range(3):
        assert blocking.run([("ECHO", "a"), ("PING",)], time.monotonic() + 5) == [b"a", b"PONG"]
    assert len(redis_server.connections()) == 1
    with pytest.raises(ResponseError):
        blocking.run([("NONSENSE",)], time.monotonic() + 5)
    with pytest.raises(TimeoutError, match="did not answer within 5 s"):
        blocking.run([("PING",)], time.monotonic() - 1)
    blocking.close()
    await until(lambda: redis_server.connections() == [])


@pytest.mark.parametrize("text", ["plain", "a*b?[c]", "\\^-", ""])
async def test_a_pattern_matches_its_text_alone(text: str, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.mset({f"{text}!": 1, "else": 1, "aab!c": 1})
        assert client.keys(as_pattern(text) + "!") == [f"{text}!"]
        client.flushall()


async def test_commands_are_executed_in_their_order_while_the_connection_is_opened(server: RedisServer) -> None:
    commands = Commands(LAYERS["queue"]([server.url]).hosts[0], timeout=5)
    first = asyncio.create_task(commands.run([("RPUSH", "order", "first")]))
    while commands._pipelined is None:
        await anyio.lowlevel.checkpoint()
    await commands.run([("RPUSH", "order", "second")])
    await first
    await commands.close()
    with server.client() as client:
        assert client.lrange("order", 0, -1) == ["first", "second"]


async def test_commands_that_nobody_waits_for_when_the_connection_opens_are_not_executed(server: RedisServer) -> None:
    commands = Commands(LAYERS["queue"]([server.url]).hosts[0], timeout=5)
    given_up, kept = (asyncio.create_task(commands.run([("INCR", key)])) for key in ("given up", "kept"))
    await anyio.lowlevel.checkpoint()
    given_up.cancel()
    assert await kept == [1]
    await commands.close()
    with server.client() as client:
        assert client.keys() == ["kept"]
