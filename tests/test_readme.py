"""Every Python example in the README runs; those that are tests run in a file of their own, as a reader's would."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumers.testing import WebsocketCommunicator

README = Path(__file__).parent.parent / "README.md"


def examples() -> Iterator[Any]:
    text = README.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, block.start(1))
        # As many empty lines in front as in the README, so that a traceback shows the line there.
        yield pytest.param("\n" * line + block[1], id=f"line {line + 1}")


@pytest.mark.parametrize("source", list(examples()))
def test_an_example_of_the_readme_runs(source: str, no_layer: None, tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(source, README, "exec"), namespace)
    if any(name.startswith("test_") for name in namespace):
        copy = tmp_path / "test_copied.py"
        copy.write_text(source, encoding="utf-8")
        pytest_run = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(copy)]
        result = subprocess.run(pytest_run, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout


@pytest.mark.anyio
async def test_the_readmes_chat_is_a_chat(no_layer: None) -> None:
    namespace: dict[str, Any] = {"__name__": "chat"}
    exec(next(iter(examples())).values[0], namespace)
    ann, bob, eve = (WebsocketCommunicator(namespace["app"], f"/ws/chat/{room}") for room in (1, 1, 2))
    for client in (ann, bob, eve):
        assert (await client.connect())[0]
    await ann.send_json_to({"text": "hello"})
    for client in (ann, bob):
        assert await client.receive_json_from() == {"text": "hello"}
    assert await eve.receive_nothing()
    for client in (ann, bob, eve):
        await client.disconnect()
