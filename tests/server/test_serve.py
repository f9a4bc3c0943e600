"""`python -m consumers serve`, one process: what happens at a signal, and in which order."""

import asyncio
import signal
import socket
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ..support.served import SOON, Served, close_of, serving
from ..support.slow import left_to_ci

pytestmark = pytest.mark.anyio

RESTART = (1012, "retry=5-20")
DEAF = (
    b"GET /member HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
FLOOD = b"\x81\x85\0\0\0\0flood"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's loop


@pytest.mark.parametrize("number", [signal.SIGTERM, *left_to_ci(signal.SIGINT, signal.SIGHUP)])
async def test_the_listener_closes_first_then_clients_go_and_the_lifespan_ends_last(number: int) -> None:
    async with serving() as served:
        idle, busy, endpoint = [await served.open(path) for path in ("member", "member", "endpoint")]
        await busy.send("soon")
        assert await busy.recv() == "begun"
        served.signal(number)
        assert await close_of(idle) == await close_of(endpoint) == RESTART
        with pytest.raises(ConnectionRefusedError):
            await served.open("member")
        assert served.lines("down") == []
        assert await busy.recv() == "done"
        assert await close_of(busy) == RESTART
        status = await served.end()
        assert status == (0 if number == signal.SIGINT else -signal.SIGTERM)
        assert served.lines()[-1].startswith("down")
        assert served.lines("disconnect").count("disconnect 1012") == 3


@pytest.mark.slow
async def test_clients_are_told_in_batches_and_when_to_come_back() -> None:
    async with serving("--batch", "10", "--spread", "4", "--retry", "1-2.5") as served:
        clients = [await served.open("member") for _ in range(40)]

        async def end_of(client: object) -> float:
            assert await close_of(client) == (1012, "retry=1-2.5")  # type: ignore[arg-type]
            return time.monotonic()

        ends = [asyncio.create_task(end_of(client)) for client in clients]
        served.signal(signal.SIGTERM)
        times = sorted(await asyncio.gather(*ends))
        assert 0.25 < times[-1] - times[0] < 3
        assert times[9] - times[0] < times[-1] - times[0]


async def test_a_handshake_that_is_not_decided_is_refused_with_a_time_to_come_back() -> None:
    async with serving("--retry", "7-7") as served:
        opening = asyncio.create_task(served.open("undecided"))
        await served.until(lambda: served.lines("connecting"))
        served.signal(signal.SIGTERM)
        with pytest.raises(InvalidStatus) as refused:
            await opening
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "7"
        await served.end()


@pytest.mark.slow
async def test_requests_are_answered_and_idle_connections_closed() -> None:
    """A proxy that keeps connections open would send new handshakes by them."""
    async with serving() as served:
        busy, idle = [await request(served, path) for path in ("/soon", "/now")]
        assert b"200 OK" in await idle[0].readuntil(b"done")
        await served.until(lambda: served.lines("requested"))
        client = await served.open("member")  # which is waited for: uvicorn's own end comes later
        await client.send("soon")
        assert await client.recv() == "begun"
        served.signal(signal.SIGTERM)
        assert await asyncio.wait_for(idle[0].read(), SOON / 2) == b""
        answer = await busy[0].read()
        assert b"200 OK" in answer and answer.endswith(b"done")
        for _, writer in (busy, idle):
            writer.close()
        await served.end()


async def request(served: Served, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    return reader, writer


@pytest.mark.slow
@pytest.mark.parametrize("what", ["ignore", *left_to_ci("hang")])
async def test_a_second_signal_ends_it_at_once(what: str) -> None:
    async with serving() as served:
        hanging, idle = await served.open("member"), await served.open("member")
        await hanging.send(what)
        assert await hanging.recv() == "begun"
        served.signal(signal.SIGTERM)
        assert await close_of(idle) == RESTART
        began = time.monotonic()
        served.signal(signal.SIGTERM)
        status = await served.end()
        assert time.monotonic() - began < 4
        assert status in (-signal.SIGTERM, 128 + signal.SIGTERM)
        assert served.lines("down") == []


@pytest.mark.slow
async def test_a_handler_that_hangs_holds_it_no_longer_than_the_grace_time() -> None:
    async with serving("--grace", "3") as served:
        hanging = await served.open("member")
        await hanging.send("hang")
        assert await hanging.recv() == "begun"
        began = time.monotonic()
        served.signal(signal.SIGTERM)
        assert await close_of(hanging) == RESTART
        await served.end()
        assert time.monotonic() - began < 3.5
        assert served.lines()[-1].startswith("down")


@pytest.mark.slow
async def test_a_client_that_does_not_read_holds_it_no_longer_than_the_grace_time() -> None:
    async with serving("--grace", "4") as served:
        with socket.create_connection(("127.0.0.1", served.port)) as deaf:
            deaf.sendall(DEAF)
            assert b" 101 " in deaf.recv(4096)
            deaf.sendall(FLOOD)
            idle = await served.open("member")
            await idle.send("pid")  # by now the flood has filled what it can
            await idle.recv()
            began = time.monotonic()
            served.signal(signal.SIGTERM)
            assert await close_of(idle) == RESTART
            await served.end()
            assert time.monotonic() - began < 5.5
        assert served.lines()[-1].startswith("down")
        assert served.lines("disconnect").count("disconnect 1012") == 2


@pytest.mark.slow
async def test_the_log_has_no_query_string_and_no_line_for_each_client() -> None:
    async with serving() as served:
        client = await served.open("member?token=secret")
        await client.close()
        await served.until(lambda: served.lines("disconnect"))
        served.signal(signal.SIGTERM)
        await served.end()
        assert "secret" not in served.text()
        assert "connection" not in served.text()
        assert "INFO" in served.text()


@pytest.mark.slow
async def test_a_message_larger_than_the_limit_closes_with_1009() -> None:
    async with serving("--ws-max-size", "1000") as served:
        client = await served.open("member")
        with pytest.raises(ConnectionClosed):
            await client.send("x" * 1001)
            await client.recv()
        assert client.close_code == 1009
