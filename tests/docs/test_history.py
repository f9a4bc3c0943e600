"""The examples of docs/howto/history.md, as their clients see them."""

import json
from uuid import uuid4

import pytest

from consumers.testing import HttpCommunicator

from ..support.examples import connect, run
from ..support.pages import blocks

pytestmark = pytest.mark.anyio

CHAT, BOARD, STREAM = (block.text for block in blocks("docs/howto/history.md", "python"))


async def test_the_chat_gives_who_comes_back_what_was_missed_or_has_it_reload(no_layer: None) -> None:
    application = run(CHAT)["Chat"].as_asgi()
    ann, bob = [await connect(application, "/chat") for _ in range(2)]
    places = [(await client.receive_json_from())["position"] for client in (ann, bob)]
    assert places[0] == places[1]
    await ann.send_json_to({"text": "one"})
    one = await bob.receive_json_from()
    assert one["text"] == "one"
    await bob.disconnect()
    await ann.send_json_to({"text": "two"})
    bob = await connect(application, f"/chat?since={one['position']}")
    assert (await bob.receive_json_from())["text"] == "two"
    await ann.send_json_to({"text": "three"})
    assert (await bob.receive_json_from())["text"] == "three"
    eve = await connect(application, "/chat?since=nonsense")
    assert await eve.receive_json_from() == {"type": "clear"}
    assert [(await eve.receive_json_from())["text"] for _ in range(3)] == ["one", "two", "three"]
    pat = await connect(application, f"/chat?since={places[0]}")
    assert [(await pat.receive_json_from())["text"] for _ in range(3)] == ["one", "two", "three"]
    for client in (ann, bob, eve, pat):
        await client.disconnect()


async def test_the_board_gives_positions_without_a_handler(no_layer: None) -> None:
    run(CHAT)  # the same configuration
    application = run(BOARD)["Board"].as_asgi()
    ann, bob = [await connect(application, "/board") for _ in range(2)]
    place = await ann.receive_json_from()
    assert place == await bob.receive_json_from()
    await bob.disconnect()
    await ann.send_json_to({"text": "one"})
    heard = await ann.receive_json_from()
    assert heard == {"text": "one", "position": heard["position"]}
    bob = await connect(application, f"/board?since={place['position']}")
    assert await bob.receive_json_from() == heard
    for client in (ann, bob):
        await client.disconnect()


async def test_the_stream_goes_on_where_its_reader_was(no_layer: None) -> None:
    app = run(STREAM)["app"]
    async with app.router.lifespan_context(app):
        post = HttpCommunicator(app, "POST", "/answers", body=b"What is missing?")
        asked = json.loads((await post.get_response())["body"])
        reader = await connect(app, f"/answers/{asked['id']}?since={asked['since']}")
        words = [await reader.receive_json_from()]
        await reader.send_input({"type": "websocket.disconnect", "code": 1006})
        reader = await connect(app, f"/answers/{asked['id']}?since={words[0]['position']}")
        words += [await reader.receive_json_from() for _ in range(4)]
        assert " ".join(word["word"] for word in words) == "You asked: What is missing?"
        assert await reader.receive_output() == {"type": "websocket.close", "code": 1000, "reason": ""}
        await reader.disconnect()
        other = await connect(app, f"/answers/{uuid4()}?since={asked['since']}")
        assert (await other.receive_output())["code"] == 4004
        await other.disconnect()
