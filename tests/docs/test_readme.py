"""Every Python example in the README runs; those that are tests run in a file of their own, as a reader's would."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from consumers.testing import WebsocketCommunicator

from ..support.pages import ROOT, Block, blocks
from ..support.processes import run_pytest

EXAMPLES = blocks("README.md", "python")
TESTS = [block for block in EXAMPLES if "def test_" in block.text]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: f"line {block.line}")
def test_an_example_of_the_readme_runs(block: Block, no_layer: None, no_limits: None) -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block.source, "README.md", "exec"), namespace)
    assert any(name.startswith("test_") for name in namespace) == (block in TESTS)


def test_the_readmes_tests_pass(tmp_path: Path) -> None:
    for block in TESTS:
        (tmp_path / f"test_line_{block.line}.py").write_text(block.source, encoding="utf-8")
    result = run_pytest("-q", "-W", "error", "-p", "anyio", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(".") >= len(TESTS)


def test_all_pages_are_listed() -> None:
    listed = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The pages\n")[2].partition("\n## ")[0]
    assert [
        page.name for page in (ROOT / "docs").glob("*.md") if f"[{page.name}](docs/{page.name})" not in listed
    ] == []


@pytest.mark.anyio
async def test_the_readmes_chat_is_a_chat(no_layer: None) -> None:
    namespace: dict[str, Any] = {"__name__": "chat"}
    exec(EXAMPLES[0].text, namespace)
    ann, bob, eve = (WebsocketCommunicator(namespace["app"], f"/ws/chat/{room}") for room in (1, 1, 2))
    for client in (ann, bob, eve):
        assert (await client.connect())[0]
    await ann.send_json_to({"text": "hello"})
    for client in (ann, bob):
        assert await client.receive_json_from() == {"text": "hello"}
    assert await eve.receive_nothing()
    for client in (ann, bob, eve):
        await client.disconnect()


def test_the_readmes_logout_closes_the_users_sockets(no_layer: None) -> None:
    namespace: dict[str, Any] = {"__name__": "logout"}
    exec(next(example.text for example in EXAMPLES if "close_group(" in example.text), namespace)
    with TestClient(namespace["app"]) as client, client.websocket_connect("/news/bob") as bob:
        with client.websocket_connect("/news/ann") as ann:
            assert client.post("/log-out/ann").text == "bye"
            closed = {"type": "websocket.close", "code": 4001, "reason": "you were logged out"}
            assert ann.receive() == closed
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/news/ann"):
            pass
        client.post("/log-out/bob")
        assert bob.receive() == closed
