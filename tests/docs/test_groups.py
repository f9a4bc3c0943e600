"""docs/howto/groups.md: its room, its relays, and what it says of names and of members that are full."""

from typing import Any

import pytest

from consumers import AsyncJsonWebsocketConsumer, InMemoryChannelLayer, channel_layers, relay, relay_json
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer

from ..support.examples import connect, run
from ..support.pages import ROOT, blocks

PAGE = "docs/howto/groups.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
CHAT, _ = (block.text for block in blocks(PAGE, "python"))

pytestmark = pytest.mark.anyio


async def test_what_is_said_whispered_and_announced_reaches_whom_it_should(no_layer: None) -> None:
    app = run(CHAT)["app"]
    layer = InMemoryChannelLayer()
    channel_layers.set("default", layer)
    ann, bob, eve = [await connect(app, f"/chat/{room}") for room in ("cats", "cats", "dogs")]
    await ann.send_json_to({"say": "hello"})
    assert await ann.receive_json_from() == await bob.receive_json_from() == {"text": "hello"}
    await ann.send_json_to({"whisper": "psst"})
    assert await bob.receive_json_from() == {"text": "psst"}
    await ann.send_json_to({"leave": None})
    assert await ann.receive_nothing()
    await bob.send_json_to({"say": "gone?"})
    assert await bob.receive_json_from() == {"text": "gone?"}
    assert await layer.group_count("everybody") == 3
    await layer.group_send("everybody", {"type": "announcement", "at": "noon"})
    assert [await client.receive_json_from() for client in (ann, bob, eve)] == [{"at": "noon"}] * 3
    for client in (ann, bob, eve):
        await client.disconnect()
    assert not layer.groups


async def test_the_relays_send_what_the_table_says(layer: InMemoryChannelLayer) -> None:
    class Relays(AsyncJsonWebsocketConsumer):
        groups = ["all"]
        text = relay("text")
        whole = relay_json()
        part = relay_json("content")

    client = await connect(Relays.as_asgi(), "/")
    event: dict[str, Any] = {"text": "hello", "content": [1]}
    for kind in ("text", "whole", "part"):
        await layer.group_send("all", {"type": kind, **event})
    assert await client.receive_from() == "hello"
    assert await client.receive_json_from() == event
    assert await client.receive_json_from() == [1]
    await client.disconnect()


async def test_a_type_that_no_method_can_have_is_an_error_at_the_sender(layer: InMemoryChannelLayer) -> None:
    for message in ({}, {"type": "no method"}, {"type": "_private"}):
        with pytest.raises(ValueError, match="type"):
            await layer.group_send("all", message)


async def test_the_names_of_groups_are_short_and_plain(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("A-Z_a.0" + "x" * 92, "channel")
    for name in ("x" * 100, "with space", "ärger", ""):
        with pytest.raises(TypeError):
            await layer.group_add(name, "channel")


async def test_a_full_mailbox_misses_messages_and_they_are_counted(layer: InMemoryChannelLayer) -> None:
    assert layer.capacity == 100
    channel = await layer.new_channel()
    await layer.group_add("all", channel)
    for number in range(103):
        await layer.group_send("all", {"type": "count", "number": number})
    assert layer.dropped == 3


def test_the_table_says_which_layer_has_history_and_presence() -> None:
    layers = InMemoryChannelLayer, RedisPubSubChannelLayer, RedisChannelLayer
    rows = [[cell.strip() for cell in line.split("|")[2:5]] for line in TEXT.splitlines() if line.startswith("|")]
    assert [f"`{layer.__name__}`" for layer in layers] in rows
    for name, attribute in {"groups with [history]": "can_have_history", "[presence]": "can_have_presence"}.items():
        [row] = [line.split("|")[2:5] for line in TEXT.splitlines() if line.startswith(f"| {name}")]
        assert [cell.strip() == "yes" for cell in row] == [getattr(layer, attribute) for layer in layers]
