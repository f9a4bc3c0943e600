"""docs/howto/client.md: its example talks to a server, and its tables are right."""

import re
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from consumers import InMemoryChannelLayer, channel_layers
from consumers.client import ClientError
from consumers.client.client import Client
from consumers.client.options import DEFAULTS
from consumers.typed import TypedConsumer, on, on_event

from ..support.examples import run
from ..support.pages import ROOT, blocks
from ..support.serving import serving

TEXT = (ROOT / "docs/howto/client.md").read_text(encoding="utf-8").partition("## In Python")[2]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_example_talks_to_the_chat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        channel_layers.backends, "default", InMemoryChannelLayer(history={"chat.*": {"size": 10, "ttl": 60}})
    )
    example = run(blocks("docs/howto/client.md", "python")[1].text)
    Said: Any = example["Said"]

    class Chat(TypedConsumer):
        sends = Said

        async def connect(self) -> None:
            await self.accept()
            await self.join("chat.1", "room")

        async def say(self, message: Any) -> None:
            await self.group_send_message("chat.1", Said(user="ann", text=message.text))

        async def said(self, message: Any) -> None:
            await self.send_message(message)
            await self.close(1000)

        say.__annotations__["message"], said.__annotations__["message"] = example["Say"], Said
        say, said = on(say), on_event(said)

    app = Starlette(routes=[WebSocketRoute("/chat/{room}", Chat.as_asgi())])
    async with serving(app) as server:
        with anyio.fail_after(10):
            await example["main"](server.url("/chat/1"))
    assert capsys.readouterr().out.split() == ["connecting", "open", "ann:", "hello", "closed"]


def test_the_options_of_the_table_have_their_defaults() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (?:`([^`]*)`)? ?\|", TEXT.partition("### Options")[2], re.MULTILINE)
    named = {name: default for names, default in rows for name in re.findall(r"\w+", names)}
    assert named.keys() | {"on_state", "on_gap", "on_expires"} == DEFAULTS.keys()
    for name, default in named.items():
        if default:
            assert repr(DEFAULTS[name]).replace("'", '"') == default  # type: ignore[literal-required]


def test_the_exceptions_and_calls_of_the_tables_exist() -> None:
    names = re.findall(r"^\| `(\w+)` \|", TEXT.partition("### When it ends")[2].partition("###")[0], re.MULTILINE)
    assert set(names) == {kind.__name__ for kind in ClientError.__subclasses__()}
    calls = re.findall(r"`(?:await )?client\.(\w+)", TEXT)
    assert {"request", "send", "state", "detail", "positions", "close", "wait_open"} == set(calls)
    assert all(hasattr(Client, name) for name in calls)
