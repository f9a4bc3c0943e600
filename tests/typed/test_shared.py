"""Models that a group gets, with a server that writes shared frames and without: clients see no difference."""

import json
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest

from consumers import AsyncJsonWebsocketConsumer, InMemoryChannelLayer, channel_layers, relay, relay_json
from consumers.typed import SyncTypedConsumer, TypedConsumer, group_send_message, on_event

from ..support.shared import SharingWire, encoded, sharing
from ..support.wire import connected, eventually
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


class Relaying:
    """What passes dicts on, and raw frames."""

    raw_frames = True
    tick = relay_json()
    tock = relay_json("content")
    plain = relay("text")


class Board(AsyncJsonWebsocketConsumer):
    """A JSON consumer in the same group."""

    groups = ["chat.1"]
    raw_frames = True
    tick = relay_json()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.group_send_json("chat.1", content)


class Sync(SyncTypedConsumer):
    sends = Said
    mailboxes: list[Any] = []

    def connect(self) -> None:
        self.group_join("chat.1")
        self.mailboxes.append(self._connection._mailbox)
        self.accept()


SAID = Said(user="ann", text="hällo")


def with_relays(kind: type[Any], **attributes: Any) -> Any:
    return type(kind.__name__, (Relaying, kind), {"__module__": __name__, **attributes})


@pytest.fixture(params=[True, False], ids=["shared", "usual"])
def offers(request: pytest.FixtureRequest) -> bool:
    """Whether the server shares frames: the client sees no difference."""
    return bool(request.param)


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


@pytest.mark.parametrize(
    "message",
    [
        {"tag": "said"},
        {"tag": "said", "frame": "no bytes"},
        {"tag": ["odd"]},
        {},
    ],
)
async def test_what_is_no_model_is_dropped(layer: InMemoryChannelLayer, message: dict[str, Any]) -> None:
    async with sharing(Chat.as_asgi()) as (wire,):
        layer._local.group_send("chat.1", {"type": "consumers.message", **message})
        await group_send_message("chat.1", SAID)
        assert json.loads(await wire.next_content())["text"] == "hällo"


@pytest.mark.parametrize("history", [None, 5, {}, {"group": "chat.1"}, {"group": "chat.1", "position": "forged"}])
@pytest.mark.parametrize("kind", ["consumers.message", "tick"])
async def test_a_place_that_no_layer_has_given_is_not_told(
    layer: InMemoryChannelLayer, kind: str, history: Any, offers: bool
) -> None:
    async with sharing(with_relays(Labelled, groups=["forgotten"]).as_asgi(), offers=offers) as (wire,):
        await wire.next()
        await layer.group_send("forgotten", {"type": kind, "tag": "said", "history": history})
        await layer.group_send("forgotten", {"type": "plain", "text": "end"})
        if kind == "tick":
            assert json.loads(await wire.next_content()) == {"tag": "said"}
        assert await wire.next_content() == "end"


# Dicts and JSON in a group with history


async def test_what_group_send_json_has_sent_says_where_the_client_is(offers: bool) -> None:
    kinds = [with_relays(kind) for kind in (Labelled, Labelled, Other, Chat)]
    async with (
        connected(Board.as_asgi()) as sender,
        sharing(*[kind.as_asgi() for kind in (*kinds, Board)], offers=offers) as wires,
    ):
        for wire in wires[:3]:
            assert json.loads(await wire.next_content())["type"] == "joined"
        sender.text('{"type": "said"}')
        contents = [json.loads(await wire.next_content()) for wire in wires]
        position = contents[-1]["position"]
        assert contents == [
            {"type": "said", "at": ["room", position]},
            {"type": "said", "at": ["room", position]},
            {"type": "said", "at": ["other", position]},
            {"type": "said", "position": position},
            {"type": "said", "position": position},
        ]
        assert len(encoded) == (3 if offers else 0)


