"""The README's chat is one, and the page is a short one."""

import pytest

from ..support.examples import connect, run
from ..support.pages import ROOT, blocks


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.anyio
async def test_the_chat_is_a_chat(no_layer: None) -> None:
    app = run(blocks("README.md", "python")[0].text)["app"]
    ann, bob, eve = [await connect(app, f"/chat/{room}") for room in (1, 1, 2)]
    for client in (ann, bob, eve):
        assert (await client.receive_json_from())["type"] == "joined"
    await ann.send_json_to({"type": "message", "text": "hello"})
    for client in (ann, bob):
        assert (await client.receive_json_from())["text"] == "hello"
    assert await eve.receive_nothing()
    late = await connect(app, "/chat/1")
    assert [(await late.receive_json_from()).get("text") for _ in range(2)] == [None, "hello"]
    await late.send_json_to({"type": "message"})
    assert (await late.receive_json_from())["code"] == "invalid"
    for client in (ann, bob, eve, late):
        await client.disconnect()
