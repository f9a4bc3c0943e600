"""Channels that a message to a group leaves out: in one process, and on layers of others' making."""

import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from compat.channels.layers import InMemoryChannelLayer as CompatInMemoryChannelLayer
from consumers import (
    AsyncJsonWebsocketConsumer,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    Joined,
    JsonWebsocketConsumer,
    channel_layers,
    telemetry,
)
from consumers.layers import group_send_sync
from consumers.layers._adapt import adapt
from consumers.layers._history import History
from consumers.types import Message

from ..support.contract import Mailbox
from ..support.wire import connected, eventually

pytestmark = pytest.mark.anyio

KEPT: History = {"kept": {"size": 10, "ttl": 60}}


class Sealing(InMemoryChannelLayer):
    """Sends in a way of its own."""

    async def send(self, channel: str, message: Message) -> None:
        await super().send(channel, {**message, "sealed": True})


class Foreign:
    """A layer as others write them."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, channel: str, message: Message) -> None: ...

    async def receive(self, channel: str) -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async def new_channel(self) -> str:
        return "foreign!1"

    async def group_add(self, group: str, channel: str) -> None: ...

    async def group_discard(self, group: str, channel: str) -> None: ...

    async def group_send(self, group: str, message: Message) -> None:
        self.sent.append(message)


class Modern(Foreign):
    """One that has learnt to exclude."""

    async def group_send(self, group: str, message: Message, exclude: Any = ()) -> None:
        self.sent.append((message, exclude))


class Generous(Foreign):
    """One that takes whatever there is."""

    async def group_send(self, group: str, message: Message, **options: Any) -> None:
        self.sent.append((message, options))


async def members(layer: InMemoryChannelLayer, group: str, count: int) -> list[tuple[str, Mailbox]]:
    found = []
    for _ in range(count):
        mailbox = Mailbox()
        found.append((layer.attach(mailbox.deliver), mailbox))
        await layer.group_add(group, found[-1][0])
    return found


@pytest.mark.parametrize("kind", [InMemoryChannelLayer, CompatInMemoryChannelLayer, Sealing])
async def test_a_subclass_excludes_too(kind: type[InMemoryChannelLayer]) -> None:
    layer = kind()
    (name, mailbox), (_, other) = await members(layer, "room", 2)
    await layer.group_add("room", "worker")
    await layer.group_send("room", {"type": "test"}, exclude=[name, "worker"])
    await layer.group_send("room", {"type": "end"})
    assert [message["type"] for message in mailbox.messages] == ["end"]
    assert [message["type"] for message in other.messages] == ["test", "end"]
    assert (await layer.receive("worker"))["type"] == "end"


@pytest.mark.parametrize("kind", [InMemoryChannelLayer, Sealing])
async def test_who_excludes_everybody_has_not_sent_to_nobody(
    kind: type[InMemoryChannelLayer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "consumers.layers")
    layer = kind()
    [(name, mailbox)] = await members(layer, "room", 1)
    await layer.group_send("room", {"type": "test"}, exclude=name)
    assert mailbox.messages == [] and "reached nobody" not in caplog.text
    await layer.group_send("empty", {"type": "test"}, exclude=name)
    assert "nobody is in the group 'empty'" in caplog.text


async def test_a_message_that_is_kept_or_not_leaves_them_out_and_so_does_its_replay() -> None:
    layer = InMemoryChannelLayer(history=KEPT)
    (name, mailbox), (_, other) = await members(layer, "kept", 2)
    await layer.group_send("kept", {"type": "kept"}, exclude=name)
    await layer.group_send("kept", {"type": "unkept"}, keep=False, exclude=[name])
    await layer.group_send("kept", {"type": "end"})
    assert [message["type"] for message in mailbox.messages] == ["end"]
    assert [message["type"] for message in other.messages] == ["kept", "unkept", "end"]
    await layer.group_discard("kept", name)
    await layer.group_add("kept", name, last=2)
    assert [message["type"] for message in mailbox.messages] == ["end", "end"]


async def test_a_member_on_another_event_loop_is_excluded() -> None:
    layer, mailbox, names, done = InMemoryChannelLayer(), Mailbox(), list[str](), threading.Event()

    async def live() -> None:
        names.append(layer.attach(mailbox.deliver))
        await layer.group_add("room", names[0])
        done.set()
        await mailbox.holds(1)

    thread = threading.Thread(target=anyio.run, args=[live])
    thread.start()
    await anyio.to_thread.run_sync(done.wait)
    await layer.group_send("room", {"type": "test"}, exclude=names)
    await layer.group_send("room", {"type": "end"})
    await anyio.to_thread.run_sync(thread.join)
    assert mailbox.messages == [{"type": "end"}]


# Consumers


class Board(AsyncJsonWebsocketConsumer):
    groups = ["room"]
    raw_frames = True

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        position = await self.group_send_json("room", content, keep=False, exclude=self.channel_name)
        await self.send_json({"sent": position})


class PlainBoard(JsonWebsocketConsumer):
    groups = ["room"]
    raw_frames = True

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        position = self.group_send_json("room", content, keep=False, exclude=[self.channel_name])
        self.send_json({"sent": position})


class LimitedBoard(Board):
    max_groups = 1


@pytest.mark.parametrize("board", [Board, PlainBoard, LimitedBoard])
async def test_json_goes_to_all_but_the_sender(
    layer: InMemoryChannelLayer, anyio_backend: str, board: type[Board]
) -> None:
    if board is PlainBoard and anyio_backend == "trio":  # sync consumers need asyncio
        return
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connected(board.as_asgi())) for _ in range(3)]
        await eventually(lambda: len(layer.groups["room"]) == 3)
        for index, wire in enumerate(wires):
            wire.text(f'{{"from": {index}}}')
            assert await wire.next_text() == '{"sent": null}'
            for other in wires:
                if other is not wire:
                    assert await other.next_text() == f'{{"from": {index}}}'


async def test_a_consumer_with_a_limit_of_groups_passes_options_on_and_gets_the_answer(no_layer: None) -> None:
    class Member(AsyncJsonWebsocketConsumer):
        max_groups = 1

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            since = await self.channel_layer.position("kept")
            await self.channel_layer.group_send("kept", {"type": "test"}, id="a")
            await self.channel_layer.group_send("kept", {"type": "test"}, id="a")
            joined = await self.channel_layer.group_add("kept", self.channel_name, since=since)
            other = await self.channel_layer.group_add("kept", "worker", last=1)
            await self.send_json([isinstance(joined, Joined), joined.missed, joined.recovered, other.missed])

        async def test(self, event: Message) -> None:
            await self.send_json(event["history"]["replayed"])

    channel_layers.set("default", InMemoryChannelLayer(history=KEPT))
    async with connected(Member.as_asgi()) as wire:
        wire.text("{}")
        assert [await wire.next_text(), await wire.next_text()] == ["[true, 1, true, 1]", "true"]


# Layers of others' making


Send = Callable[..., Awaitable[Any]]


async def by_script(content: Any, **options: Any) -> None:
    await anyio.to_thread.run_sync(lambda: group_send_sync("room", {"type": "test"}, **options))


async def by_adapter(content: Any, **options: Any) -> None:
    await adapt(channel_layers["default"]).group_send("room", {"type": "test"}, **options)


async def by_consumer(content: Any, **options: Any) -> None:
    consumer = AsyncJsonWebsocketConsumer()
    consumer.channel_layer = channel_layers["default"]
    await consumer.group_send_json("room", content, **options)


@pytest.fixture(params=[False, True], ids=["plain", "measured"])
def is_measured(request: pytest.FixtureRequest, no_layer: None) -> Iterator[bool]:
    """Whether OpenTelemetry puts its methods in front of the layer's."""
    if request.param:
        telemetry.instrument()
    yield request.param
    if request.param:
        telemetry.uninstrument()