@pytest.mark.parametrize("order", [(Labelled, Chat, Other, Labelled), (Chat, Labelled, Chat, Other)])
async def test_a_relayed_object_says_so_to_those_who_know_the_group_by_a_label(
    layer: InMemoryChannelLayer, order: tuple[type[Any], ...], offers: bool
) -> None:
    async with sharing(*[with_relays(kind).as_asgi() for kind in order], offers=offers) as wires:
        for kind, wire in zip(order, wires, strict=True):
            if kind is not Chat:
                await wire.next()
        for event in ({"type": "tick", "n": 1}, {"type": "tock", "content": {"n": 1}}, {"type": "tick"}):
            position = await layer.group_send("chat.1", event)
            expected: dict[str, Any] = {"n": 1} if len(event) > 1 else {}
            for kind, wire in zip(order, wires, strict=True):
                at = {} if kind is Chat else {"at": [kind.label, position]}
                assert json.loads(await wire.next_content()) == {**expected, **at}


async def test_members_of_other_classes_get_the_relayed_object_alone(layer: InMemoryChannelLayer, offers: bool) -> None:
    async with sharing(with_relays(Labelled).as_asgi(), Board.as_asgi(), offers=offers) as (wire, board):
        await wire.next()
        await layer.group_send("chat.1", {"type": "tick", "n": 1})
        assert json.loads(await board.next_content()) == {"n": 1}


async def test_a_client_that_comes_back_gets_no_relayed_object_twice(layer: InMemoryChannelLayer, offers: bool) -> None:
    kind = with_relays(Labelled).as_asgi()
    async with sharing(kind, offers=offers) as (wire,):
        await wire.next()
        await layer.group_send("chat.1", {"type": "tick", "n": 1})
        label, position = json.loads(await wire.next_content())["at"]
    await layer.group_send("chat.1", {"type": "tick", "n": 2})
    query = urlencode({"since": f"{label}:{position}"}).encode()
    async with sharing(kind, offers=offers, query_string=query) as (wire,):
        assert json.loads(await wire.next_content())["missed"] == 1
        assert json.loads(await wire.next_content())["n"] == 2


async def test_what_is_no_object_is_relayed_as_it_is(layer: InMemoryChannelLayer, offers: bool) -> None:
    async with sharing(with_relays(Labelled).as_asgi(), offers=offers) as (wire,):
        await wire.next()
        for event in ({"type": "tock", "content": [1]}, {"type": "plain", "text": "[1]"}):
            await layer.group_send("chat.1", event)
            assert await wire.next_content() == "[1]"


async def test_an_object_with_a_key_at_of_its_own_is_not_relayed(layer: InMemoryChannelLayer, offers: bool) -> None:
    async with sharing(with_relays(Labelled).as_asgi(), Board.as_asgi(), offers=offers) as (wire, board):
        await wire.next()
        await layer.group_send("chat.1", {"type": "tick", "at": "noon"})
        assert json.loads(await board.next_content()) == {"at": "noon"}
        assert (await wire.next())["code"] == 1011
        await wire.end()
        assert "relay_json() adds 'at'" in str(wire.error)


async def test_from_its_join_on_a_client_is_told_where_it_is(layer: InMemoryChannelLayer, offers: bool) -> None:
    channels = []

    class Late(Relaying, Chat):
        async def connect(self) -> None:
            channels.append(self.channel_name)
            await super().connect()

        async def labelled(self, event: Any) -> None:
            await self.join("chat.1", "room")

    async with sharing(*[Late.as_asgi()] * 3, Board.as_asgi(), offers=offers) as wires:
        for number in range(2):
            await layer.group_send("chat.1", {"type": "tick", "n": number})
            contents = [json.loads(await wire.next_content()) for wire in wires]
            assert contents == [{"n": number}] * 4
        await layer.send(channels[0], {"type": "labelled"})
        joined = await eventually_joined(wires)
        for number in range(2):
            position = await layer.group_send("chat.1", {"type": "tick", "n": number})
            for index, wire in enumerate(wires):
                at = {"at": ["room", position]} if index == joined else {}
                assert json.loads(await wire.next_content()) == {"n": number, **at}


async def eventually_joined(wires: list[SharingWire]) -> int:
    """Return which of the clients is told that it has joined."""
    await anyio.wait_all_tasks_blocked()
    [index] = [index for index, wire in enumerate(wires) if "joined" in str(wire.sent[-1].get("text"))]
    await wires[index].next()
    return index
