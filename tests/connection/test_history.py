"""Consumers in groups with history: the handler for what is new is the handler for what was missed."""

import logging
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from asgiref.sync import async_to_sync

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, WebsocketConsumer, channel_layers, close_group
from consumers._aio.mailbox import Mailbox
from consumers._aio.portable import PortableMailbox
from consumers.exceptions import ChannelFull, TooManyGroups
from consumers.types import Message

from ..support.history import say
from ..support.slow import left_to_ci
from ..support.wire import Wire, connected, eventually, run_app, websocket_scope

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])

CAPACITY = 8


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryChannelLayer]:
    """Give the test a layer of its own as the default one, on which nothing may be left at the end."""
    rules: Any = {"room*": {"size": 200, "ttl": 60}, "short": {"size": 5, "ttl": 60}}
    layer = InMemoryChannelLayer(capacity=CAPACITY, history=rules)
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    yield layer
    assert layer.groups == {}
    assert layer.channels == {}
    assert layer._local.feeds._feeds == {}


class Chat(AsyncWebsocketConsumer):
    """Joins the room since the position in its client's query string, and handles messages when it may."""

    room = "room"
    last = 0
    gate: anyio.Event | None = None

    async def connect(self) -> None:
        await self.accept()
        since = self.scope.get("query_string", b"").decode() or None
        joined = await self.channel_layer.group_add(self.room, self.channel_name, since=since, last=self.last)
        await self.send(f"joined {joined.recovered} {joined.missed}")

    async def test(self, event: Message) -> None:
        if self.gate is not None:
            await self.gate.wait()
        await self.send(f"{'missed' if event['history']['replayed'] else 'new'} {event['number']}")


def a_chat(base: type[Any] = Chat, **attributes: Any) -> Any:
    """Return a consumer class like this one."""
    return type("Chat", (base,), attributes)


async def texts(wire: Wire, count: int) -> list[str]:
    return [await wire.next_text() for _ in range(count)]


def new(*numbers: int) -> list[str]:
    return [f"new {number}" for number in numbers]


async def test_what_was_missed_comes_to_the_same_handler(layer: InMemoryChannelLayer) -> None:
    async with connected(Chat.as_asgi()) as wire:
        assert await wire.next_text() == "joined True 0"
        positions = await say(layer, "room", 1, 2)
        assert await texts(wire, 2) == new(1, 2)
    await say(layer, "room", 3, 4)
    async with connected(Chat.as_asgi(), query_string=positions[1].encode()) as wire:
        await say(layer, "room", 5)
        assert await texts(wire, 4) == ["joined True 2", "missed 3", "missed 4", "new 5"]
    async with connected(Chat.as_asgi(), query_string=b"forged") as wire:
        assert await wire.next_text() == "joined False 0"
        await say(layer, "room", 6)
        assert await wire.next_text() == "new 6"
    async with connected(a_chat(last=2).as_asgi()) as wire:
        assert await texts(wire, 3) == ["joined True 2", "missed 5", "missed 6"]


@pytest.mark.parametrize("capacity", [1, 2, 3, CAPACITY])
@pytest.mark.parametrize("overflow", ["drop", "close"])
async def test_a_full_mailbox_misses_nothing_and_ends_nobody(
    layer: InMemoryChannelLayer, capacity: int, overflow: str
) -> None:
    layer.capacity = capacity
    gate = anyio.Event()
    chat = a_chat(gate=gate, overflow=overflow, last=3)
    await say(layer, "room", 0, 1, 2)
    async with connected(chat.as_asgi()) as wire:
        assert await wire.next_text() == "joined True 3"
        await say(layer, "room", *range(3, 60))
        gate.set()
        assert await texts(wire, 60) == ["missed 0", "missed 1", "missed 2", *new(*range(3, 60))]
        await say(layer, "room", 60)
        assert await wire.next_text() == "new 60"
    assert layer.dropped == 0