@pytest.mark.parametrize("send", [by_script, by_adapter, by_consumer])
async def test_a_layer_that_lacks_an_option_names_one_that_has_it(is_measured: bool, send: Send) -> None:
    layer: Any = Foreign()
    channel_layers.set("default", layer)
    with pytest.raises(
        InvalidChannelLayerError,
        match=r"is a \S*test_exclusion\.Foreign, which has no group_send\(exclude=…\): .*InMemoryChannelLayer",
    ):
        await send({}, exclude="name")
    await send({}, exclude=(), keep=False)
    assert len(layer.sent) == 1


@pytest.mark.parametrize("send", [by_script, by_adapter, by_consumer])
@pytest.mark.parametrize("kind", [Modern, Generous, Sealing])
async def test_a_layer_that_takes_an_option_gets_it(is_measured: bool, send: Send, kind: Any) -> None:
    layer = kind()
    channel_layers.set("default", layer)
    if kind is Sealing:
        (name, mailbox), (_, other) = await members(layer, "room", 2)
        await send({}, exclude=name)
        assert (len(mailbox.messages), len(other.messages)) == (0, 1)
        return
    await send({}, exclude="name")
    [(_, options)] = layer.sent
    assert options in ("name", {"exclude": "name"})


async def test_a_layer_without_history_takes_no_id(no_layer: None) -> None:
    layer: Any = Foreign()
    channel_layers.set("default", layer)
    with pytest.raises(InvalidChannelLayerError, match=r"Foreign, which has no group_send\(id=…\)"):
        await by_script({}, id="a")
    with pytest.raises(ValueError, match="id needs a group with history"):
        await by_adapter({}, id="a")
    with pytest.raises(ValueError, match="last must be a number of messages"):
        await adapt(layer).group_add("room", "name", last=-1)
    assert await adapt(layer).group_add("room", "name", since="x") == Joined(None, False, 0)
    assert layer.sent == []
