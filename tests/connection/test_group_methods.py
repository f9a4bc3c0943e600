"""A consumer's own ways to join, send and be seen in groups, async and sync."""

import json
from typing import Any

import pytest

from compat.channels.generic import websocket as ported
from consumers import (
    AsyncConsumer,
    AsyncJsonWebsocketConsumer,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    JsonWebsocketConsumer,
    PresenceFull,
    TooManyGroups,
    channel_layers,
)
from consumers._connection.groups import GROUP_METHODS
from consumers.layers import _lag, _presence
from consumers.layers.base import Layer
from consumers.types import LayerGap, Message, PresenceCount, PresenceDiff, PresenceState

from ..support.foreign import Foreign, Least
from ..support.limited import CLIENT, Lines, closed
from ..support.slow import left_to_ci
from ..support.wire import Wire, connected, eventually

pytestmark = pytest.mark.anyio

CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "group_join": (("room",), {}),
    "group_leave": (("room",), {}),
    "group_send": (("room", {"type": "note"}), {}),
    "group_track": (("room",), {"key": "ann"}),
    "group_update": (("room",), {"meta": {}}),
    "group_untrack": (("room",), {}),
}
OF_PRESENCE = ("group_track", "group_update", "group_untrack")


class Member(AsyncJsonWebsocketConsumer):
    """Calls what its client names, and answers what that returned."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        name, arguments, options = content
        await self.send_json(await getattr(self, name)(*arguments, **options))

    async def note(self, event: Message) -> None:
        await self.send_json(event)


class SyncMember(JsonWebsocketConsumer):
    """The same in threads."""

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        name, arguments, options = content
        self.send_json(getattr(self, name)(*arguments, **options))

    def note(self, event: Message) -> None:
        self.send_json(event)


class PortedMember(ported.AsyncJsonWebsocketConsumer):
    receive_json = Member.receive_json
    note = Member.note


class PortedSyncMember(ported.JsonWebsocketConsumer):
    receive_json = SyncMember.receive_json
    note = SyncMember.note


# Sync consumers need asyncio.
kinds = pytest.mark.parametrize(
    ("anyio_backend", "member"),
    [
        ("asyncio", Member),
        *left_to_ci(("trio", Member)),
        ("asyncio", SyncMember),
        ("asyncio", PortedMember),
        ("asyncio", PortedSyncMember),
    ],
)


class Remembering(InMemoryChannelLayer):
    """Keeps what is sent to rooms, and lets nobody linger."""

    def __init__(self) -> None:
        super().__init__(history={"room": {"size": 10, "ttl": 60}}, presence={"grace": 0})


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> InMemoryChannelLayer:
    layer = Remembering()
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    return layer


def say(wire: Wire, content: Any) -> None:
    wire.text(json.dumps(content))


async def heard(wire: Wire) -> Any:
    return json.loads(await wire.next_text())


async def call(wire: Wire, name: str, *arguments: Any, **options: Any) -> Any:
    """Have the consumer call a method of its own, and return what that returned."""
    say(wire, [name, arguments, options])
    return await heard(wire)


# What they do


@kinds
async def test_a_consumer_joins_sends_and_leaves(member: Any, layer: InMemoryChannelLayer) -> None:
    async with connected(member.as_asgi()) as ann, connected(member.as_asgi()) as bob:
        for wire in (ann, bob):
            position, recovered, missed = await call(wire, "group_join", "room")
            assert position == await layer.position("room") and recovered and not missed
        say(ann, ["group_send", ["room", {"type": "note", "text": "hello"}], {"id": "1"}])
        seen = [await heard(ann), await heard(ann)]
        position = next(each for each in seen if isinstance(each, str))
        assert (await heard(bob))["history"]["position"] == position == await layer.position("room")
        assert await call(ann, "group_send", "room", {"type": "note"}, id="1") == position
        [name] = layer.groups["room"] - {await call_for_name(bob, layer)}
        assert await call(ann, "group_send", "room", {"type": "note"}, keep=False, exclude=[name]) is None
        assert (await heard(bob))["history"]["position"] is None
        assert await call(ann, "group_leave", "room") is None
        assert await layer.group_count("room") == 1


async def call_for_name(wire: Wire, layer: InMemoryChannelLayer) -> str:
    """Return the name of a member's channel: the one that leaves and comes back."""
    before = layer.groups["room"]
    await call(wire, "group_leave", "room")
    [name] = before - layer.groups["room"]
    await call(wire, "group_join", "room")
    return name


