"""SIGTERM to a real uvicorn with many open sockets: all are told, everything is cleaned up, and it ends in time."""

import asyncio
import json
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ..support.redis_server import running_redis
from ..support.slow import left_to_ci
from ..support.stopping import HUNG_FOR

pytestmark = pytest.mark.anyio

FEW, MANY = 250, 2000  # clients
BATCH = 200
GRACE = 10  # seconds that the server's process has
PATIENCE = 20  # seconds until a test gives up
SHUTDOWN_CODES = {1001, 1012}

HANDSHAKE = (
    "GET /{path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
EMPTY_TEXT_FRAME = b"\x81\x80\0\0\0\0"
CLOSE = 0x8


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's loop


@pytest.fixture(autouse=True)
def many_files() -> None:
    """Allow a file for each client, in this process and in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * MANY
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Client:
    """A WebSocket as bytes: a library's would take most of the test's time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, path: str) -> "Client":
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client._writer.write(HANDSHAKE.format(path=path).encode())
        answer = await client._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101"), answer
        return client

    async def make_it_hang(self) -> None:
        """Send a frame, and wait until its handler has answered; it does nothing more."""
        self._writer.write(EMPTY_TEXT_FRAME)
        _, payload = await self._frame()
        assert payload == b"hanging"

    async def close_code(self) -> int:
        """Wait for the close frame; 1006 if there is none."""
        try:
            opcode, payload = await self._frame()
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006
        assert opcode == CLOSE, (opcode, payload)
        self._writer.close()
        return int.from_bytes(payload[:2], "big")

    async def _frame(self) -> tuple[int, bytes]:
        first, length = await self._reader.readexactly(2)
        return first & 0xF, await self._reader.readexactly(length)


class Served:
    """A server in a process of its own."""

    def __init__(self, **settings: Any) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (closed by serving())
        with socket.create_server(("127.0.0.1", 0), backlog=BATCH) as listener:
            self.port: int = listener.getsockname()[1]
            defaults = {"ws": "websockets-sansio", "grace": GRACE, "redis_layer": "", "redis_url": ""}
            arguments = json.dumps({"listener": listener.fileno(), **defaults, **settings})
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.support.stopping", arguments],
                stdout=self._output,
                stderr=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    async def connect(self, *paths: str) -> list[Client]:
        clients: list[Client] = []
        for start in range(0, len(paths), BATCH):
            connecting = (Client.connect(self.port, path) for path in paths[start : start + BATCH])
            clients += await asyncio.wait_for(asyncio.gather(*connecting), PATIENCE)
        return clients

    async def stop(self, clients: list[Client], by: int = signal.SIGTERM) -> tuple[float, list[int]]:
        """Send a signal; return how many seconds the process took to end, and the close codes that the clients saw."""
        started = time.monotonic()
        self.process.send_signal(by)
        async with asyncio.timeout(PATIENCE):
            codes = await asyncio.gather(*(client.close_code() for client in clients))
            while self.process.poll() is None:
                await asyncio.sleep(0.01)
        return time.monotonic() - started, codes

    def lines(self) -> list[str]:
        """Return what the process has written."""
        self._output.seek(0)
        return self._output.read().decode().splitlines()

    def errors(self) -> str:
        """Return what it has logged; call it once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Served]:
    served = Served(**settings)
    try:
        yield served
    finally:
        served.process.kill()
        served.process.wait()
        assert served.process.stderr is not None
        served.process.stderr.close()
        served._output.close()


async def stop_a_crowd(served: Served, clients: list[Client]) -> None:
    """Check what these clients and the server's process see of its shutdown."""
    size = len(clients)
    seconds, codes = await served.stop(clients)
    assert set(codes) <= SHUTDOWN_CODES, Counter(codes)
    lines = served.lines()
    assert Counter(line.split()[0] for line in lines) == {"left": size, "disconnect": size, "layer": 1}
    assert {line for line in lines if line.startswith("disconnect")} <= {
        f"disconnect {code}" for code in SHUTDOWN_CODES
    }
    assert lines[-1] == "layer closed"
    assert seconds < GRACE
    assert served.errors() == ""
    assert served.process.returncode == -signal.SIGTERM  # as uvicorn ends; nothing had to be killed


