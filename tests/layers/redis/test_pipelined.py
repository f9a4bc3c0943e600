"""One connection, read and written at once."""

import asyncio
import signal
from collections.abc import AsyncIterator

import anyio
import pytest
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, ResponseError

from consumers.layers.redis.hosts import decode_hosts
from consumers.layers.redis.pipelined import PipelinedConnection, connect, told_apart

from ...support.redis_layers import until
from ...support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pipelined(server: RedisServer, anyio_backend: str) -> AsyncIterator[PipelinedConnection]:
    connection = await connect(decode_hosts([server.url])[0], 5)
    yield connection
    await connection.end()


async def test_replies_come_in_the_order_of_the_commands(pipelined: PipelinedConnection) -> None:
    pipelined.write(("ECHO", "a"), ("NONSENSE",))
    pipelined.write(("ECHO", "b"))
    first, error, second = [await pipelined.read() for _ in range(3)]
    assert (first, second) == (b"a", b"b")
    assert isinstance(error, ResponseError)  # returned: it is the reply to one command alone


async def test_a_read_that_is_cancelled_loses_no_reply(pipelined: PipelinedConnection) -> None:
    with anyio.move_on_after(0.01):
        await pipelined.read()
    pipelined.write(("ECHO", "a"))
    assert await pipelined.read() == b"a"


async def test_writing_goes_on_after_a_loop_has_cancelled_it(pipelined: PipelinedConnection) -> None:
    pipelined._writing.cancel()
    await asyncio.wait([pipelined._writing])
    pipelined.write(("ECHO", "a"))
    pipelined.resume()
    assert await pipelined.read() == b"a"


async def test_an_answer_that_does_not_come_ends_it(server: RedisServer, pipelined: PipelinedConnection) -> None:
    watch = asyncio.create_task(pipelined.watch(0.2, lambda: "an answer"))
    server.send_signal(signal.SIGSTOP)
    try:
        pipelined.write(("PING",))
        with anyio.fail_after(5), pytest.raises(ConnectionError, match=r"no answer within 0\.2 s"):
            await pipelined.read()
    finally:
        server.send_signal(signal.SIGCONT)
    await watch
    assert not pipelined.is_open


async def test_a_connection_from_which_nothing_is_due_is_kept(pipelined: PipelinedConnection) -> None:
    looks: list[None] = []
    watch = asyncio.create_task(pipelined.watch(0.05, lambda: looks.append(None)))
    await until(lambda: len(looks) > 10)
    watch.cancel()
    assert pipelined.is_open


async def test_a_lost_connection_is_an_error_with_a_reason(server: RedisServer, pipelined: PipelinedConnection) -> None:
    server.stop()
    with pytest.raises(ConnectionError) as caught:
        await pipelined.read()
    assert str(caught.value)


async def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConnectionError):
        await connect(decode_hosts([("127.0.0.1", free_port())])[0], 5)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("script: -OOM command not allowed", OutOfMemoryError),
        ("script: -READONLY You can't write", ReadOnlyError),
        ("unknown command", ResponseError),
    ],
)
async def test_what_a_script_met_is_told_apart(text: str, kind: type[Exception]) -> None:
    assert type(told_apart(ResponseError(text))) is kind
