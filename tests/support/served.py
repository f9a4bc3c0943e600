"""`python -m consumers serve`, in processes of its own."""

import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed

from .pages import ROOT

SOON = 1.0
"""Seconds that a handler of `served_app` takes, or its answer to a request."""

PATIENCE = 20.0
"""Seconds until a test gives up."""

Close = tuple[int | None, str | None]


class Served:
    """The processes.

    Args:
        options: of the command line.
        app: the application.
        environment: further variables.
        uds: the Unix domain socket to listen on.
        listener: what to listen on, given as a file descriptor.
        tls: with which clients connect.
    """

    port: int

    def __init__(
        self,
        *options: str,
        app: str = "tests.support.served_app:app",
        environment: dict[str, str] | None = None,
        uds: str | None = None,
        listener: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clients: list[ClientConnection] = []
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (closed by serving())
        self._uds, self._tls = uds, tls
        where, files = ["--port", "0"], list[int]()
        if uds is not None:
            where = ["--uds", uds]
        elif listener is not None:
            files = [listener.fileno()]
            where = ["--fd", str(files[0])]
            self.port = listener.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "consumers", "serve", app, *where, *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            pass_fds=files,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    def text(self) -> str:
        """Return what the processes have written."""
        return os.pread(self._output.fileno(), 10_000_000, 0).decode()

    def lines(self, word: str = "") -> list[str]:
        """Return the lines that the application has written, or those of them that begin with a word."""
        return [line for line in self.text().splitlines() if not line[:4].isdigit() and line.startswith(word)]

    async def until(self, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Wait for something that the processes do."""
        deadline = time.monotonic() + patience
        while not (found := condition()):
            assert time.monotonic() < deadline, self.text()
            await asyncio.sleep(0.01)
        return found

    async def ready(self, workers: int) -> None:
        """Wait until so many processes serve."""
        address = re.compile(r"running on (?:https?://127\.0\.0\.1:(\d+)|(?:unix )?socket)")
        found = await self.until(lambda: address.search(self.text()))
        if found[1] is not None:
            self.port = int(found[1])
        await self.until(lambda: len(self.lines("up")) >= workers)
        await self.until(lambda: self.text().count("Application startup complete") >= workers)

    async def open(self, path: str) -> ClientConnection:
        """Connect a client."""
        if self._uds is None:
            url = f"ws://127.0.0.1:{self.port}/{path}" if self._tls is None else f"wss://localhost:{self.port}/{path}"
            client = await connect(url, ssl=self._tls, open_timeout=PATIENCE, proxy=None)
        else:
            client = await unix_connect(self._uds, f"ws://localhost/{path}", open_timeout=PATIENCE)
        self._clients.append(client)
        return client

    def signal(self, number: int, everybody: bool = False) -> None:
        """Send a signal to the first process, or to all."""
        if everybody:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    async def end(self) -> int:
        """Wait until the first process has ended; return its status."""
        await self.until(lambda: self.process.poll() is not None)
        return self.process.returncode

    def workers(self) -> list[int]:
        """Return the processes that it has started to serve, the oldest first, and that live."""
        return [pid for pid in (int(line.split()[1]) for line in self.lines("up")) if lives(pid)]


@asynccontextmanager
async def running(*options: str, workers: int = 1, **more: Any) -> AsyncIterator[Served]:
    """Run the processes, which may not serve yet, until the block ends; nothing of them is left then."""
    served = Served(*options, *(["--workers", str(workers)] if workers > 1 else []), **more)
    try:
        yield served
    finally:
        for client in served._clients:
            client.transport.abort()
        with suppress(ProcessLookupError):
            os.killpg(served.process.pid, signal.SIGKILL)
        served.process.wait()
        served._output.close()


@asynccontextmanager
async def serving(*options: str, workers: int = 1, **more: Any) -> AsyncIterator[Served]:
    """Serve until the block ends."""
    async with running(*options, workers=workers, **more) as served:
        await served.ready(workers)
        yield served


async def close_of(client: ClientConnection) -> Close:
    """Wait for the end of a connection; return the code and the reason that the client sees."""
    with suppress(ConnectionClosed):
        while True:
            await asyncio.wait_for(client.recv(), PATIENCE)
    return client.close_code, client.close_reason


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended may be there until its parent has asked for its status."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
