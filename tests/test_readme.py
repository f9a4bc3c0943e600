"""Every Python example in the README runs, and so do the tests among them."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
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
def test_an_example_of_the_readme_runs(source: str, no_layer: None) -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(source, README, "exec"), namespace)
    for name, function in namespace.items():
        if name.startswith("test_"):
            anyio.run(function) if inspect.iscoroutinefunction(function) else function()


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
