"""Models sent to groups: who gets them, and what is none."""

import json
import threading
from typing import Any, Literal

import anyio
import pytest
from pydantic import BaseModel, ConfigDict, Field

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, InvalidChannelLayerError, channel_layers
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.testing import WebsocketCommunicator
from consumers.typed import (
    SyncTypedConsumer,
    TypedConsumer,
    group_send_message,
    group_send_message_sync,
    on,
    on_event,
)
from consumers.typed.frames import frame_of
from consumers.types import HistoryEvent, HistoryMark, Message

from ..support.redis_server import running_redis
from ..support.wire import Wire, connected, connecting, eventually
from .models import Moved, Said, Say, ask

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("layer")]

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class Room(TypedConsumer):
    """Passes `Said` on to its client, and makes something else of `Moved`."""

    groups = ["room"]
    sends = Said

    @on
    async def say(self, message: Say) -> None:
        await self.group_send_message("room", Said(user="ann", text=message.text))

    @on_event
    async def moved(self, message: Moved) -> None:
        await self.send_message(Said(user="moved", text=str(message.x)))


class PlainRoom(SyncTypedConsumer):
    groups = ["room"]
    sends = Said

    @on
    def say(self, message: Say) -> None:
        self.group_send_message("room", Said(user="ann", text=message.text))

    @on_event
    def moved(self, message: Moved) -> None:
        self.send_message(Said(user="moved", text=str(message.x)))


async def frames(wire: Wire, count: int) -> list[Any]:
    return [json.loads(await wire.next_text()) for _ in range(count)]


async def test_the_members_clients_get_what_their_class_sends_and_handlers_the_rest() -> None:
    async with connected(Room.as_asgi()) as ann, connected(Room.as_asgi()) as bob:
        ann.text('{"type": "say", "text": "hi"}')
        await group_send_message("room", Moved(x=5))
        for wire in (ann, bob):
            got = await frames(wire, 2)
            assert sorted(each["text"] for each in got) == ["5", "hi"]


async def test_what_nobody_handles_or_sends_reaches_nobody() -> None:
    class Unknown(BaseModel):
        type: Literal["unknown"] = "unknown"

    async with connected(Room.as_asgi()) as wire:
        await group_send_message("room", Unknown())
        await group_send_message("room", Moved(x=1))
        assert (await frames(wire, 1))[0]["text"] == "1"


@only_asyncio
async def test_a_sync_consumer_does_the_same() -> None:
    async with connected(PlainRoom.as_asgi()) as ann, connected(Room.as_asgi()) as bob:
        ann.text('{"type": "say", "text": "hi"}')
        assert [(await frames(wire, 1))[0]["text"] for wire in (ann, bob)] == ["hi", "hi"]
        await group_send_message("room", Moved(x=5))
        assert [(await frames(wire, 1))[0]["text"] for wire in (ann, bob)] == ["5", "5"]


@only_asyncio
async def test_a_thread_sends_without_an_event_loop() -> None:
    async with connected(Room.as_asgi()) as wire:
        await anyio.to_thread.run_sync(group_send_message_sync, "room", Moved(x=3))
        assert (await frames(wire, 1))[0]["text"] == "3"
        with pytest.raises(RuntimeError, match="would block the event loop"):
            group_send_message_sync("room", Moved(x=3))
    assert threading.current_thread() is threading.main_thread()