@kinds
async def test_a_consumer_that_comes_back_gets_what_it_missed(member: Any, layer: InMemoryChannelLayer) -> None:
    first = await layer.position("room")
    for number in range(3):
        await layer.group_send("room", {"type": "note", "number": number})
    async with connected(member.as_asgi()) as wire:
        say(wire, ["group_join", ["room"], {"since": first}])
        got = [await heard(wire) for _ in range(4)]
        assert [True, 3] in [each[1:] for each in got if isinstance(each, list)]
        assert [each["number"] for each in got if isinstance(each, dict)] == [0, 1, 2]
    async with connected(member.as_asgi()) as wire:
        say(wire, ["group_join", ["room"], {"since": "forged", "last": 1}])
        got = [await heard(wire) for _ in range(2)]
        assert [False, 1] in [each[1:] for each in got if isinstance(each, list)]


@kinds
async def test_a_consumer_is_seen_until_it_ends(member: Any, layer: InMemoryChannelLayer) -> None:
    async with connected(member.as_asgi()) as ann, connected(member.as_asgi()) as bob:
        version = await call(ann, "group_track", "lobby", key="ann", meta={"name": "Ann"})
        assert await layer.presence("lobby") == {"ann": [{"name": "Ann"}]}
        assert (await layer.presence("lobby")).version == version
        assert await call(ann, "group_update", "lobby", meta={"name": "Ann", "away": True}) > version
        assert await layer.presence("lobby") == {"ann": [{"name": "Ann", "away": True}]}
        await call(bob, "group_track", "lobby", key="bob")
        assert await layer.presence_count("lobby") == 2
        assert await call(ann, "group_untrack", "lobby") is None
        assert await call(ann, "group_untrack", "lobby") is None
        assert await layer.presence("lobby") == {"bob": [{}]}
        assert await layer.group_count("lobby") == 0
    assert await layer.presence_count("lobby") == 0


async def test_members_are_told_who_comes_changes_and_goes(layer: InMemoryChannelLayer) -> None:
    class Watcher(Member):
        groups = ["lobby"]

        async def presence_diff(self, event: PresenceDiff) -> None:
            await self.send_json(event)

    async with connected(Watcher.as_asgi()) as watcher:
        async with connected(Member.as_asgi()) as ann:
            await call(ann, "group_track", "lobby", key="ann", meta={"name": "Ann"})
            diff = await heard(watcher)
            assert diff.pop("version") == (await layer.presence("lobby")).version
            joins = {"ann": [{"name": "Ann"}]}
            assert diff == {"type": "presence.diff", "group": "lobby", "joins": joins, "leaves": [], "updates": {}}
            await call(ann, "group_update", "lobby", meta={})
            assert (await heard(watcher))["updates"] == {"ann": [{}]}
        assert (await heard(watcher))["leaves"] == ["ann"]


@pytest.mark.parametrize("kind", [PresenceDiff, PresenceState, PresenceCount, LayerGap])
async def test_the_types_of_events_have_the_fields_of_the_events(kind: Any) -> None:
    made: dict[Any, Message] = {
        PresenceDiff: _presence.diff("room", [_presence.Change("joins", "ann", ("{}",))], 1),
        PresenceState: _presence.state("room", {"ann": ["{}"]}, 1),
        PresenceCount: _presence.counted("room", 1, 1),
        LayerGap: _lag.gap("room"),
    }
    assert made[kind].keys() == kind.__annotations__.keys() == kind.__required_keys__
    assert repr(made[kind]["type"]) in str(kind.__annotations__["type"])


async def test_a_plain_consumer_has_them_too(layer: InMemoryChannelLayer) -> None:
    class Plain(AsyncConsumer):
        async def websocket_connect(self, message: Message) -> None:
            await self.group_join("lobby")
            await self.group_track("lobby", key="ann")
            await self.send({"type": "websocket.accept"})

    async with connected(Plain.as_asgi()):
        assert await layer.group_count("lobby") == await layer.presence_count("lobby") == 1
    assert await layer.group_count("lobby") == await layer.presence_count("lobby") == 0


# Limits