async def test_what_is_not_kept_overflows_as_ever(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    gate = anyio.Event()
    async with connected(a_chat(gate=gate, overflow="close").as_asgi()) as wire:
        await wire.next_text()
        await say(layer, "room", *range(2 * CAPACITY))
        for number in range(CAPACITY + 2):
            await say(layer, "room", number, keep=False)
        await wire.end()
        assert wire.close_code == 1013


async def test_kept_messages_leave_room_for_others(layer: InMemoryChannelLayer) -> None:
    gate, names = anyio.Event(), list[str]()

    async def connect(self: Any) -> None:
        names.append(self.channel_name)
        await Chat.connect(self)

    async with connected(a_chat(gate=gate, connect=connect).as_asgi()) as wire:
        await wire.next_text()
        await say(layer, "room", *range(30))
        await anyio.wait_all_tasks_blocked()
        history = {"replayed": False}
        for number in range(100, 100 + CAPACITY // 2):
            await layer.send(names[0], {"type": "test", "number": number, "history": history})
        with pytest.raises(ChannelFull):
            await layer.send(names[0], {"type": "test", "number": 99, "history": history})
        gate.set()
        got = await texts(wire, 30 + CAPACITY // 2)
        assert [text for text in got if len(text) < len("new 100")] == new(*range(30))
        assert [text for text in got if len(text) == len("new 100")] == new(*range(100, 100 + CAPACITY // 2))


async def test_several_handlers_at_once_miss_nothing(layer: InMemoryChannelLayer) -> None:
    gate = anyio.Event()
    await say(layer, "room", *range(20))
    async with connected(a_chat(gate=gate, max_tasks=3, last=20).as_asgi()) as wire:
        assert await wire.next_text() == "joined True 20"
        await say(layer, "room", *range(20, 60))
        gate.set()
        got = await texts(wire, 60)
        assert sorted(got) == sorted([*(f"missed {number}" for number in range(20)), *new(*range(20, 60))])


@only_asyncio
async def test_a_sync_consumer_misses_nothing(layer: InMemoryChannelLayer) -> None:
    class SyncChat(WebsocketConsumer):
        def connect(self) -> None:
            self.accept()
            since = self.scope["query_string"].decode()
            joined = async_to_sync(self.channel_layer.group_add)("room", self.channel_name, since=since)
            self.send(f"joined {joined.recovered} {joined.missed}")

        def test(self, event: Message) -> None:
            self.send(f"{'missed' if event['history']['replayed'] else 'new'} {event['number']}")

    first = str(await layer.position("room"))
    await say(layer, "room", *range(30))
    async with connected(SyncChat.as_asgi(), query_string=first.encode()) as wire:
        assert await wire.next_text() == "joined True 30"
        await say(layer, "room", *range(30, 60))
        assert await texts(wire, 60) == [*(f"missed {number}" for number in range(30)), *new(*range(30, 60))]


async def test_raw_frames_are_kept_and_replayed(layer: InMemoryChannelLayer) -> None:
    chat = a_chat(raw_frames=True, last=30)
    for number in range(20):
        await layer.group_send("room", {"type": "websocket.send", "text": str(number)})
    async with connected(chat.as_asgi()) as wire:
        for number in range(20, 40):
            await layer.group_send("room", {"type": "websocket.send", "text": str(number)})
        assert await texts(wire, 41) == ["joined True 20", *map(str, range(40))]


async def test_a_limit_of_groups_counts_those_with_history(layer: InMemoryChannelLayer) -> None:
    await say(layer, "room", 1)

    async def connect(self: Any) -> None:
        await Chat.connect(self)
        try:
            await self.channel_layer.group_add("room.2", self.channel_name, since=None, last=5)
        except TooManyGroups:
            await self.send("too many")
            raise

    async with connected(a_chat(max_groups=1, last=1, connect=connect).as_asgi()) as wire:
        assert await texts(wire, 2) == ["joined True 1", "too many"]
        await wire.end()
        assert wire.close_code == 1008


async def test_the_groups_of_a_class_bring_what_is_new(layer: InMemoryChannelLayer) -> None:
    await say(layer, "room", 1)

    class Lobby(AsyncWebsocketConsumer):
        groups = ["room", "short"]
        test = Chat.test
        gate = None

    async with connected(Lobby.as_asgi()) as wire:
        await say(layer, "room", 2)
        await say(layer, "short", 3)
        assert await texts(wire, 2) == new(2, 3)


# Gaps


async def test_a_consumer_is_told_once_of_what_left_the_log(layer: InMemoryChannelLayer) -> None:
    gate = anyio.Event()

    async def layer_gap(self: Any, event: Message) -> None:
        await self.send(f"gap in {event['group']}")

    async with connected(a_chat(room="short", gate=gate, layer_gap=layer_gap).as_asgi()) as wire:
        await wire.next_text()
        await say(layer, "short", *range(50))
        gate.set()
        got = [await wire.next_text()]
        while got[-1] != "new 49":
            got.append(await wire.next_text())
        assert got.count("gap in short") == 1
        place = got.index("gap in short")
        assert got[:place] == new(*range(place))
        assert got[place + 1 :] == new(*range(45, 50))
        await say(layer, "short", 50)
        assert await wire.next_text() == "new 50"


@pytest.mark.parametrize("strict_types", [False, True])
async def test_a_consumer_without_a_handler_for_gaps_goes_on(
    layer: InMemoryChannelLayer, strict_types: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gate = anyio.Event()
    caplog.set_level(logging.INFO)
    async with connected(a_chat(room="short", gate=gate, strict_types=strict_types).as_asgi()) as wire:
        await wire.next_text()
        await say(layer, "short", *range(50))
        gate.set()
        while await wire.next_text() != "new 49":
            pass
        await say(layer, "short", 50)
        assert await wire.next_text() == "new 50"
    assert not [record for record in caplog.records if record.name.startswith("consumers")]


# Endings in a replay; the fixture looks for what is left


@pytest.mark.parametrize("max_tasks", [1, 2])
async def test_a_client_that_leaves_in_a_replay_leaves_nothing_behind(
    layer: InMemoryChannelLayer, max_tasks: int
) -> None:
    gate = anyio.Event()
    await say(layer, "room", *range(100))
    async with connected(a_chat(gate=gate, last=100, max_tasks=max_tasks).as_asgi()) as wire:
        await wire.next_text()
        wire.disconnect()
        await eventually(lambda: wire.everything_is_read)
        await anyio.wait_all_tasks_blocked()
        await say(layer, "room", 100)
        gate.set()
        await wire.end()


async def test_a_connection_that_is_cancelled_in_a_replay_leaves_nothing_behind(layer: InMemoryChannelLayer) -> None:
    await say(layer, "room", *range(100))
    async with connected(a_chat(gate=anyio.Event(), last=100).as_asgi()) as wire:
        await wire.next_text()
        await anyio.wait_all_tasks_blocked()
        assert wire.scope is not None
        wire.scope.cancel()
        await wire.end()


async def test_a_handler_that_fails_in_a_replay_leaves_nothing_behind(layer: InMemoryChannelLayer) -> None:
    async def test(self: Any, event: Message) -> None:
        if event["number"] == 5:
            raise ZeroDivisionError

    await say(layer, "room", *range(100))
    async with connected(a_chat(test=test, last=100).as_asgi()) as wire:
        await wire.next_text()
        await wire.end()
    assert isinstance(wire.error, ZeroDivisionError)
    assert wire.close_code == 1011


async def test_a_group_is_closed_in_a_replay(layer: InMemoryChannelLayer) -> None:
    await say(layer, "room", *range(100))
    async with connected(a_chat(gate=anyio.Event(), last=100).as_asgi()) as wire:
        await wire.next_text()
        await close_group("room", 4001, "bye")
        await wire.end()
        assert wire.close_code == 4001


async def test_who_leaves_the_group_in_a_replay_gets_what_it_holds_and_no_more(layer: InMemoryChannelLayer) -> None:
    async def test(self: Any, event: Message) -> None:
        if event["number"] == 2:
            await self.channel_layer.group_discard("room", self.channel_name)
        await Chat.test(self, event)

    async def done(self: Any, event: Message) -> None:
        await self.send("done")

    await say(layer, "room", *range(100))
    names: list[str] = []

    async def connect(self: Any) -> None:
        names.append(self.channel_name)
        await Chat.connect(self)

    async with connected(a_chat(test=test, done=done, connect=connect, last=100).as_asgi()) as wire:
        await wire.next_text()
        await anyio.wait_all_tasks_blocked()
        await layer.send(names[0], {"type": "done"})
        got = [await wire.next_text()]
        while got[-1] != "done":
            got.append(await wire.next_text())
        assert 3 <= len(got) - 1 <= 3 + CAPACITY // 2
        assert got[:-1] == [f"missed {number}" for number in range(len(got) - 1)]


@pytest.mark.parametrize("anyio_backend", ["asyncio", *left_to_ci("trio")])
async def test_a_hundred_connections_come_and_go_in_replays(layer: InMemoryChannelLayer) -> None:
    await say(layer, "room", *range(100))
    async with anyio.create_task_group() as tasks:
        wires = [Wire() for _ in range(100)]
        for number, wire in enumerate(wires):
            wire.client("connect")
            chat = a_chat(last=number, gate=anyio.Event() if number % 3 else None, disconnect_timeout=0.01)
            tasks.start_soon(run_app, wire, chat.as_asgi(), websocket_scope())
        for wire in wires:
            await wire.accepted()
        await say(layer, "room", 100, 101)
        for number, wire in enumerate(wires):
            if number % 2:
                wire.disconnect()
            else:
                assert wire.scope is not None
                wire.scope.cancel()
        for wire in wires:
            await wire.end()


# The mailbox


async def test_a_layer_that_cannot_go_on_ends_no_connection(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def resume(name: str) -> None:
        raise ZeroDivisionError

    gate = anyio.Event()
    async with connected(a_chat(gate=gate).as_asgi()) as wire:
        await wire.next_text()
        await say(layer, "room", *range(20))
        with monkeypatch.context() as patch:
            patch.setattr(layer, "resume", resume)
            gate.set()
            assert await texts(wire, CAPACITY // 2) == new(*range(CAPACITY // 2))
            await anyio.wait_all_tasks_blocked()
        assert "could not resume" in caplog.text
    assert wire.error is None


class Owner:
    def __init__(self) -> None:
        self.rooms = 0

    def _on_overflow(self) -> None:
        raise AssertionError

    def _on_layer_room(self) -> None:
        self.rooms += 1


async def make_mailbox(limit: int) -> tuple[Mailbox, Owner]:
    owner = Owner()
    return PortableMailbox(1, 1000, limit, owner), owner


@pytest.mark.parametrize(("limit", "room", "quarter"), [(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 2, 1), (100, 50, 25)])
async def test_a_mailbox_takes_up_to_half_and_asks_for_more_at_a_quarter(limit: int, room: int, quarter: int) -> None:
    mailbox, owner = await make_mailbox(limit)
    for left in range(room, 0, -1):
        assert mailbox.room() == left
        mailbox.put_layer({"type": "test"})
    for _ in range(room - quarter - 1):
        mailbox.take()
    assert owner.rooms == 0
    assert mailbox.room() == room - quarter - 1 or mailbox.room() == 0
    while len(mailbox.messages) > quarter:
        mailbox.take()
    asked = owner.rooms
    mailbox.put_layer({"type": "test"})
    mailbox.take()
    assert owner.rooms == asked


async def test_a_mailbox_asks_for_more_only_if_it_has_refused_some() -> None:
    mailbox, owner = await make_mailbox(4)
    for _ in range(2):
        mailbox.put_layer({"type": "test"})
    while mailbox.messages:
        mailbox.take()
    assert owner.rooms == 0
    for _ in range(2):
        mailbox.put_layer({"type": "test"})
    assert mailbox.room() == 0
    mailbox.take()
    assert owner.rooms == 1
    mailbox.take()
    assert owner.rooms == 1


async def test_a_mailbox_that_is_closed_takes_no_more_and_asks_for_none() -> None:
    mailbox, owner = await make_mailbox(4)
    mailbox.put_layer({"type": "test"})
    mailbox.is_closed = True
    assert mailbox.room() == 0
    mailbox.take()
    assert owner.rooms == 0
