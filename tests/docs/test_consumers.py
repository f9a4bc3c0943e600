"""docs/reference/consumers.md: the names, arguments and defaults of its tables are those of the classes."""

import inspect
import re
from typing import Any

import pytest

import consumers
from consumers import AsyncHttpConsumer, AsyncJsonWebsocketConsumer, JsonWebsocketConsumer, limits, typed
from consumers.testing import WebsocketCommunicator

from ..support.pages import ROOT, blocks

PAGE = "docs/reference/consumers.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")

FRAMEWORKS = {"dispatch", "base_send", "http_request", "http_disconnect"}
"""What few applications need; the API's pages have it."""

EVENTS = {"chat_message", "layer_gap", "presence_diff", "presence_state", "presence_count"}
"""What an application may define."""


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> list[str]:
    """Return the first cells of a section's tables."""
    return re.findall(r"^\| (`[^|]+) \|", section(title), re.MULTILINE)


def find(name: str) -> object:
    """Return an attribute of the class that has it."""
    classes = (AsyncJsonWebsocketConsumer, AsyncHttpConsumer, JsonWebsocketConsumer)
    return next(getattr(one, name) for one in classes if hasattr(one, name))


def test_every_method_exists_with_the_arguments_that_are_named() -> None:
    written = [
        call
        for title in ("What you write", "What you call")
        for cell in first_cells(title)
        for call in cell.split("`, `")
    ]
    for name, arguments in re.findall(r"(\w+)\(([^)]*)\)", " ".join(written)):
        if name in EVENTS or arguments in ("…", "**initkwargs", "function, *args"):
            assert name in EVENTS or callable(find(name))
        else:
            parameters = [each for each in _signature(name) if each not in ("self", "kwargs")]
            assert arguments.split(", ") == parameters, name


def _signature(name: str) -> list[str]:
    method = getattr(AsyncJsonWebsocketConsumer, name, None) or getattr(AsyncHttpConsumer, name)
    if name == "receive":  # which the JSON consumer passes more on from
        method = consumers.AsyncWebsocketConsumer.receive
    return list(inspect.signature(method).parameters)


def test_every_public_method_and_attribute_is_there() -> None:
    public = {
        name
        for one in (AsyncJsonWebsocketConsumer, AsyncHttpConsumer, JsonWebsocketConsumer)
        for name in (*dir(one), *(key for base in one.__mro__ for key in vars(base).get("__annotations__", ())))
        if not name.startswith(("_", "websocket_"))
    }
    missing = {name for name in public - FRAMEWORKS if not re.search(rf"`{name}\b", TEXT)}
    assert missing == set()


def test_every_class_is_exported() -> None:
    table = TEXT.partition("| class | for |")[2].partition("\n## ")[0]
    for name in re.findall(r"`((?:Async|Sync|Base|Json|Typed|Websocket)\w+)`", table):
        assert hasattr(consumers, name) or hasattr(typed, name) or name == "WebSocketEndpoint", name


def test_every_limit_has_a_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `None` \| (.+?) \|", section("Limits"), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted([*limits.NUMBERS, *limits.COUNTS])
    assert {name: unit for name, unit in rows if name in limits.NUMBERS} == limits.NUMBERS


@pytest.mark.anyio
@pytest.mark.usefixtures("layer")
async def test_the_example_chats() -> None:
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(blocks(PAGE, "python")[0].source, PAGE, "exec"), namespace)
    clients = [WebsocketCommunicator(namespace["Chat"].as_asgi(), "/") for _ in range(2)]
    for client in clients:
        assert await client.connect() == (True, None)
    await clients[0].send_json_to({"text": "hello"})
    assert [await client.receive_json_from() for client in clients] == [{"text": "hello"}] * 2
    for client in clients:
        await client.disconnect()
