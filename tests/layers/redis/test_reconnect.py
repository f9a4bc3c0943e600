"""A connection that is opened as often as it is lost."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from redis.exceptions import ConnectionError

from consumers.layers.redis.hosts import decode_hosts
from consumers.layers.redis.reconnect import ReconnectingConnection

from ...support.redis_layers import lines, until
from ...support.redis_server import RedisServer, free_port, running_redis

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def kept(port: int, changes: list[bool], timeout: float = 5) -> AsyncIterator[ReconnectingConnection]:
    """Keep a connection open until the end of the block, as receivers do."""
    connection = ReconnectingConnection(decode_hosts([f"redis://127.0.0.1:{port}"])[0], timeout, changes.append)

    async def run() -> None:
        while True:
            pipelined = await connection.open()
            connection.note_up()
            try:
                await pipelined.read()
            except Exception as error:
                reason = error
            await connection.lose(reason)

    running = asyncio.create_task(run())
    try:
        yield connection
    finally:
        running.cancel()
        await asyncio.wait([running])
        await connection.hang_up()


async def test_who_waits_for_it_is_told_when_it_is_up(redis_server: RedisServer) -> None:
    changes: list[bool] = []
    async with kept(redis_server.port, changes) as connection:
        assert not connection.is_up
        await connection.until_up()
        assert connection.is_up and connection.has_been_up
        assert connection.pipelined is not None and connection.pipelined.is_open
    assert changes == []  # nothing was lost


async def test_it_is_opened_again_when_its_server_is_back(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[bool] = []
    async with kept(server.port, changes) as connection:
        await connection.until_up()
        server.stop()
        await until(lambda: changes == [False])
        assert not connection.is_up
        server.start()
        await connection.until_up()
        assert changes == [False, True]
    lost, back = lines(caplog)
    assert "no connection, trying again and again" in lost
    assert "connected again after" in back and "messages may have been missed" in back


async def test_a_server_that_is_not_there_yet_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    changes: list[bool] = []
    port = free_port()
    async with kept(port, changes, timeout=0.3) as connection:
        with pytest.raises(ConnectionError, match=f"No connection to Redis at 127.0.0.1:{port}: "):
            await connection.until_up()
        with running_redis(port=port):
            await until(lambda: connection.is_up)
    assert changes[:2] == [False, True]
    assert "messages may have been missed" not in lines(caplog)[1]  # there were none to miss


async def test_who_waits_when_it_is_over_is_told_so(redis_server: RedisServer) -> None:
    async with kept(redis_server.port, []) as connection:
        await connection.until_up()
        connection.end()
        with anyio.fail_after(1), pytest.raises(ConnectionError, match="the layer was closed"):
            await connection.until_up()
    assert connection.is_over


async def test_a_mistake_of_the_receiver_is_logged_and_the_connection_opened_again(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    connection = ReconnectingConnection(decode_hosts([redis_server.url])[0], 5, lambda is_up: None)
    await connection.open()
    await connection.lose(LookupError("a mistake"))
    [mistake] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the receiver failed" in mistake.message
    assert mistake.exc_info is not None and isinstance(mistake.exc_info[1], LookupError)
    assert connection.pipelined is None
    pipelined = await connection.open()
    pipelined.write(("PING",))
    assert await pipelined.read() == b"PONG"
    await connection.hang_up()
