"""The examples of docs/howto/deployment.md, each served by a process of its own."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from consumers.server import drain, serve
from consumers.server.command import ENDING, UVICORN
from consumers.server.settings import SETTINGS, shutdown_options

from ..support.pages import ROOT, blocks
from ..support.processes import wait_for
from ..support.redis_server import free_port
from ..support.served import PATIENCE, close_of

pytestmark = pytest.mark.anyio

PAGE = "docs/howto/deployment.md"
SERVE, SIGNAL, HYPERCORN = (block.text for block in blocks(PAGE, "python"))
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")

CHAT = """
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from consumers import AsyncWebsocketConsumer{}
app = Starlette(routes=[WebSocketRoute("/", AsyncWebsocketConsumer.as_asgi())], lifespan=lifespan)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the servers'


@contextmanager
def running(folder: Path, *words: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run Python in a folder until the block ends; it listens on the port then."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-W", "error", *words], cwd=folder, env=environment) as process:
        try:
            wait_for(port)
            yield process
        finally:
            process.kill()


async def expect_drain(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Check that clients are asked to come back, and that the process ends."""
    clients: list[ClientConnection] = [await connect(f"ws://127.0.0.1:{port}/", proxy=None) for _ in range(5)]
    process.send_signal(signal.SIGTERM)
    assert {await close_of(client) for client in clients} == {(1012, "retry=5-20")}
    assert await asyncio.to_thread(process.wait, PATIENCE) in (0, -signal.SIGTERM)


@pytest.mark.slow
async def test_serve_from_python(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "chat.py").write_text(CHAT.format(", lifespan"))
    main = SERVE.replace("0.0.0.0", "127.0.0.1").replace("8000", str(port)).replace("workers=4", "workers=1")
    (tmp_path / "main.py").write_text(main)
    with running(tmp_path, "main.py", port=port) as process:
        await expect_drain(process, port)


@pytest.mark.slow
async def test_draining_by_a_signal_handler_under_uvicorn(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "draining.py").write_text(SIGNAL)
    (tmp_path / "chat.py").write_text(CHAT.format("\nfrom draining import lifespan"))
    words = "-m", "uvicorn", "chat:app", "--port", str(port), "--ws", "websockets-sansio", "--log-level", "error"
    with running(tmp_path, *words, port=port) as process:
        await expect_drain(process, port)


@pytest.mark.slow
async def test_draining_under_hypercorn(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "app.py").write_text(CHAT.format(", lifespan"))
    (tmp_path / "serving.py").write_text(HYPERCORN.replace("8000", str(port)))
    with running(tmp_path, "serving.py", port=port) as process:
        await expect_drain(process, port)


def test_the_tables_name_options_that_there_are() -> None:
    options = {*UVICORN, *(f"--{name}" for name in ENDING)}
    named = set(re.findall(r"`(--[\w-]+)", TEXT))
    assert named <= {*options, "--graceful-timeout", "--max-requests"}  # which are gunicorn's
    assert set(re.findall(r"^\| `(\w+)`", TEXT, re.MULTILINE)) <= set(SETTINGS)


@pytest.mark.parametrize(
    ("argument", "value"), [("grace", 0), ("retry", (20, 5)), ("batch", 0), ("spread", -1), ("spread", 16)]
)
def test_an_argument_that_cannot_work_is_refused(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{argument} is "):
        serve("chat:app", **{argument: value})  # type: ignore[arg-type]


def test_a_short_grace_has_a_short_spread() -> None:
    assert shutdown_options(8, (5, 20), 100, None).spread == 2
    assert shutdown_options(60, (5, 20), 100, None).spread == 5


def test_what_serve_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="reload"):
        serve("chat:app", reload=True)
    with pytest.raises(ValueError, match="2 workers import the application"):
        serve(drain, workers=2, log_config=None)  # the loggers are other tests', too


def test_without_uvicorn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"pip install 'starlette-consumers\[server\]'"):
        serve("chat:app")
