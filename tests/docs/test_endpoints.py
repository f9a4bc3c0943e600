"""docs/howto/endpoints.md: its examples run and do what they say; the names in its tables exist."""

import inspect
import re
from typing import Any

import anyio
import pytest

from consumers import BaseWSEndpoint

from ..support.endpoints import accepted
from ..support.pages import ROOT, blocks

TEXT = (ROOT / "docs/howto/endpoints.md").read_text(encoding="utf-8")


def example(name: str) -> Any:
    """Return the class of this name in one of the page's examples."""
    [block] = [block for block in blocks("docs/howto/endpoints.md", "python") if f"class {name}(" in block.text]
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(block.source, "docs/howto/endpoints.md", "exec"), namespace)
    return namespace[name]


@pytest.mark.anyio
async def test_the_countdown_counts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    Countdown = example("Countdown")

    async def sleep(seconds: float) -> None:
        assert seconds == 1

    monkeypatch.setattr(anyio, "sleep", sleep)
    async with accepted(Countdown) as server:
        server.text("3")
        assert [(await server.event())["text"] for _ in range(3)] == ["3", "2", "1"]


@pytest.mark.anyio
async def test_the_clock_ticks_and_the_heartbeat_beats() -> None:
    for name, text in (("Clock", "tick"), ("Heartbeat", '{"type":"heartbeat"}')):
        Endpoint = example(name)
        if name == "Heartbeat":
            assert Endpoint.silence == 10
            Endpoint.silence = 0.001
        async with accepted(Endpoint) as server:
            assert (await server.event())["text"] == text


def test_every_example_is_tried() -> None:
    names = [re.search(r"^class (\w+)", block.text, re.M) for block in blocks("docs/howto/endpoints.md", "python")]
    assert [name and name[1] for name in names] == ["Countdown", "Clock", "Heartbeat"]


def test_the_methods_of_the_table_are_the_endpoints_with_their_arguments() -> None:
    rows = re.findall(r"^\| `(\w+)\(([\w, ]+)\)` \|", TEXT, re.M)
    assert len(rows) == 8
    for name, arguments in rows:
        method = getattr(BaseWSEndpoint, name)
        assert list(inspect.signature(method).parameters)[1:] == arguments.split(", "), name


def test_the_attributes_of_the_table_have_their_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", TEXT, re.M)
    assert [name for name, _ in rows] == ["encoding", "max_tasks", "inbox_bytes", "stall_timeout", "EXIT_MAX_DELAY"]
    for name, default in rows:
        assert repr(getattr(BaseWSEndpoint, name)) == default
