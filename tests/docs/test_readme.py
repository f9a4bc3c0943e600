"""The README's chat is one, and the page is a short one."""

import pytest

from consumers.testing import WebsocketCommunicator

from ..support.examples import run
from ..support.pages import ROOT, blocks


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.anyio
async def test_the_chat_is_a_chat(no_layer: None) -> None:
    app = run(blocks("README.md", "python")[0].text)["app"]
    ann, bob, eve = (WebsocketCommunicator(app, f"/ws/chat/{room}") for room in (1, 1, 2))
    for client in (ann, bob, eve):
        assert (await client.connect())[0]
    await ann.send_json_to({"text": "hello"})
    for client in (ann, bob):
        assert await client.receive_json_from() == {"text": "hello"}
    assert await eve.receive_nothing()
    for client in (ann, bob, eve):
        await client.disconnect()
