"""How the library uses layers that lack a part of the contract, or have a way of their own."""

import inspect
import json
import math
from typing import Any
from unittest import mock

import anyio
import pytest

from compat.channels.layers import InMemoryChannelLayer as CompatInMemoryChannelLayer
from consumers import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    BaseChannelLayer,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    TooManyGroups,
    channel_layers,
    get_channel_layer,
)
from consumers.layers import group_send_sync, send_sync
from consumers.layers._adapt import CONTRACT, OF_SOME_LAYERS, AdaptedLayer, PumpedLayer, adapt, attach_connection
from consumers.layers.base import Layer
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.types import Close, Deliver, Message

from ..support.contract import Mailbox
from ..support.foreign import Foreign, Least
from ..support.wire import connected

pytestmark = pytest.mark.anyio


def no_room() -> int:
    raise AssertionError("only layers with history ask for room")


class Sealing(InMemoryChannelLayer):
    async def send(self, channel: str, message: Message) -> None:
        await super().send(channel, {**message, "sealed": True})


class Renaming(InMemoryChannelLayer):
    async def new_channel(self, prefix: str = "mine") -> str:
        return await super().new_channel(prefix)


class OfAnAuthor(Sealing):
    """Stands for a layer that is all an author's own, from before groups had a history."""

    def attach(self, deliver: Deliver, close: Close | None = None) -> str:  # type: ignore[override]
        return super().attach(deliver, close)

    async def receive(self, channel: str) -> dict[str, Any]:
        return await super().receive(channel)

    async def put_back(self, channel: str, message: Message) -> None:
        await super().put_back(channel, message)


