"""Typed consumers and clients that go on after a cut: labels, positions, gaps, and messages that come twice."""

import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

import anyio
import pytest
from pydantic import BaseModel, computed_field
from starlette.authentication import SimpleUser

from consumers import InMemoryChannelLayer, channel_layers
from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.testing import WebsocketCommunicator
from consumers.typed import SyncTypedConsumer, TypedConsumer, group_send_message, on, on_event
from consumers.typed.recovery import frame_with_place
from consumers.types import Message

from ..support.redis_server import running_redis
from ..support.wire import Wire, connected, connecting
from .models import Move, Moved, Said, Say, ask

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])

HISTORY = {"chat.*": {"size": 10, "ttl": 60}}
KEY = "a-key-of-22-characters"


@pytest.fixture(autouse=True)
def layer(monkeypatch: pytest.MonkeyPatch) -> InMemoryChannelLayer:
    layer = InMemoryChannelLayer(history=HISTORY)
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    return layer


class Chat(TypedConsumer):
    sends = Said
    last = 0

    async def connect(self) -> None:
        await self.accept()
        await self.join("chat.1", "room", last=self.last)

    @on
    async def say(self, message: Say) -> None:
        await self.group_send_message("chat.1", Said(user="ann", text=message.text))

    @on_event
    async def moved(self, message: Moved) -> None:
        await self.send_message(Said(user="moved", text=str(message.x)))


class PlainChat(SyncTypedConsumer):
    sends = Said

    def connect(self) -> None:
        self.accept()
        self.join("chat.1", "room")

    @on
    def say(self, message: Say) -> None:
        self.group_send_message("chat.1", Said(user="ann", text=message.text))

    @on_event
    def moved(self, message: Moved) -> None:
        self.send_message(Said(user="moved", text=str(message.x)))


def query(*since: str, client: str | None = None) -> bytes:
    return urlencode([*(("since", each) for each in since), *([("client", client)] if client else [])]).encode()


@asynccontextmanager
async def joining(consumer: Any = Chat, *since: str, **options: Any) -> AsyncIterator[tuple[Wire, Any]]:
    """Connect; give what the client is told about its group, too."""
    client = options.pop("client", None)
    async with connected(consumer.as_asgi(), query_string=query(*since, client=client), **options) as wire:
        yield wire, json.loads(await wire.next_text())


async def heard(wire: Wire) -> Any:
    return json.loads(await wire.next_text())


async def say(*texts: str) -> list[str]:
    """Have somebody else say something; return the positions."""
    return [str(await group_send_message("chat.1", Said(user="bob", text=text))) for text in texts]


# Labels and positions


async def test_a_client_is_told_where_it_is_when_it_joins_and_with_each_message() -> None:
    async with joining() as (wire, joined):
        rest = {"label": "room", "recovered": True, "missed": 0}
        assert joined == {"type": "joined", "position": joined["position"], **rest}
        [position] = await say("hi")
        assert await heard(wire) == {"type": "said", "user": "bob", "text": "hi", "at": ["room", position]}


async def test_a_client_that_was_away_gets_what_it_has_missed_and_is_told_so_first() -> None:
    async with joining() as (_, joined):
        pass
    await say("one", "two")
    async with joining(Chat, f"room:{joined['position']}") as (wire, again):
        assert again["recovered"]
        assert again["missed"] == 2
        await say("three")
        assert [(await heard(wire))["text"] for _ in range(3)] == ["one", "two", "three"]


async def test_a_client_whose_position_is_too_old_is_told_to_load_anew() -> None:
    async with joining() as (_, joined):
        pass
    await say(*map(str, range(30)))
    async with joining(Chat, f"room:{joined['position']}") as (wire, again):
        assert not again["recovered"]
        await say("new")
        assert (await heard(wire))["text"] == "new"


@pytest.mark.parametrize(
    "since", ["room:", "room", "room:nonsense", ":", "", "other:1", "room:\N{SNOWMAN}", "::room:x"]
)
async def test_whatever_a_client_says_of_where_it_was_it_is_answered(since: str) -> None:
    async with joining(Chat, since) as (wire, joined):
        assert joined["recovered"] is not since.startswith("room:")
        await say("hi")
        assert (await heard(wire))["text"] == "hi"