@kinds
async def test_a_join_counts_as_one_of_the_groups(
    member: Any, layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Limited(member):  # type: ignore[misc]
        max_groups = 2

    async with connected(Limited.as_asgi(), client=CLIENT) as wire:
        for group in ("a", "b", "a"):
            await call(wire, "group_join", group)
        await call(wire, "group_leave", "a")
        await call(wire, "group_join", "c")
        say(wire, ["group_join", ["d"], {"since": "forged"}])
        assert await closed(wire) == (1008, "too many groups")
    assert "more than max_groups (2)" in Lines(caplog).only()
    assert not layer.groups


async def test_one_connection_too_many_of_a_key_is_closed_with_1008(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        await layer.presence_track("room", await layer.new_channel(), key="ann")
    async with connected(Member.as_asgi()) as wire:
        say(wire, ["group_track", ["room"], {"key": "ann"}])
        assert await closed(wire) == (1008, "too many connections")
    assert "more than 100 channels of one key in a group" in Lines(caplog).only()


async def test_an_application_may_handle_both_limits(layer: InMemoryChannelLayer) -> None:
    class Patient(Member):
        max_groups = 1
        groups = ["one"]

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            with pytest.raises(TooManyGroups):
                await self.group_join("two")
            with pytest.raises(PresenceFull, match="'ann' is there by 100 channels already") as caught:
                await self.group_track("room", key="ann")
            await self.send_json([caught.value.key, caught.value.channels])

    for _ in range(100):
        await layer.presence_track("room", await layer.new_channel(), key="ann")
    async with connected(Patient.as_asgi()) as wire:
        say(wire, {})
        assert await heard(wire) == ["ann", 100]


# What is missing


class OfAnAuthor(InMemoryChannelLayer):
    """Stands for a layer with the whole contract, from before layers knew who is there."""

    presence_track = Layer.presence_track
    presence_update = Layer.presence_update
    presence_untrack = Layer.presence_untrack


async def error_of(member: Any, name: str) -> str:
    """Return what a consumer's call ends with, which must be about the layer."""
    arguments, options = CALLS[name]
    async with connected(member.as_asgi()) as wire:
        say(wire, [name, arguments, options])
        await wire.end()
    assert isinstance(wire.error, InvalidChannelLayerError)
    return str(wire.error)


@kinds
@pytest.mark.parametrize("name", CALLS)
async def test_without_a_layer_the_error_says_what_to_configure(member: Any, name: str, no_layer: None) -> None:
    feature = "presence" if name in OF_PRESENCE else "groups"
    error = await error_of(member, name)
    needs = f"{member.__name__}.{name}() needs a channel layer with {feature}, but there is no channel layer 'default'"
    assert error.startswith(needs) and "InMemoryChannelLayer" in error


@kinds
@pytest.mark.parametrize("name", CALLS)
async def test_a_layer_without_groups_is_named_with_those_that_have_them(
    member: Any, name: str, no_layer: None
) -> None:
    channel_layers.configure({"default": Least()})
    feature = "presence" if name in OF_PRESENCE else "groups"
    error = await error_of(member, name)
    needs = f"{member.__name__}.{name}() needs a channel layer with {feature}, but 'default' is a Least, which has none"
    assert error.startswith(needs) and "configure one of consumers.layers.InMemoryChannelLayer" in error


@pytest.mark.parametrize("name", OF_PRESENCE)
@pytest.mark.parametrize("max_groups", [None, 5])
@pytest.mark.parametrize("layer_class", [Foreign, OfAnAuthor])
async def test_a_layer_with_groups_but_without_presence_is_named(
    layer_class: Any, max_groups: int | None, name: str, no_layer: None
) -> None:
    channel_layers.configure({"default": layer_class()})
    limited: Any = type("Limited", (Member,), {"max_groups": max_groups})
    error = await error_of(limited, name)
    needs = f"Limited.{name}() needs a channel layer with presence, but 'default' is a {layer_class.__name__}"
    assert error.startswith(f"{needs}, which has none: configure one of")


@kinds
@pytest.mark.parametrize("max_groups", [None, 5])
async def test_a_foreign_layer_is_joined_and_recovers_nothing(
    member: Any, max_groups: int | None, no_layer: None
) -> None:
    layer = Foreign()
    channel_layers.configure({"default": layer})
    limited: Any = type("Limited", (member,), {"max_groups": max_groups})
    async with connected(limited.as_asgi()) as wire:
        assert await call(wire, "group_join", "room") == [None, True, 0]
        assert await call(wire, "group_join", "room", since="any", last=5) == [None, False, 0]
        assert len(layer.within.groups["room"]) == 1
        say(wire, ["group_send", ["room", {"type": "note"}], {"keep": False}])
        got = [await heard(wire), await heard(wire)]
        assert None in got and {"type": "note"} in got
        await call(wire, "group_leave", "room")
        assert not layer.within.groups
        say(wire, ["group_send", ["room", {"type": "note"}], {"exclude": "somebody"}])
        await wire.end()
    assert "Foreign, which has no group_send(exclude=…): configure one of" in str(wire.error)


async def test_a_join_as_channels_has_it_is_not_asked_for_what_was_missed(no_layer: None) -> None:
    class Overriding(Remembering):
        async def group_add(self, group: str, channel: str) -> Any:  # type: ignore[override]
            return await super().group_add(group, channel)

    layer = Overriding()
    channel_layers.configure({"default": layer})
    async with connected(Member.as_asgi()) as wire:
        assert (await call(wire, "group_join", "room"))[0] == await layer.position("room")
        assert await call(wire, "group_join", "lobby", since="any") == [None, False, 0]
        say(wire, ["group_join", ["lobby"], {"last": -1}])
        await wire.end()
    assert "last must be a number of messages" in str(wire.error)


# Who may reach them


@kinds
@pytest.mark.parametrize("name", GROUP_METHODS)
@pytest.mark.parametrize("strict_types", [True, False])
async def test_no_message_of_a_layer_reaches_them(
    member: Any, name: str, strict_types: bool, layer: InMemoryChannelLayer
) -> None:
    guarded: Any = type("Guarded", (member,), {"groups": ["lobby"], "strict_types": strict_types})
    async with connected(guarded.as_asgi()) as wire:
        for kind in (name, name.replace("_", ".")):
            await layer.group_send("lobby", {"type": kind, "group": "room", "key": "ann"})
        await layer.group_send("lobby", {"type": "note"})
        assert await heard(wire) == {"type": "note"}
        assert set(layer.groups) == {"lobby"}
    assert wire.error is None


def handler_of(is_sync: bool) -> Any:
    """Return a handler, as a ported project may have it, which answers what it got."""

    async def handler(self: Any, event: Any) -> None:
        await self.send_json(["handled", event["type"]])

    def sync_handler(self: Any, event: Any) -> None:
        self.send_json(["handled", event["type"]])

    return sync_handler if is_sync else handler


@kinds
@pytest.mark.parametrize("name", GROUP_METHODS)
@pytest.mark.parametrize("where", ["class", "base", "base behind"])
async def test_a_handler_of_such_a_name_is_the_applications(
    member: Any, name: str, where: str, layer: InMemoryChannelLayer
) -> None:
    handlers = {name: handler_of(issubclass(member, JsonWebsocketConsumer))}
    mixin = type("Mixin", (), handlers)
    bases = {"class": (member,), "base": (mixin, member), "base behind": (member, mixin)}[where]
    own: Any = type("Own", bases, {"groups": ["lobby"], **(handlers if where == "class" else {})})
    async with connected(own.as_asgi()) as wire:
        for kind in (name.replace("_", "."), name):
            await layer.group_send("lobby", {"type": kind})
            assert await heard(wire) == ["handled", kind]


@kinds
@pytest.mark.parametrize("name", GROUP_METHODS)
async def test_a_method_of_such_a_name_is_the_applications_and_out_of_reach(
    member: Any, name: str, layer: InMemoryChannelLayer
) -> None:
    async def method(self: Any, group: str, *more: Any, **options: Any) -> Any:
        return [group, await getattr(super(own, self), name)(group, *more, **options)]

    def sync_method(self: Any, group: str, *more: Any, **options: Any) -> Any:
        return [group, getattr(super(own, self), name)(group, *more, **options)]

    made = sync_method if issubclass(member, JsonWebsocketConsumer) else method
    own: Any = type("Own", (member,), {name: made, "groups": ["lobby"]})
    arguments, options = CALLS[name]
    async with connected(own.as_asgi()) as wire:
        if name == "group_update":
            await call(wire, "group_track", "room", key="ann")
        answer = await call(wire, name, *arguments, **options)
        assert answer[0] == "room"
        await layer.group_send("lobby", {"type": name})
        await layer.group_send("lobby", {"type": "note"})
        assert await heard(wire) == {"type": "note"}
    assert wire.error is None


@kinds
async def test_nothing_of_the_librarys_calls_an_applications_method_of_such_a_name(
    member: Any, layer: InMemoryChannelLayer
) -> None:
    called: list[str] = []

    def note_for(name: str) -> Any:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            called.append(name)

        return method

    own: Any = type("Own", (member,), {name: note_for(name) for name in GROUP_METHODS} | {"groups": ["lobby"]})
    reader: Any = type("Reader", (Member,), {"raw_frames": True, "groups": ["lobby"]})
    async with connected(own.as_asgi()) as wire, connected(reader.as_asgi()) as other:
        await eventually(lambda: len(layer.groups["lobby"]) == 2)
        say(wire, ["group_send_json", ["lobby", "hello"], {"exclude": "nobody"}])
        assert await heard(other) == "hello"
    assert called == []
