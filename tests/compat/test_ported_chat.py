"""The chat of the example project, written for Channels, over a real server."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ..support.chatting import ASYNC, SYNC, chat
from ..support.processes import ROOT, run_python, serve

CHAT = ROOT / "example_project" / "ported_chat"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve the chat as it is and return the port."""
    with serve("-m", "compat", "run", "example_project.ported_chat.asgi:application", cwd=ROOT) as (port, _):
        yield port


@pytest.mark.parametrize(("first", "second"), [(ASYNC, SYNC), (SYNC, ASYNC), (ASYNC, ASYNC), (SYNC, SYNC)])
def test_a_room_is_the_same_for_both_consumers(port: int, first: str, second: str) -> None:
    chat(port, first, second)


@pytest.mark.parametrize("origin", ["https://evil.example", None])
def test_another_sites_page_is_refused(port: int, origin: Any) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{port}/ws/chat/lobby/", origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_its_page_is_served_by_its_http_consumer(port: int) -> None:
    with urlopen(f"http://127.0.0.1:{port}/") as page:
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.read() == (CHAT / "page.html").read_bytes()


@pytest.mark.parametrize("name", ["asgi.py", "consumers.py", "routing.py", "settings.py"])
def test_it_is_written_for_channels_alone(name: str) -> None:
    tree = ast.parse((CHAT / name).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert not {module.partition(".")[0] for module in imported} & {"compat", "consumers", "starlette"}


@pytest.mark.slow
def test_where_channels_is_installed_the_demo_says_what_to_do_and_serves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "channels.py").touch()
    code = """
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from example_project.app import app

with TestClient(app) as client:
    assert client.get("/").status_code == 200
    ported = client.get("/ported/")
    print(ported.status_code, ported.text)
    try:
        client.websocket_connect("/ported/ws/chat/lobby/").__enter__()
    except WebSocketDisconnect:
        print("refused")
"""
    ended = run_python(code, cwd=ROOT, path=tmp_path)
    assert ended.stdout.startswith("503 The ported chat cannot run here.\n"), ended.stderr
    assert f"'channels' can be imported, from {tmp_path / 'channels.py'}" in ended.stdout
    assert "pip uninstall channels" in ended.stdout
    assert ended.stdout.endswith("refused\n")