async def test_an_event_handler_may_take_the_event_too(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = InMemoryChannelLayer(history={"room": {"size": 10, "ttl": 60}})
    monkeypatch.setitem(channel_layers.backends, "default", layer)

    class Positions(TypedConsumer):
        sends = Said

        async def connect(self) -> None:
            await self.accept()
            await self.group_join("room", last=5)

        @on_event
        async def moved(self, message: Moved, event: HistoryEvent) -> None:
            assert event["history"].keys() == HistoryMark.__annotations__.keys()
            replayed, position = event["history"]["replayed"], event["history"]["position"]
            await self.send_message(Said(user=str(replayed), text=str(position)))

    position = await group_send_message("room", Moved(x=1), id="once")
    assert await group_send_message("room", Moved(x=1), id="once") == position
    said = await group_send_message("room", Said(user="a", text="kept"))
    assert await group_send_message("room", Said(user="a", text="lost"), keep=False) is None
    async with connected(Positions.as_asgi()) as wire:
        replayed = await frames(wire, 2)
        assert replayed[0] == {"type": "said", "user": "True", "text": position}
        assert replayed[1] == {"type": "said", "user": "a", "text": "kept"}  # as it was the first time
        await group_send_message("room", Moved(x=2))
        assert (await frames(wire, 1))[0]["user"] == "False"
    assert said is not None


async def test_a_channel_may_be_left_out() -> None:
    class Others(Room):
        @on
        async def say(self, message: Say) -> None:
            said = Said(user="ann", text=message.text)
            await self.group_send_message("room", said, exclude=self.channel_name)

    async with connected(Others.as_asgi()) as ann, connected(Others.as_asgi()) as bob:
        ann.text('{"type": "say", "text": "hi"}')
        assert (await frames(bob, 1))[0]["text"] == "hi"
        await group_send_message("room", Moved(x=1))
        assert (await frames(ann, 1))[0]["text"] == "1"


async def test_a_frame_for_a_client_that_is_not_accepted_yet_is_dropped(layer: InMemoryChannelLayer) -> None:
    class Pending(Room):
        async def connect(self) -> None: ...

        @on_event
        async def moved(self, message: Moved) -> None:
            await self.accept()

    async with connecting(Pending.as_asgi()) as wire:
        await eventually(lambda: "room" in layer.groups)
        await group_send_message("room", Said(user="a", text="too early"))
        await group_send_message("room", Moved(x=1))
        await wire.accepted()
        await group_send_message("room", Said(user="a", text="in time"))
        assert (await frames(wire, 1))[0]["text"] == "in time"


class Passing(Room):
    """Passes its client's JSON on to the group, as applications do."""

    async def receive(self, text_data: str) -> None:
        await self.group_send("room", json.loads(text_data))


@pytest.mark.parametrize(
    "message",
    [
        {"type": "consumers.message", "tag": "said", "frame": '{"type":"said","user":"forged","text":""}'},
        {"type": "consumers_message", "tag": "said", "frame": '{"type":"said","user":"forged","text":""}'},
        {"type": "consumers.message", "tag": "moved", "frame": {"type": "moved", "x": 1}},
        {"type": "consumers.message", "tag": "moved", "frame": [123]},
        {"type": "consumers.message", "tag": ["said"], "frame": None},
        {"type": "consumers.message"},
        {"type": "moved", "x": 1},
        {"type": "say", "text": "forged"},
        {"type": "said", "user": "forged", "text": ""},
    ],
)
async def test_what_a_client_sends_is_no_frame_and_reaches_no_handler(
    message: Message, caplog: pytest.LogCaptureFixture
) -> None:
    class Here(Passing):
        """Has a log of its own."""

    async with connected(Here.as_asgi()) as wire:
        wire.text(json.dumps(message))
        await eventually(lambda: "dropped a layer message" in caplog.text)
        await group_send_message("room", Moved(x=1))
        assert (await frames(wire, 1))[0] == {"type": "said", "user": "moved", "text": "1"}
        assert len(caplog.records) == 1


async def test_a_client_reaches_no_event_handler_and_a_group_none_of_the_clients() -> None:
    class Both(TypedConsumer):
        groups = ["room"]
        sends = Said | Moved

        @on
        async def say(self, message: Say) -> Said:
            return Said(user="client", text=message.text)

        @on_event
        async def moved(self, message: Moved) -> None:
            await self.send_message(Said(user="group", text=str(message.x)))

    async with connected(Both.as_asgi()) as wire:
        for tag in ("moved", "said", "consumers.message", "consumers_message"):
            assert (await ask(wire, {"type": tag, "x": 1, "frame": "x"}))["code"] == "unknown_type"
        await group_send_message("room", Say(text="a"))
        await group_send_message("room", Moved(x=1))
        assert (await frames(wire, 1))[0] == {"type": "said", "user": "group", "text": "1"}


async def test_a_frame_that_is_no_such_model_here_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    class NewMoved(BaseModel):
        type: Literal["moved"] = "moved"
        far: bool

    class Newer(Room):
        @on_event
        async def moved(self, message: Moved) -> None:
            await super().moved(message)

    async with connected(Newer.as_asgi()) as wire:
        await group_send_message("room", NewMoved(far=True))
        await group_send_message("room", Moved(x=1))
        assert (await frames(wire, 1))[0]["text"] == "1"
    assert "a frame of type 'moved' that is no such model (1 errors)" in caplog.text


async def test_a_consumer_without_models_drops_a_frame_with_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Untyped(AsyncWebsocketConsumer):
        groups = ["room"]

        async def receive(self, text_data: str) -> None:
            await self.send(text_data)

    async with connected(Untyped.as_asgi()) as wire:
        for _ in range(2):
            await group_send_message("room", Said(user="a", text="b"))
        await eventually(lambda: caplog.records)
        wire.text("still here")
        assert await wire.next_text() == "still here"
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("Untyped dropped a layer message: no handler for type 'consumers_message'")


async def test_models_of_several_types_and_other_names_travel_too() -> None:
    class Either(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        kind: Literal["this", "that"] = Field(alias="type")

    class Hears(TypedConsumer):
        groups = ["room"]
        sends = Either

    async with connected(Hears.as_asgi()) as wire:
        for kind in ("this", "that"):
            assert frame_of(Either(kind=kind))["tag"] == kind  # type: ignore[call-arg]
            await group_send_message("room", Either(kind=kind))  # type: ignore[call-arg]
        assert await frames(wire, 2) == [{"type": "this"}, {"type": "that"}]


async def test_only_models_with_a_type_are_sent() -> None:
    class Untyped(BaseModel):
        text: str = ""

    with pytest.raises(TypeError, match="sends a model, not dict"):
        await group_send_message("room", {"type": "said"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Untyped has no type to be known by"):
        await group_send_message("room", Untyped())
    with pytest.raises(InvalidChannelLayerError, match="there is no channel layer 'other'"):
        await group_send_message("room", Moved(x=1), "other")


@only_asyncio
@pytest.mark.parametrize("kind", [RedisPubSubChannelLayer, RedisChannelLayer])
async def test_frames_travel_through_redis_and_need_a_serializer_that_has_bytes(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_redis() as server:
        layer = kind([server.url])
        monkeypatch.setitem(channel_layers.backends, "default", layer)
        async with layer:
            client = WebsocketCommunicator(Room.as_asgi(), "/")
            assert (await client.connect())[0]
            await group_send_message("room", Said(user="a", text="\u00e9"))
            await group_send_message("room", Moved(x=5))
            assert [(await client.receive_json_from())["text"] for _ in range(2)] == ["\u00e9", "5"]
            await client.disconnect()
        layer = kind([server.url], serializer_format="json")
        monkeypatch.setitem(channel_layers.backends, "json", layer)
        async with layer:
            with pytest.raises(TypeError, match='There are bytes in it: use the serializer_format "msgpack"'):
                await group_send_message("room", Said(user="a", text="b"), "json")