async def test_a_client_without_a_position_gets_the_newest_messages_if_the_consumer_wants_that() -> None:
    class Latest(Chat):
        last = 2

    await say("one", "two", "three")
    async with joining(Latest) as (wire, joined):
        assert joined["recovered"]
        assert [(await heard(wire))["text"] for _ in range(2)] == ["two", "three"]


async def test_each_label_goes_on_from_its_own_position() -> None:
    class Two(TypedConsumer):
        sends = Said

        async def connect(self) -> None:
            await self.accept()
            for name in ("1", "2"):
                await self.join(f"chat.{name}", name)

    async def speak(name: str, text: str) -> str:
        return str(await group_send_message(f"chat.{name}", Said(user="bob", text=text)))

    first, other = await speak("1", "seen"), await speak("2", "seen")
    await speak("1", "new in 1")
    await speak("2", "new in 2")
    async with joining(Two, f"1:{first}", f"2:{other}") as (wire, _):
        found = [await heard(wire) for _ in range(3)]
        assert [each.get("text") for each in found] == [None, "new in 1", "new in 2"]
        assert [each["at"][0] for each in found[1:]] == ["1", "2"]


async def test_a_handler_of_events_sends_where_the_client_is_too() -> None:
    async with joining() as (wire, _):
        position = await group_send_message("chat.1", Moved(x=5))
        assert await heard(wire) == {"type": "said", "user": "moved", "text": "5", "at": ["room", position]}


async def test_what_a_handler_has_started_says_no_place_later() -> None:
    class Later(Chat):
        @on_event
        async def moved(self, message: Moved) -> None:
            self.start_background_task(self.send_message, Said(user="later", text=""))

    async with joining(Later) as (wire, _):
        await group_send_message("chat.1", Moved(x=5))
        assert "at" not in await heard(wire)


@pytest.mark.parametrize("label", ["room", "other"])
async def test_a_group_that_is_joined_again_says_no_place_behind_which_messages_wait(label: str) -> None:
    class Again(Chat):
        @on
        async def move(self, message: Move) -> None:
            await say("one", "two", "three")
            await self.join("chat.1", label)

    async with joining(Again) as (wire, joined):
        wire.text('{"type": "move", "x": 1}')
        again = await heard(wire)
        assert again == {**joined, "label": label}
        assert [(await heard(wire))["text"] for _ in range(3)] == ["one", "two", "three"]
        wire.text('{"type": "move", "x": 1}')
        await heard(wire)
    async with joining(Again, f"room:{again['position']}") as (wire, _):  # the messages were cut off
        assert [(await heard(wire))["text"] for _ in range(3)] == ["one", "two", "three"]


async def test_what_was_missed_is_not_behind_the_client_when_its_group_is_joined_again() -> None:
    class Twice(Chat):
        async def connect(self) -> None:
            await super().connect()
            await self.join("chat.1", "room")

    async with joining() as (_, joined):
        pass
    await say("one", "two")
    async with joining(Twice, f"room:{joined['position']}") as (wire, first):
        assert first["missed"] == 2
        assert (await heard(wire))["position"] == joined["position"]
        assert [(await heard(wire))["text"] for _ in range(2)] == ["one", "two"]


async def test_a_member_of_a_group_that_joins_it_under_a_label_recovers_nothing_and_says_so() -> None:
    class Member(Chat):
        groups = ["chat.1"]

    async with joining(Member) as (_, joined):
        assert joined["recovered"]
    await say("missed")
    async with joining(Member, f"room:{joined['position']}") as (wire, again):
        assert (again["recovered"], again["missed"]) == (False, 0)
        await say("hi")
        assert (await heard(wire))["at"][0] == "room"


