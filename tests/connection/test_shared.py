"""Shared frames: who may be written to directly, and that the client sees no difference."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from consumers import (
    AsyncConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    WebsocketConsumer,
    channel_layers,
    relay,
    relay_json,
)
from consumers.types import Message

from ..support.shared import SharingWire, encoded, replacing, sharing
from ..support.wire import connected, eventually

pytestmark = pytest.mark.anyio


class Member(AsyncWebsocketConsumer):
    groups = ["room"]
    raw_frames = True
    chat_message = relay("text")

    async def receive(self, text_data: str) -> None:
        await self.send(text_data)

    async def note(self, event: Message) -> None:
        await self.send(event["text"])


def say(text: str) -> Message:
    return {"type": "chat.message", "text": text}


def frame(text: str) -> Message:
    return {"type": "websocket.send", "text": text}


def changed(base: type[Any] = Member, **attributes: Any) -> type[Any]:
    """Return a class that differs in something."""
    return type(base.__name__, (base,), {"__module__": __name__, **attributes})


async def contents(wire: SharingWire, count: int) -> list[str | bytes]:
    return [await wire.next_content() for _ in range(count)]


async def expect_the_usual_way(consumer: type[Any], layer: InMemoryChannelLayer) -> None:
    async with sharing(consumer.as_asgi()) as (wire,):
        await layer.group_send("room", say("hello"))
        assert await wire.next_content() == "hello"
        assert wire.written == []


# Who may be written to


async def test_a_frame_is_encoded_once_and_written_before_the_sender_goes_on(layer: InMemoryChannelLayer) -> None:
    async with sharing(*[Member.as_asgi()] * 3) as wires:
        for message in (say("hello"), frame("raw"), {"type": "chat_message", "text": b"\0"}):
            layer._local.group_send("room", message)  # not awaited: nothing else runs
        assert [wire.written for wire in wires] == [["hello", "raw", b"\0"]] * 3
        assert encoded == ["hello", "raw", b"\0"]
        assert [wire.sends for wire in wires] == [1] * 3  # the accept


async def test_without_the_servers_extension_handlers_send(layer: InMemoryChannelLayer) -> None:
    async with sharing(Member.as_asgi(), offers=False) as (wire,):
        await layer.group_send("room", say("hello"))
        assert await wire.next_content() == "hello"
        assert wire.sends == 2


@pytest.mark.parametrize("attributes", [{"shared_frames": False}, {"max_tasks": 2}])
async def test_a_class_may_keep_every_message_for_its_handlers(
    layer: InMemoryChannelLayer, attributes: dict[str, Any]
) -> None:
    await expect_the_usual_way(changed(**attributes), layer)


async def test_it_can_be_switched_off_for_one_connection(layer: InMemoryChannelLayer) -> None:
    async def connect(self: Any) -> None:
        self.shared_frames = False
        await self.accept()

    await expect_the_usual_way(changed(connect=connect), layer)


async def _dispatch(self: Any, message: Message) -> None:
    await AsyncWebsocketConsumer.dispatch(self, message)


async def _send(self: Any, *args: Any, **kwargs: Any) -> None:
    await AsyncWebsocketConsumer.send(self, *args, **kwargs)


async def _websocket_send(self: Any, event: Message) -> None:
    await self.send(event["text"])


@pytest.mark.parametrize("on_instance", [False, True])
@pytest.mark.parametrize(
    ("name", "method"), [("dispatch", _dispatch), ("send", _send), ("websocket_send", _websocket_send)]
)
async def test_nothing_goes_past_a_method_that_sees_every_message(
    layer: InMemoryChannelLayer, name: str, method: Callable[..., Any], on_instance: bool
) -> None:
    await expect_the_usual_way(changed(**replacing(name, on_instance, method)), layer)


@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_nothing_goes_past_another_base_send(layer: InMemoryChannelLayer, is_wrapped: bool) -> None:
    seen = []

    async def connect(self: Any) -> None:
        original = self.base_send

        async def base_send(event: Message) -> None:
            seen.append(event)
            await original(event)

        if is_wrapped:
            base_send.__wrapped__ = original  # type: ignore[attr-defined]
        self.base_send = base_send
        await self.accept()

    await expect_the_usual_way(changed(connect=connect), layer)
    assert [event["type"] for event in seen] == ["websocket.accept", "websocket.send"]


async def test_a_mixin_that_replaces_a_method_counts(layer: InMemoryChannelLayer) -> None:
    class Logging:
        send = _send

    mixed = type("Mixed", (Logging, Member), {"__module__": __name__})
    await expect_the_usual_way(mixed, layer)


async def test_before_connect_has_ended_nothing_is_written(layer: InMemoryChannelLayer) -> None:
    accepted, decided = anyio.Event(), anyio.Event()

    async def connect(self: Any) -> None:
        await self.accept()
        accepted.set()
        await decided.wait()
        await self.send("first")

    async with sharing(changed(connect=connect).as_asgi()) as (wire,):
        await accepted.wait()
        layer._local.group_send("room", say("second"))
        assert wire.written == []
        decided.set()
        assert await contents(wire, 2) == ["first", "second"]


async def test_a_handshake_that_is_not_answered_gets_nothing(layer: InMemoryChannelLayer) -> None:
    async def connect(self: Any) -> None:
        """Leave it pending."""

    async with sharing(changed(connect=connect).as_asgi(), accepted=False) as (wire,):
        layer._local.group_send("room", frame("too early"))
        await anyio.wait_all_tasks_blocked()
        assert wire.written == [] and wire.sent == []


async def test_behind_messages_that_wait_it_waits_too(layer: InMemoryChannelLayer) -> None:
    async with sharing(Member.as_asgi()) as (wire,):
        layer._local.group_send("room", {"type": "note", "text": "first"})
        layer._local.group_send("room", say("second"))
        assert wire.written == []
        assert await contents(wire, 2) == ["first", "second"]
        await anyio.wait_all_tasks_blocked()
        layer._local.group_send("room", say("third"))
        assert wire.written == ["third"]


async def test_behind_a_handler_that_runs_it_waits_too(layer: InMemoryChannelLayer) -> None:
    begun, done = anyio.Event(), anyio.Event()

    async def receive(self: Any, text_data: str) -> None:
        begun.set()
        await done.wait()
        await self.send(text_data)

    async with sharing(changed(receive=receive).as_asgi()) as (wire,):
        wire.text("first")
        await begun.wait()
        layer._local.group_send("room", say("second"))
        assert wire.written == []
        done.set()
        assert await contents(wire, 2) == ["first", "second"]


async def test_behind_a_clients_message_that_has_come_it_waits_too(layer: InMemoryChannelLayer) -> None:
    async with sharing(Member.as_asgi()) as (wire,):
        texts = [str(number) for number in range(20)]
        for text in texts[::2]:
            wire.text(text)
        await eventually(lambda: wire.everything_is_read)
        assert sorted([await wire.next_content() for _ in texts[::2]], key=int) == texts[::2]


async def test_a_client_that_does_not_read_gets_it_through_its_mailbox(layer: InMemoryChannelLayer) -> None:
    async with sharing(Member.as_asgi()) as (wire,):
        wire.is_paused, wire.hold_sends = True, anyio.Event()
        for number in range(3):
            layer._local.group_send("room", say(str(number)))
        await anyio.wait_all_tasks_blocked()
        wire.is_paused = False
        layer._local.group_send("room", say("3"))  # behind a send that is under way
        assert wire.written == []
        wire.hold_sends.set()
        assert await contents(wire, 4) == list("0123")
        await anyio.wait_all_tasks_blocked()
        layer._local.group_send("room", say("4"))
        assert wire.written == ["4"]


async def test_its_mailbox_has_the_layers_capacity(layer: InMemoryChannelLayer) -> None:
    async with sharing(Member.as_asgi()) as (wire,):
        wire.is_paused, wire.hold_sends = True, anyio.Event()
        for number in range(150):
            await layer.group_send("room", say(str(number)))
        assert layer.dropped >= 48
        wire.hold_sends.set()
        assert await wire.next_content() == "0"


async def test_overflow_may_close_it(layer: InMemoryChannelLayer) -> None:
    async with sharing(changed(overflow="close").as_asgi(), Member.as_asgi()) as (slow, quick):
        slow.is_paused, slow.hold_sends = True, anyio.Event()
        for number in range(150):
            layer._local.group_send("room", say(str(number)))
        slow.hold_sends.set()
        await slow.end()
        assert slow.close_code == 1013
        assert len(quick.written) == 150


@pytest.mark.parametrize("how", ["close", "raise", "disconnect"])
async def test_nothing_follows_the_end(layer: InMemoryChannelLayer, how: str) -> None:
    async def receive(self: Any, text_data: str) -> None:
        if text_data == "raise":
            raise RuntimeError("as asked")
        await self.close()

    async with sharing(changed(receive=receive).as_asgi()) as (wire,):
        if how == "disconnect":
            wire.disconnect()
        else:
            wire.text(how)
        for _ in range(50):
            layer._local.group_send("room", say("hello"))
            if wire.close_code is not None or how == "disconnect":
                break
            wire.written.clear()
            await anyio.lowlevel.checkpoint()
        before = len(wire.written)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
            if wire.finished.is_set():
                break
        layer._local.group_send("room", say("too late"))
        assert wire.written[before:] == []


async def test_a_closed_group_is_written_to_no_more(layer: InMemoryChannelLayer) -> None:
    async with sharing(Member.as_asgi()) as (wire,):
        layer._local.close_members(4001, "bye", groups=["room"])
        layer._local.group_send("room", say("too late"))
        await wire.end()
        assert wire.written == [] and wire.close_code == 4001


async def test_a_sync_consumers_threads_are_spared(layer: InMemoryChannelLayer, anyio_backend: str) -> None:
    if anyio_backend == "trio":  # sync consumers need asyncio
        return

    class Sync(WebsocketConsumer):
        groups = ["room"]
        raw_frames = True
        chat_message = relay("text")

        def connect(self) -> None:
            mailboxes.append(self._connection._mailbox)
            self.accept()

        def note(self, event: Message) -> None:
            self.send(event["text"])

    mailboxes: list[Any] = []
    async with sharing(Sync.as_asgi(), Sync.as_asgi()) as wires:
        await eventually(lambda: all(mailbox.shortcut and mailbox.is_idle for mailbox in mailboxes))
        layer._local.group_send("room", say("first"))
        layer._local.group_send("room", frame("second"))
        assert [wire.written for wire in wires] == [["first", "second"]] * 2
        await layer.group_send("room", {"type": "note", "text": "third"})
        await layer.group_send("room", say("fourth"))
        for wire in wires:
            assert await contents(wire, 4) == ["first", "second", "third", "fourth"]


async def test_a_consumer_of_the_servers_events_shares_raw_frames(layer: InMemoryChannelLayer) -> None:
    class Low(AsyncConsumer):
        raw_frames = True

        async def websocket_connect(self, message: Message) -> None:
            await self.channel_layer.group_add("room", self.channel_name)
            await self.send({"type": "websocket.accept"})

    async with sharing(Low.as_asgi()) as (wire,):
        layer._local.group_send("room", frame("hello"))
        assert wire.written == ["hello"]


# What is shared


@pytest.mark.parametrize(
    "content", [{"text": "a", "bytes": b"b"}, {}, {"text": 1}, {"bytes": "no"}, {"text": "lone \ud800"}]
)
async def test_an_odd_frame_goes_the_usual_way(layer: InMemoryChannelLayer, content: dict[str, Any]) -> None:
    results = []
    for offers in (True, False):
        async with sharing(changed().as_asgi(), offers=offers) as (wire,):
            await layer.group_send("room", {"type": "websocket.send", **content})
            await layer.group_send("room", {"type": "note", "text": "after"})
            await eventually(lambda: wire.sent[-1].get("text") == "after")
            assert wire.written == []
            results.append(wire.sent[1:])
    assert results[0] == results[1]


async def test_raw_frames_have_to_be_switched_on_before_the_connection_begins(layer: InMemoryChannelLayer) -> None:
    async def connect(self: Any) -> None:
        self.raw_frames = True
        await self.accept()

    async with sharing(changed(raw_frames=False, connect=connect).as_asgi()) as (wire,):
        layer._local.group_send("room", frame("hello"))
        await anyio.wait_all_tasks_blocked()
        assert wire.written == [] and len(wire.sent) == 1


async def test_a_message_with_values_that_could_be_changed_is_shared_too(layer: InMemoryChannelLayer) -> None:
    class Json(AsyncJsonWebsocketConsumer):
        groups = ["room"]
        chat_message = relay_json("content")

    class Changing(Json):
        async def chat_message(self, event: Message) -> None:
            event["content"]["list"].append(2)
            await self.send_json(event["content"])

    async with sharing(Json.as_asgi(), Changing.as_asgi(), Json.as_asgi()) as (one, changing, two):
        content = {"list": [1]}
        layer._local.group_send("room", {"type": "chat.message", "content": content})
        assert one.written == two.written == ['{"list": [1]}']
        assert encoded == ['{"list": [1]}']
        assert await changing.next_content() == '{"list": [1, 2]}'
        assert content == {"list": [1]}


async def test_messages_of_a_group_with_history_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = InMemoryChannelLayer(history={"room": {"size": 10, "ttl": 60}})
    monkeypatch.setitem(channel_layers.backends, "default", layer)

    class Late(Member):
        groups = []

        async def connect(self) -> None:
            await self.accept()
            await self.channel_layer.group_add("room", self.channel_name, last=10)

    async with sharing(Member.as_asgi()) as (early,):
        for number in range(3):
            await layer.group_send("room", say(str(number)))
        assert early.written == list("012")
        async with sharing(Late.as_asgi()) as (late,):
            await layer.group_send("room", say("3"))
            assert await contents(late, 4) == list("0123")
            assert early.written == list("0123")


async def test_several_handlers_may_have_odd_names(layer: InMemoryChannelLayer) -> None:
    odd = changed(room_user_joined=relay("text"))
    async with sharing(odd.as_asgi()) as (wire,):
        for kind in ("room.user_joined", "room.user.joined", "room_user_joined"):
            layer._local.group_send("room", {"type": kind, "text": kind})
        assert wire.written == ["room.user_joined", "room.user.joined", "room_user_joined"]


async def test_nothing_of_a_connection_is_kept(layer: InMemoryChannelLayer) -> None:
    kept: list[weakref.ref[Any]] = []

    async def connect(self: Any) -> None:
        kept.append(weakref.ref(self))
        await self.accept()

    async with sharing(changed(connect=connect).as_asgi()) as (wire,):
        layer._local.group_send("room", say("hello"))
        assert wire.written == ["hello"]
    gc.collect()
    assert kept[0]() is None


async def test_a_real_wire_and_a_sharing_one_get_the_same(layer: InMemoryChannelLayer) -> None:
    async with sharing(Member.as_asgi()) as (wire,), connected(Member.as_asgi()) as usual:
        await anyio.wait_all_tasks_blocked()
        for text in ("hällo", "", "x" * 70_000):
            await layer.group_send("room", say(text))
            assert await usual.next_text() == await wire.next_content() == text


async def test_group_send_json_is_shared(layer: InMemoryChannelLayer) -> None:
    class Json(AsyncJsonWebsocketConsumer):
        groups = ["room"]
        raw_frames = True

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.group_send_json("room", content)

    contents = []
    for offers in (True, False):
        async with sharing(*[Json.as_asgi()] * 3, offers=offers) as wires:
            wires[0].text('{"a": ["b", 1.50]}')
            contents.append([await wire.next_content() for wire in wires])
            if offers:
                assert [wire.written for wire in wires[1:]] == [['{"a": ["b", 1.5]}']] * 2
    assert contents[0] == contents[1] == ['{"a": ["b", 1.5]}'] * 3


async def test_members_of_several_classes_get_what_theirs_says(layer: InMemoryChannelLayer) -> None:
    class Loud(Member):
        chat_message = relay("loud")

    class Handling(Member):
        async def chat_message(self, event: Message) -> None:
            await self.send(event["text"])

    kinds = (Member, Loud, Member, Handling, Loud, changed())
    async with sharing(*[kind.as_asgi() for kind in kinds]) as wires:
        for number in range(3):
            layer._local.group_send("room", {**say(f"a {number}"), "loud": f"A {number}"})
        for kind, wire in zip(kinds, wires, strict=True):
            letter = "A" if kind is Loud else "a"
            assert await contents(wire, 3) == [f"{letter} {number}" for number in range(3)]
            assert len(wire.written) == (0 if kind is Handling else 3)
        assert len(encoded) == 6