@pytest.mark.parametrize("clients", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ws", ["websockets-sansio", *left_to_ci("consumers.server", "wsproto", "websockets")])
async def test_every_client_is_told_every_disconnect_runs_and_the_layer_is_closed_last(ws: str, clients: int) -> None:
    async with serving(ws=ws) as served:
        await stop_a_crowd(served, await served.connect(*["member"] * clients))


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["RedisChannelLayer", *left_to_ci("RedisPubSubChannelLayer")])
async def test_a_shutdown_leaves_nothing_in_redis(layer: str) -> None:
    with running_redis() as server:
        async with serving(redis_layer=layer, redis_url=server.url) as served:
            clients = await served.connect(*["member"] * FEW)
            with server.client() as redis:
                assert redis.pubsub_numpat() or redis.keys("*")  # there is something to leave
            await stop_a_crowd(served, clients)
        with server.client() as redis:
            assert redis.keys("*") == []
        assert server.connections() == []


@pytest.mark.slow
@pytest.mark.parametrize("grace", [None, *left_to_ci(GRACE)])
@pytest.mark.parametrize("kind", ["hanging", "deaf", "blocking"])
async def test_a_handler_that_hangs_holds_the_process_for_no_longer_than_its_timeouts(
    kind: str, grace: int | None
) -> None:
    async with serving(grace=grace) as served:
        hanging, *others = clients = await served.connect(kind, *["member"] * 20)
        await hanging.make_it_hang()
        seconds, codes = await served.stop(clients)
        assert set(codes) <= SHUTDOWN_CODES
        assert seconds < 2 * HUNG_FOR + 1
        lines = served.lines()
        assert lines.count("disconnect 1012") >= len(others)
        assert lines[-1] == "layer closed"


STUBBORN = [
    "shielded",
    "stubborn-beside",
    "endpoint",
    *left_to_ci(
        "shielded-beside",
        "stubborn",
        "stubborn-in-background",
        "stubborn-on-error",
        "stubborn-disconnect",
        "endpoint-disconnect",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", STUBBORN)
async def test_what_ignores_its_cancellation_is_ended_by_force(kind: str) -> None:
    async with serving() as served:
        clients = await served.connect(kind, *["member"] * 20)
        await clients[0].make_it_hang()
        seconds, codes = await served.stop(clients)
        assert set(codes) <= SHUTDOWN_CODES | {1011}
        assert seconds < 2 * HUNG_FOR + 1
        lines = served.lines()
        assert sum(line.startswith("disconnect ") for line in lines) == len(clients)
        assert lines[-1] == "layer closed"
        assert "ignores its cancellation" in served.errors()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["blocking", *left_to_ci("shielded", "stubborn-beside")])
async def test_a_grace_period_that_is_shorter_holds_too(kind: str) -> None:
    async with serving(grace=1) as served:
        hanging, *others = clients = await served.connect(kind, *["member"] * 20)
        await hanging.make_it_hang()
        seconds, codes = await served.stop(clients)
        assert set(codes) <= SHUTDOWN_CODES
        assert seconds < 1 + 1.5
        assert served.lines().count("disconnect 1012") >= len(others)
        assert served.lines()[-1] == "layer closed"


@pytest.mark.slow
async def test_a_blocked_thread_does_not_keep_the_interpreter_from_exiting() -> None:
    async with serving() as served:
        [hanging] = clients = await served.connect("blocking")
        await hanging.make_it_hang()
        seconds, _ = await served.stop(clients, signal.SIGINT)  # which leaves uvicorn as KeyboardInterrupt
        assert seconds < 2 * HUNG_FOR + 1
        assert served.lines()[-1] == "layer closed"
