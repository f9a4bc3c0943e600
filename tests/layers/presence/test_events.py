"""What members are handed: it is JSON, one for all of them, and refuses changes."""

import copy
import json
import pickle
from typing import Any

import pytest

from consumers import AsyncJsonWebsocketConsumer, channel_layers
from consumers.layers.base import Layer
from consumers.testing import WebsocketCommunicator
from consumers.types import Message

from ...support.contract import MakeLayer
from ...support.presence import Watcher, arrive, watch

pytestmark = pytest.mark.anyio

META = {"name": "Ann", "tags": [{"a": [1]}]}


async def events(make_layer: MakeLayer) -> tuple[list[Message], list[Message]]:
    """Have two members be told everything that there is to tell; return the messages of both."""
    layer = make_layer(0, max_list=2)
    members = [await watch(layer, "room") for _ in range(2)]
    names = []
    for key in ("ann", "bob", "eve"):
        names.append(await arrive(layer, "room", key, META))
        for member in members:
            await member.holds(len(names))
    await layer.presence_update("room", names[0], meta={"other": META})
    for name in reversed(names[1:]):
        layer.detach(name)
        await members[0].knows(
            {key: [{"other": META} if key == "ann" else META] for key in ("ann", "bob")[: names.index(name)]}
        )
        await members[1].holds(len(members[0].messages))
    await layer.presence_update("room", names[0], meta=META)
    await members[0].knows({"ann": [META]})
    await members[1].holds(len(members[0].messages))
    return members[0].messages, members[1].messages


async def test_events_are_json_and_equal_plain_ones(make_layer: MakeLayer) -> None:
    messages, _ = await events(make_layer)
    assert {message["type"] for message in messages} == {"presence.diff", "presence.state", "presence.count"}
    for message in messages:
        assert type(message) is dict
        plain = json.loads(json.dumps(message))
        assert plain == message
        assert json.dumps(plain) == json.dumps(message)


def containers(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in containers(item))]
    if isinstance(value, list):
        return [value, *(found for item in value for found in containers(item))]
    return []


async def test_what_is_in_an_event_refuses_changes_however_deep(make_layer: MakeLayer) -> None:
    messages, _ = await events(make_layer)
    seen = 0
    for message in messages:
        for value in (found for item in message.values() for found in containers(item)):
            seen += 1
            with pytest.raises(TypeError, match="shared by all members"):
                value.clear()
    assert seen > 10


async def test_members_share_what_is_in_an_event_but_not_the_event(make_layer: MakeLayer) -> None:
    for one, other in zip(*await events(make_layer), strict=True):
        assert one == other
        assert one is not other
        for key, value in one.items():
            if isinstance(value, dict | list):
                assert other[key] is value
        one.clear()
        assert other


async def test_events_can_be_copied_and_pickled(make_layer: MakeLayer) -> None:
    for message in (await events(make_layer))[0]:
        for duplicate in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
            assert duplicate == message


async def test_an_event_may_be_sent_on_under_another_type(layer: Layer) -> None:
    member, other = await watch(layer, "room"), Watcher(layer, "elsewhere")
    await layer.group_add("elsewhere", other.name)
    await arrive(layer, "room", "ann", META)
    [event] = await member.holds(1)
    await layer.group_send("elsewhere", {**event, "type": "told.on"})
    assert await other.holds(1) == [{**event, "type": "told.on"}]


async def test_a_list_is_the_readers_own_and_json(layer: Layer) -> None:
    await arrive(layer, "room", "ann", META)
    found = await layer.presence("room")
    assert type(found.version) is int
    assert json.loads(json.dumps(found)) == {"ann": [META]}
    found["ann"][0]["name"] = "changed"
    found.clear()
    assert await layer.presence("room") == {"ann": [META]}


class Room(AsyncJsonWebsocketConsumer):
    groups = ["room"]

    async def connect(self) -> None:
        await self.accept()
        await self.channel_layer.presence_track("room", self.channel_name, key="ann", meta=META)

    async def presence_diff(self, event: Message) -> None:
        await self.send_json(event)

    async def heard(self, event: Message) -> None: ...


class Deaf(AsyncJsonWebsocketConsumer):
    groups = ["room"]
    strict_types = True

    async def heard(self, event: Message) -> None:
        await self.send_json({"heard": True})


async def test_a_consumers_handler_is_called_and_can_send_the_event_to_its_client(
    monkeypatch: pytest.MonkeyPatch, layer: Layer
) -> None:
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    client = WebsocketCommunicator(Room.as_asgi(), "/")
    deaf = WebsocketCommunicator(Deaf.as_asgi(), "/")
    assert await deaf.connect()
    assert await client.connect()
    event = await client.receive_json_from()
    assert event["joins"] == {"ann": [META]}
    await layer.group_send("room", {"type": "heard"})
    assert await deaf.receive_json_from() == {"heard": True}  # who has no handler lives on
    for each in (deaf, client):
        await each.disconnect()