@pytest.mark.parametrize(
    "layer",
    [
        InMemoryChannelLayer(),
        CompatInMemoryChannelLayer(),
        RedisChannelLayer(),
        RedisPubSubChannelLayer(),
        OfAnAuthor(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_with_the_whole_contract_is_used_as_it_is(layer: Layer) -> None:
    assert adapt(layer) is layer
    assert not layer.lacks


def test_a_layer_without_a_part_of_the_contract_cannot_be_made() -> None:
    class Half(Layer):
        async def receive(self, channel: str) -> dict[str, Any]:
            return {}

    half: Any = Half
    with pytest.raises(TypeError, match=r"abstract class Half.*attach.*close_group.*groups_of"):
        half()


async def test_a_layer_for_channels_needs_receive_alone() -> None:
    class Receiving(BaseChannelLayer):
        async def receive(self, channel: str) -> dict[str, Any]:
            return {"type": "test"}

    layer = adapt(Receiving())
    assert isinstance(layer, PumpedLayer)
    assert await layer.receive("any") == {"type": "test"}
    assert layer.get_capacity("any") == 100
    with pytest.raises(TypeError, match="Channel name must be"):
        layer.require_valid_channel_name("a b")


async def test_a_layer_is_wrapped_once_where_it_is_registered(no_layer: None) -> None:
    layer, other = Foreign(), Foreign()
    channel_layers.configure({"default": layer})
    assert get_channel_layer() is layer
    contract = channel_layers.adapted("default", layer)
    assert isinstance(contract, PumpedLayer) and channel_layers.adapted("default", layer) is contract
    channel_layers.set("default", other)
    assert get_channel_layer() is other
    assert channel_layers.adapted("default", other) not in (contract, other)


async def test_what_a_subclass_sends_in_its_own_way_is_not_put_back_past_that() -> None:
    layer = adapt(Sealing())
    assert isinstance(layer, AdaptedLayer) and not isinstance(layer, PumpedLayer)
    await layer.send("worker", {"type": "test"})
    assert layer.held("worker") == 0
    with pytest.raises(NotImplementedError):
        await layer.put_back("worker", {"type": "test"})
    assert await layer.receive("worker") == {"type": "test", "sealed": True}
    mailbox = Mailbox()
    name, pump = await attach_connection(layer, mailbox.deliver, mailbox.close, no_room, anyio.lowlevel.checkpoint)
    assert pump is None
    await layer.send(name, {"type": "test"})
    assert mailbox.messages == [{"type": "test", "sealed": True}]


async def test_what_there_is_no_room_for_waits_in_a_pumped_layer() -> None:
    layer = Renaming()
    mailbox, room = Mailbox(), anyio.Semaphore(0)
    name, pump = await attach_connection(adapt(layer), mailbox.deliver, mailbox.close, no_room, room.acquire)
    assert name.startswith("mine.") and pump is not None
    await layer.group_add("room", name)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump)
        for number in range(3):
            await layer.send(name, {"type": "test", "number": number})
        await anyio.wait_all_tasks_blocked()
        assert mailbox.messages == [] and layer.stored == 3
        room.release()
        await anyio.wait_all_tasks_blocked()
        assert [message["number"] for message in mailbox.messages] == [0] and layer.stored == 2
        await layer.close_group("room", 4001, "bye")
        assert mailbox.closed == (4001, "bye")
        tasks.cancel_scope.cancel()
    adapt(layer).detach(name)
    assert not layer.groups


async def test_a_foreign_layer_brings_nothing_that_only_layers_say(
    no_layer: None, caplog: pytest.LogCaptureFixture
) -> None:
    names: list[str] = []

    class Fooled(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            names.append(self.channel_name)
            await self.accept()

        async def presence_diff(self, event: Any) -> None:
            await self.send("fooled")

        async def note(self, event: Any) -> None:
            await self.send("note")

    channel_layers.set("default", foreign := Foreign())
    async with connected(Fooled.as_asgi()) as wire:
        [name] = names
        foreign.within._local.send(name, {"type": "presence.diff"})
        foreign.within._local.send(name, {"type": "note"})
        assert await wire.next_text() == "note"
    assert f"A message to channel {name} was dropped: only a layer sends" in caplog.text


async def test_what_a_layer_lacks_is_an_error_that_names_one_that_has_it() -> None:
    layer = adapt(Least())
    assert layer.lacks == CONTRACT - {"send", "attach"}
    for call in (
        lambda: layer.group_add("room", "name"),
        lambda: layer.group_send("room", {"type": "test"}),
        lambda: layer.close_group("room"),
        lambda: layer.new_channel(),
        lambda: layer.flush(),
    ):
        with pytest.raises(
            InvalidChannelLayerError, match=r"is a .*Least, which has no \w+\(\): .*InMemoryChannelLayer"
        ):
            await call()
    with pytest.raises(InvalidChannelLayerError, match=r"has no groups_of\(\)"):
        layer.groups_of("name")


PRESENCE: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "group_count": (("room",), {}),
    "group_channels": (("room",), {}),
    "presence_track": (("room", "name"), {"key": "ann"}),
    "presence_update": (("room", "name"), {"meta": {}}),
    "presence_untrack": (("room", "name"), {}),
    "presence": (("room",), {}),
    "presence_count": (("room",), {}),
}


# Stands for an author's layer from before layers knew who is there.
BeforePresence: Any = type("BeforePresence", (Sealing,), {name: getattr(Layer, name) for name in PRESENCE})


@pytest.mark.parametrize("name", PRESENCE)
@pytest.mark.parametrize("layer", [Foreign(), Least(), BeforePresence()], ids=lambda layer: type(layer).__name__)
async def test_a_layer_that_does_not_know_who_is_there_is_named_with_those_that_do(layer: Any, name: str) -> None:
    arguments, options = PRESENCE[name]
    lacks = rf"is a .*\.{type(layer).__name__}, which has no {name}\(\): configure one of .*InMemoryChannelLayer"
    with pytest.raises(InvalidChannelLayerError, match=lacks):
        await getattr(adapt(layer), name)(*arguments, **options)
    assert PRESENCE.keys() == OF_SOME_LAYERS


@pytest.mark.parametrize("kind", [Sealing, Renaming])
async def test_a_layer_with_a_way_of_its_own_knows_who_is_there(kind: Any) -> None:
    layer = adapt(kind(presence={"grace": 0}))
    assert isinstance(layer, AdaptedLayer)
    name = await layer.new_channel("mine.")
    await layer.group_add("room", name)
    version = await layer.presence_track("room", name, key="ann", meta={"away": False})
    assert (await layer.presence("room")).version == version
    assert await layer.presence_update("room", name, meta={"away": True}) > version
    assert await layer.presence("room") == {"ann": [{"away": True}]}
    assert await layer.presence_count("room") == await layer.group_count("room") == 1
    assert await layer.group_channels("room") == {name}
    await layer.presence_untrack("room", name)
    assert await layer.presence_count("room") == 0


@pytest.mark.parametrize("kind", [InMemoryChannelLayer, Sealing, Renaming])
async def test_members_of_a_layer_with_a_way_of_its_own_are_told_and_seen_until_they_end(
    kind: Any, no_layer: None
) -> None:
    class Member(AsyncJsonWebsocketConsumer):
        groups = ["room"]

        async def connect(self) -> None:
            await self.accept()
            await self.group_track("room", key=str(self.path_params["user"]))

        async def presence_diff(self, event: Message) -> None:
            await self.send_json([[*event["joins"]], event["leaves"]])

    layer = kind(presence={"grace": 0})
    channel_layers.configure({"default": layer})
    ann, bob = ({"url_route": {"args": (), "kwargs": {"user": user}}} for user in ("ann", "bob"))
    async with connected(Member.as_asgi(), **ann) as wire:
        assert json.loads(await wire.next_text()) == [["ann"], []]
        async with connected(Member.as_asgi(), **bob):
            assert json.loads(await wire.next_text()) == [["bob"], []]
            assert set(await layer.presence("room")) == {"ann", "bob"}
        assert json.loads(await wire.next_text()) == [[], ["bob"]]
    assert await layer.presence("room") == {}


async def test_what_others_can_do_without_may_be_missing() -> None:
    layer = adapt(Least())
    async with layer as entered:
        assert entered is layer
        assert layer.attach(lambda message: 1, lambda code, reason: None) == "least"
        layer.adopt("least", lambda code, reason: None)
        layer.detach("least")
        assert layer.held("least") == 0
        assert layer.get_capacity("least") == 100
        assert layer.require_valid_channel_name("any name")


async def test_a_pumped_layer_says_that_nothing_can_be_attached_to_it() -> None:
    with pytest.raises(RuntimeError, match="Foreign has to be pumped"):
        adapt(Foreign()).attach(lambda message: 1)


async def test_max_groups_counts_on_a_layer_that_does_not_know_the_groups(no_layer: None) -> None:
    class Member(AsyncWebsocketConsumer):
        groups = ["one", "two"]
        max_groups = 2

        async def receive(self, text_data: str) -> None:
            with pytest.raises(TooManyGroups):
                await self.channel_layer.group_add("three", self.channel_name)
            await self.channel_layer.group_discard("two", self.channel_name)
            await self.channel_layer.group_add("three", self.channel_name)
            await self.send("done")

    layer = Foreign()
    channel_layers.configure({"default": layer})
    async with connected(Member.as_asgi()) as wire:
        wire.text("go")
        assert await wire.next_text() == "done"
        assert set(layer.within.groups) == {"one", "three"}


async def test_a_layer_that_sends_one_thing_without_a_loop_awaits_the_others() -> None:
    sent: list[str] = []

    class Half(InMemoryChannelLayer):
        def send_sync(self, channel: str, message: Message) -> None:
            sent.append("send_sync")

        async def group_send(self, group: str, message: Message) -> None:  # type: ignore[override]  # as Channels has it
            sent.append("group_send")

    old = channel_layers.set("default", Half())
    try:
        await anyio.to_thread.run_sync(send_sync, "channel", {"type": "test"})
        await anyio.to_thread.run_sync(group_send_sync, "group", {"type": "test"})
    finally:
        channel_layers.set("default", old)
    assert sent == ["send_sync", "group_send"]


async def test_a_layer_with_its_own_send_may_have_no_end_of_capacity() -> None:
    old = channel_layers.set("default", Sealing(capacity=math.inf))  # type: ignore[arg-type]
    try:
        async with connected(AsyncWebsocketConsumer.as_asgi()):
            pass
    finally:
        channel_layers.set("default", old)


@pytest.mark.parametrize("kind", [InMemoryChannelLayer, RedisChannelLayer, RedisPubSubChannelLayer])
async def test_operations_are_functions_to_a_mock(kind: Any) -> None:
    for name in ("group_send", "group_add"):
        assert inspect.iscoroutinefunction(vars(kind).get(name) or getattr(kind, name))
        with mock.patch.object(kind, name) as mocked:
            assert isinstance(mocked, mock.AsyncMock)
        with mock.patch.object(kind, name, autospec=True) as mocked:
            await mocked(None, "room", "member")


async def test_closing_a_group_asks_no_rules_for_messages() -> None:
    class Strict(InMemoryChannelLayer):
        def require_valid_message(self, message: object) -> None:
            raise ValueError("no message is allowed here")

    layer, closed = Strict(), anyio.Event()
    name = layer.attach(Mailbox().deliver, lambda code, reason: closed.set())
    await layer.group_add("room", name)
    await layer.close_group("room")
    assert closed.is_set()