async def test_a_group_that_could_not_be_joined_goes_on_from_the_same_place_later(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    group_add, failures = layer.group_add, [ConnectionError("the layer is away")]

    async def failing(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await group_add(*args, **options)

    class Patient(Chat):
        async def connect(self) -> None:
            with pytest.raises(ConnectionError):
                await super().connect()
            await self.join("chat.1", "room")

    [position] = await say("seen")
    await say("missed")
    monkeypatch.setattr(layer, "group_add", failing)
    async with joining(Patient, f"room:{position}") as (wire, joined):
        assert (joined["recovered"], joined["missed"]) == (True, 1)
        assert (await heard(wire))["text"] == "missed"


@pytest.mark.parametrize("second", [("chat.2", "room"), ("chat.1", "other")])
async def test_groups_that_are_joined_at_once_are_told_apart(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch, second: tuple[str, str]
) -> None:
    group_add, both_wait = layer.group_add, anyio.Event()

    async def late(*args: Any, **options: Any) -> Any:
        await both_wait.wait()
        return await group_add(*args, **options)

    class Hasty(Chat):
        async def connect(self) -> None:
            await self.accept()
            async with anyio.create_task_group() as tasks:
                for group, label in (("chat.1", "room"), second):
                    tasks.start_soon(self.join, group, label)
                    await anyio.wait_all_tasks_blocked()
                both_wait.set()

    monkeypatch.setattr(layer, "group_add", late)
    async with joining(Hasty) as (wire, first):
        assert {first["label"], (await heard(wire))["label"]} == {"room", second[1]}
        [position] = await say("hi")
        assert (await heard(wire)).get("at") == (None if second[1] == "room" else ["other", position])


async def test_a_group_may_change_its_label_and_a_label_its_group() -> None:
    class Moving(Chat):
        async def connect(self) -> None:
            await self.accept()
            for group, label in (("chat.1", "room"), ("chat.1", "other"), ("chat.2", "room"), ("chat.3", "other")):
                await self.join(group, label)

    async with joining(Moving) as (wire, _):
        assert [(await heard(wire))["label"] for _ in range(3)] == ["other", "room", "other"]
        places = {}
        for group in ("chat.1", "chat.2", "chat.3"):
            await group_send_message(group, Said(user="bob", text=group))
            places[group] = (await heard(wire)).get("at", [None])[0]
        assert places == {"chat.1": None, "chat.2": "room", "chat.3": "other"}


async def test_a_group_whose_label_has_changed_keeps_the_new_one_when_the_old_one_is_used_again() -> None:
    class Moving(Chat):
        async def connect(self) -> None:
            await self.accept()
            for group, label in (("chat.1", "room"), ("chat.1", "other"), ("chat.2", "room")):
                await self.join(group, label)

    async with joining(Moving) as (wire, _):
        assert [(await heard(wire))["label"] for _ in range(2)] == ["other", "room"]
        await say("hi")
        assert (await heard(wire))["at"][0] == "other"


async def test_what_the_client_alone_gets_says_no_place() -> None:
    class Echo(Chat):
        @on
        async def move(self, message: Move) -> Said:
            return Said(user="you", text=str(message.x))

    async with joining(Echo) as (wire, _):
        assert await ask(wire, {"type": "move", "x": 1}) == {"type": "said", "user": "you", "text": "1"}


async def test_a_group_without_history_can_be_joined_and_has_no_positions() -> None:
    class Lobby(TypedConsumer):
        sends = Said

        async def connect(self) -> None:
            await self.accept()
            await self.join("lobby", "lobby")

    async with joining(Lobby) as (wire, joined):
        assert joined == {"type": "joined", "label": "lobby", "position": None, "recovered": True, "missed": 0}
        await group_send_message("lobby", Said(user="bob", text="hi"))
        assert await heard(wire) == {"type": "said", "user": "bob", "text": "hi"}
    async with joining(Lobby, "lobby:x") as (_, joined):
        assert not joined["recovered"]


async def test_a_label_stands_for_the_group_that_was_joined_last() -> None:
    class Moving(Chat):
        async def connect(self) -> None:
            await self.accept()
            await self.join("chat.1", "room")
            await self.join("chat.2", "room")

    async with joining(Moving) as (wire, _):
        await heard(wire)
        await say("old")
        await group_send_message("chat.2", Said(user="bob", text="new"))
        assert ["at" in await heard(wire) for _ in range(2)] == [False, True]


async def test_a_gap_is_told_under_its_label(layer: InMemoryChannelLayer) -> None:
    class Lobby(TypedConsumer):
        async def connect(self) -> None:
            await self.accept()
            await self.join("chat.1", "room")
            await self.join("chat.2", "lobby")
            await self.join("quiet", "quiet")

        async def tell(self, event: Message) -> None:
            for group in ("chat.2", None, "unknown"):
                await self.layer_gap({"type": "layer.gap", "group": group})
            await self.send("end")

    async with joining(Lobby) as (wire, _):
        await heard(wire)
        await heard(wire)
        await layer.group_send("quiet", {"type": "tell"})
        assert [await heard(wire) for _ in range(2)] == [{"type": "gap", "label": each} for each in ("lobby", "quiet")]
        assert await wire.next_text() == "end"


async def test_a_consumer_without_labels_tells_of_no_gap(layer: InMemoryChannelLayer) -> None:
    class Silent(TypedConsumer):
        groups = ["room"]

        async def tell(self, event: Message) -> None:
            await self.layer_gap({"type": "layer.gap", "group": None})
            await self.send("end")

    async with connected(Silent.as_asgi()) as wire:
        await layer.group_send("room", {"type": "tell"})
        assert await wire.next_text() == "end"


@only_asyncio
async def test_a_sync_consumer_does_the_same() -> None:
    async with joining(PlainChat) as (wire, joined):
        assert joined["label"] == "room"
        wire.text('{"type": "say", "text": "hi"}')
        assert (await heard(wire))["at"][0] == "room"
        await group_send_message("chat.1", Moved(x=1))
        assert (await heard(wire))["at"][0] == "room"
    async with joining(PlainChat, f"room:{joined['position']}") as (wire, _):
        assert [(await heard(wire))["text"] for _ in range(2)] == ["hi", "1"]


def test_large_messages_of_clients_do_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(40):
            frame = b'{"type":"said","text":"%06d%s"}' % (number, b"x" * 10**6)
            text = frame_with_place(frame, ("room", "1"))
            assert text.endswith('"at":["room","1"]}')
            assert frame_with_place(frame, ("room", "1")) is text  # made once for all members
            del frame, text
        assert tracemalloc.get_traced_memory()[0] < 4 * 10**6
    finally:
        tracemalloc.stop()


# Mistakes


async def test_join_before_accept_says_what_to_write() -> None:
    class Hasty(Chat):
        async def connect(self) -> None:
            await self.join("chat.1", "room")

    async with connecting(Hasty.as_asgi()) as wire:
        await wire.end()
        assert "call accept() first" in str(wire.error)


async def test_join_at_the_end_says_that_it_is_the_end() -> None:
    class Late(Chat):
        async def disconnect(self, code: int) -> None:
            await self.join("chat.1", "room")

    async with joining(Late) as (wire, _):
        pass
    assert "join() at the end of the connection" in str(wire.error)


@pytest.mark.parametrize("label", ["", "a b", "x" * 65, "ä", "a:b", 5, None])
async def test_a_label_that_is_none_says_so(label: Any) -> None:
    class Wrong(Chat):
        async def connect(self) -> None:
            await self.accept()
            await self.join("chat.1", label)

    async with connected(Wrong.as_asgi()) as wire:
        await wire.end()
        assert isinstance(wire.error, ValueError)
        assert "a label is" in str(wire.error)


async def test_a_model_with_a_field_for_the_place_says_so() -> None:
    class Meeting(BaseModel):
        type: Literal["meeting"] = "meeting"
        at: datetime

    class Meetings(TypedConsumer):
        sends: ClassVar[Any] = Meeting

        async def connect(self) -> None:
            await self.accept()
            await self.join("chat.1", "room")

    class Computed(BaseModel):
        type: Literal["meeting"] = "meeting"

        @computed_field
        def at(self) -> int:
            return 1

    class Others(Meetings):
        sends = Computed

    for consumer, model in ((Meetings, Meeting), (Others, Computed)):
        async with connected(consumer.as_asgi()) as wire:
            await wire.end()
            assert f"{model.__name__}.at" in str(wire.error)
            assert "rename the field" in str(wire.error)


# Messages that come twice


async def test_a_message_that_is_sent_again_after_a_cut_is_kept_once() -> None:
    again = {"type": "say", "text": "hi", "id": "m1"}
    async with joining(client=KEY) as (wire, joined):
        wire.text(json.dumps(again))
        assert {(await heard(wire))["type"] for _ in range(2)} == {"said", "ack"}
    async with joining(Chat, f"room:{joined['position']}", client=KEY) as (wire, _):
        assert (await heard(wire))["text"] == "hi"
        assert await ask(wire, again) == {"type": "ack", "to": "m1"}
        await say("after")
        assert (await heard(wire))["text"] == "after"


@pytest.mark.parametrize(
    ("other", "user"), [("another-key-of-22-chars", None), (KEY, SimpleUser("bob")), (None, None), ("short", None)]
)
async def test_the_same_id_of_somebody_else_is_another_message(other: str | None, user: Any) -> None:
    message = json.dumps({"type": "say", "text": "hi", "id": 1})
    scope = {} if user is None else {"user": user}
    async with joining(client=KEY) as (wire, _), joining(client=other, **scope) as (theirs, _):
        for each in (wire, theirs):
            each.text(message)
        texts = [await heard(wire) for _ in range(3)]
        assert sorted(each["type"] for each in texts) == ["ack", "said", "said"]


async def test_two_messages_of_one_handler_are_two() -> None:
    class Twice(Chat):
        @on
        async def say(self, message: Say) -> None:
            for _ in range(2):
                await self.group_send_message("chat.1", Said(user="ann", text=message.text))

    async with joining(Twice, client=KEY) as (wire, _):
        for _ in range(2):
            wire.text('{"type": "say", "text": "hi", "id": 1}')
        assert sorted([(await heard(wire))["type"] for _ in range(4)]) == ["ack", "ack", "said", "said"]
        await say("after")
        assert (await heard(wire))["text"] == "after"


async def test_a_group_without_history_gets_a_message_each_time() -> None:
    class Lobby(TypedConsumer):
        groups = ["lobby"]
        sends = Said

        @on
        async def say(self, message: Say) -> None:
            await self.group_send_message("lobby", Said(user="ann", text=message.text))

    async with connected(Lobby.as_asgi(), query_string=query(client=KEY)) as wire:
        for _ in range(2):
            wire.text('{"type": "say", "text": "hi", "id": 1}')
        assert sorted([(await heard(wire))["type"] for _ in range(4)]) == ["ack", "ack", "said", "said"]


async def test_a_handler_can_ask_for_the_messages_name() -> None:
    class Named(TypedConsumer):
        sends = Said

        async def connect(self) -> None:
            assert self.message_id is None
            await self.accept()

        @on
        async def say(self, message: Say) -> Said:
            return Said(user=str(self.message_id), text="")

    async with connected(Named.as_asgi(), query_string=query(client=KEY)) as wire:
        first = (await ask(wire, {"type": "say", "text": "x", "id": 1}))["user"]
        assert len(first) == 40
        assert (await ask(wire, {"type": "say", "text": "x", "id": 1}))["user"] == first
        assert (await ask(wire, {"type": "say", "text": "x", "id": 2}))["user"] != first
        assert (await ask(wire, {"type": "say", "text": "x"}))["user"] == "None"


async def test_what_a_handler_has_started_and_left_behind_handles_no_message() -> None:
    ids = []

    class Later(Chat):
        @on
        async def say(self, message: Say) -> None:
            self.start_background_task(self.go_on)

        async def go_on(self) -> None:
            ids.append(self.message_id)
            await self.group_send_message("chat.1", Said(user="ann", text="later"))

    async with joining(Later, client=KEY) as (wire, _):
        for _ in range(2):
            wire.text('{"type": "say", "text": "hi", "id": 1}')
        texts = [(await heard(wire))["type"] for _ in range(4)]
        assert sorted(texts) == ["ack", "ack", "said", "said"]
    assert ids == [None, None]


# Across processes


@only_asyncio
async def test_over_redis_a_client_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_redis() as server:
        async with RedisPubSubChannelLayer(hosts=[server.url], history=HISTORY) as layer:
            monkeypatch.setitem(channel_layers.backends, "default", layer)
            client = WebsocketCommunicator(Chat.as_asgi(), "/")
            await client.connect()
            joined = await client.receive_json_from()
            [position] = await say("hi")
            assert (await client.receive_json_from())["at"] == ["room", position]
            await client.disconnect()
            await say("missed")
            client = WebsocketCommunicator(Chat.as_asgi(), f"/?since=room:{position}")
            await client.connect()
            again = await client.receive_json_from()
            assert again["recovered"]
            assert (await client.receive_json_from())["text"] == "missed"
            assert joined["position"] != again["position"]
            await client.disconnect()
