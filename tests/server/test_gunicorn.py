"""`gunicorn -k consumers.server.GunicornWorker`, in processes of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from websockets.sync.client import connect

from ..support.pages import ROOT

PATIENCE = 20

pytest.importorskip("uvicorn_worker")


def test_its_clients_get_shared_frames() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-k", "consumers.server.GunicornWorker", "-w", "1"]
    command += ["-b", f"127.0.0.1:{port}", "tests.support.gunicorn_app:app"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    client = connect(f"ws://127.0.0.1:{port}/")
                    break
                except OSError:
                    assert time.monotonic() < deadline and process.poll() is None
                    time.sleep(0.05)
            with client:
                assert client.recv(PATIENCE) == "consumers.frame, 1048576"
                client.send("hello")
                assert client.recv(PATIENCE) == "hello"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
