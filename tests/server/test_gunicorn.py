"""`gunicorn -k consumers.server.GunicornWorker`, in processes of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ..support.pages import ROOT
from ..support.slow import left_to_ci

PATIENCE = 20

pytest.importorskip("uvicorn_worker")


class Gunicorn:
    """gunicorn with one worker."""

    def __init__(self, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        words = ["gunicorn", "-k", "consumers.server.GunicornWorker", "-w", "1", "-b", f"127.0.0.1:{self.port}"]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words, *options, "tests.support.gunicorn_app:app"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )

    def open(self) -> ClientConnection:
        """Connect a client as soon as it can be done."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return connect(f"ws://127.0.0.1:{self.port}/", proxy=None)
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.05)


@contextmanager
def running(*options: str) -> Iterator[Gunicorn]:
    gunicorn = Gunicorn(*options)
    try:
        yield gunicorn
    finally:
        with suppress(ProcessLookupError):
            os.killpg(gunicorn.process.pid, signal.SIGKILL)
        gunicorn.process.wait()


def close_of(client: ClientConnection) -> tuple[int | None, str | None]:
    with pytest.raises(ConnectionClosed):
        client.recv(PATIENCE)
    return client.close_code, client.close_reason


@pytest.mark.slow
def test_its_clients_get_shared_frames() -> None:
    with running() as gunicorn, gunicorn.open() as client:
        assert client.recv(PATIENCE) == "consumers.frame, 1048576"
        client.send("hello")
        assert client.recv(PATIENCE) == "hello"


@pytest.mark.parametrize("by", [signal.SIGTERM, *left_to_ci(signal.SIGHUP)])
def test_it_drains_when_it_ends_or_is_replaced(by: int) -> None:
    # A worker that gives no sign for so short a time would be killed before its handler has ended.
    with running("--timeout", "2") as gunicorn, gunicorn.open() as idle, gunicorn.open() as busy:
        for client in (idle, busy):
            client.recv(PATIENCE)
        busy.send("wait 4")
        assert busy.recv(PATIENCE) == "begun"
        gunicorn.process.send_signal(by)
        assert close_of(idle) == (1012, "retry=5-20")
        assert busy.recv(PATIENCE) == "done"
        assert close_of(busy) == (1012, "retry=5-20")
        if by == signal.SIGTERM:
            assert gunicorn.process.wait(PATIENCE) == 0
        else:
            with gunicorn.open() as client:
                client.recv(PATIENCE)


@pytest.mark.slow
def test_it_drains_after_its_last_request() -> None:
    with running("--max-requests", "1") as gunicorn, gunicorn.open() as client:
        client.recv(PATIENCE)
        connection = HTTPConnection("127.0.0.1", gunicorn.port, timeout=PATIENCE)
        connection.request("GET", "/", headers={"Connection": "close"})
        connection.getresponse().read()
        connection.close()
        assert close_of(client) == (1012, "retry=5-20")
        with gunicorn.open() as client:
            client.recv(PATIENCE)


@pytest.mark.slow
def test_its_quick_end_waits_for_nobody() -> None:
    with running() as gunicorn, gunicorn.open() as client:
        client.recv(PATIENCE)
        client.send("wait 60")
        assert client.recv(PATIENCE) == "begun"
        began = time.monotonic()
        gunicorn.process.send_signal(signal.SIGQUIT)
        gunicorn.process.wait(PATIENCE)
        assert time.monotonic() - began < 5
