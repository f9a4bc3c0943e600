"""The examples of docs/howto/typed.md, as their clients see them."""

import json
import re

import pytest
from pydantic import BaseModel

from consumers import InMemoryChannelLayer
from consumers.testing import WebsocketCommunicator
from consumers.typed import TypedConsumer, group_send_message
from consumers.typed.models import RESERVED
from consumers.typed.problems import FAILED, INVALID, NOT_JSON, RATE_LIMITED, UNKNOWN_TYPE

from ..support.examples import connect, offered, run
from ..support.pages import ROOT, blocks

pytestmark = pytest.mark.anyio

CHAT, ANSWERS, GROUPS, RECOVERY, EXPIRY = (block.text for block in blocks("docs/howto/typed.md", "python"))
TEXT = (ROOT / "docs/howto/typed.md").read_text(encoding="utf-8")


async def test_the_chat(no_layer: None) -> None:
    app = run(CHAT)["app"]
    ann, bob = [await connect(app, f"/chat/one?user={user}") for user in ("ann", "bob")]
    await ann.send_to(text_data='{"type": "say", "text": "hello"}')
    for client in (ann, bob):
        text = await client.receive_from()
        assert text == '{"type":"said","user":"ann","text":"hello"}'
        assert text in TEXT
        await client.disconnect()


async def test_the_answers_and_errors() -> None:
    client = await connect(run(ANSWERS)["application"], "/")
    await client.send_to(text_data='{"type": "add", "one": 1, "other": 2, "id": 7}')
    answer = await client.receive_from()
    assert answer == '{"type":"sum","value":3,"to":7}'
    assert answer in TEXT
    await client.send_to(text_data='{"type": "add", "other": 2, "id": 7}')
    [error] = blocks("docs/howto/typed.md", "json")
    assert await client.receive_json_from() == json.loads(error.text)
    await client.disconnect()


async def test_the_prices(layer: InMemoryChannelLayer) -> None:
    names = run(GROUPS)
    client = await connect(names["prices"], "/")
    changed: BaseModel = names["PriceChanged"](item="tea", cents=250)
    await group_send_message("prices", changed)
    assert await client.receive_json_from() == {"type": "price", "item": "tea", "price": "2.50"}
    await client.disconnect()


async def test_a_client_goes_on_where_it_was(no_layer: None) -> None:
    app = run(RECOVERY)["app"]

    async def enter(query: str = "") -> WebsocketCommunicator:
        address = f"/chat/one?client=a-key-of-22-characters{query}"
        client = WebsocketCommunicator(app, address, subprotocols=offered("secret-of-ann"))
        assert await client.connect() == (True, "consumers.v1")
        return client

    stranger = WebsocketCommunicator(app, "/chat/one", subprotocols=["consumers.v1", "token.eA"])
    assert await stranger.connect() == (False, 401)
    ann = await enter()
    assert (await ann.receive_json_from())["type"] == "joined"
    await ann.send_json_to({"type": "say", "text": "hello", "id": 1})
    [text] = [text for text in [str(await ann.receive_from()) for _ in range(2)] if "ack" not in text]
    label, position = json.loads(text)["at"]
    assert text.replace(position, "…") in TEXT
    await ann.disconnect()
    ann = await enter(f"&since={label}:{position}")
    joined = await ann.receive_json_from()
    assert (joined["recovered"], joined["missed"]) == (True, 0)
    await ann.send_json_to({"type": "say", "text": "hello", "id": 1})
    assert await ann.receive_json_from() == {"type": "ack", "to": 1}  # the room has it
    await ann.send_json_to({"type": "ping"})
    assert await ann.receive_json_from() == {"type": "pong"}
    await ann.disconnect()


async def test_the_token() -> None:
    client = await connect(run(EXPIRY)["account"], "/?token=59")
    assert await client.receive_json_from() in ({"type": "expires", "in": 59}, {"type": "expires", "in": 58})
    await client.send_json_to({"type": "refresh", "token": "3600", "id": 1})
    assert await client.receive_json_from() == {"type": "ack", "to": 1}
    await client.send_json_to({"type": "refresh", "token": "0"})
    output = await client.receive_output()
    assert output["code"] == 4401


def test_the_tables_are_true() -> None:
    options = dict(re.findall(r'^\| `(\w+)` \| `([\w."]+)` \|', TEXT, re.MULTILINE))
    assert options.keys() == {"sends", "id_key", "max_invalid", "max_message_size", "expires_notice"}
    for name, default in options.items():
        assert repr(getattr(TypedConsumer, name)).replace("'", '"') == default
    assert {NOT_JSON, UNKNOWN_TYPE, INVALID, RATE_LIMITED, FAILED} == set(
        re.findall(r"^\| `(\w+)` \| [^`]", TEXT.partition("## Errors")[2].partition("##")[0], re.MULTILINE)
    )
    [reserved] = re.findall(r"The types (.*) are the library's own", TEXT)
    assert set(re.findall(r"`(\w+)`", reserved)) == RESERVED
