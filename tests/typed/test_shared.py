"""Models that a group gets, with a server that writes shared frames and without: clients see no difference."""

import json
from typing import Any

import pytest

from consumers import InMemoryChannelLayer, channel_layers
from consumers.typed import SyncTypedConsumer, TypedConsumer, group_send_message, on_event

from ..support.shared import encoded, sharing
from ..support.wire import eventually
from .models import Moved, Said

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def layer(monkeypatch: pytest.MonkeyPatch) -> InMemoryChannelLayer:
    layer = InMemoryChannelLayer(history={"chat.*": {"size": 10, "ttl": 60}})
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    return layer


class Chat(TypedConsumer):
    sends = Said

    async def connect(self) -> None:
        await self.group_join("chat.1")
        await self.accept()


class Labelled(Chat):
    label = "room"

    async def connect(self) -> None:
        await self.accept()
        await self.join("chat.1", self.label)


class Other(Labelled):
    label = "other"


class Handling(Chat):
    @on_event
    async def moved(self, message: Moved) -> None:
        await self.send_message(Said(user="moved", text=str(message.x)))


class Sync(SyncTypedConsumer):
    sends = Said
    mailboxes: list[Any] = []

    def connect(self) -> None:
        self.group_join("chat.1")
        self.mailboxes.append(self._connection._mailbox)
        self.accept()


SAID = Said(user="ann", text="hällo")


async def test_members_without_a_label_share_one_frame() -> None:
    async with sharing(*[Chat.as_asgi()] * 3) as wires:
        await group_send_message("chat.1", SAID)
        [text] = wires[0].written
        assert json.loads(text) == {"type": "said", "user": "ann", "text": "hällo"}
        assert [wire.written for wire in wires] == [[text]] * 3
        assert encoded == [text]


async def test_members_who_know_the_group_by_a_label_share_one_that_says_where_they_are() -> None:
    kinds = (Labelled, Labelled, Other, Chat)
    async with sharing(*[kind.as_asgi() for kind in kinds]) as wires:
        for wire in wires[:3]:
            assert json.loads(await wire.next_content())["type"] == "joined"
        position = await group_send_message("chat.1", SAID)
        places = [json.loads(wire.written[0]).get("at") for wire in wires]
        assert places == [["room", position], ["room", position], ["other", position], None]
        assert wires[0].written == wires[1].written
        assert len(encoded) == 3


@pytest.mark.parametrize("kind", [Chat, Labelled])
async def test_the_server_makes_no_difference(layer: InMemoryChannelLayer, kind: type[Any]) -> None:
    async with sharing(kind.as_asgi()) as (one,), sharing(kind.as_asgi(), offers=False) as (other,):
        if kind is Labelled:
            for wire in (one, other):
                await wire.next()
        for _ in range(3):
            await group_send_message("chat.1", SAID)
            assert await one.next_content() == await other.next_content()
        assert len(one.written) == 3


async def test_what_a_handler_wants_to_see_goes_there() -> None:
    async with sharing(Handling.as_asgi(), Chat.as_asgi()) as (wire, other):
        await group_send_message("chat.1", Moved(x=1))
        await group_send_message("chat.1", SAID)
        texts = [json.loads(await wire.next_content())["text"] for _ in range(2)]
        assert texts == ["1", "hällo"]
        assert json.loads(await other.next_content())["text"] == "hällo"


async def test_sync_consumers_share_them_too(anyio_backend: str) -> None:
    if anyio_backend == "trio":  # sync consumers need asyncio
        return
    Sync.mailboxes.clear()
    async with sharing(Sync.as_asgi(), Sync.as_asgi()) as wires:
        await eventually(lambda: all(mailbox.shortcut and mailbox.is_idle for mailbox in Sync.mailboxes))
        await group_send_message("chat.1", SAID)
        assert wires[0].written == wires[1].written != []


@pytest.mark.parametrize("message", [{"tag": "said"}, {"tag": "said", "frame": "no bytes"}, {"tag": ["odd"]}, {}])
async def test_what_is_no_model_is_dropped(layer: InMemoryChannelLayer, message: dict[str, Any]) -> None:
    async with sharing(Chat.as_asgi()) as (wire,):
        layer._local.group_send("chat.1", {"type": "consumers.message", **message})
        await group_send_message("chat.1", SAID)
        assert json.loads(await wire.next_content())["text"] == "hällo"
