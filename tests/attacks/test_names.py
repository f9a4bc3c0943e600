"""Names of groups that come from a user: `f"chat.{room}"`.

If one of these fails: a user reads or writes in a group that is not theirs, addresses a single connection or a whole
process as if it were a group, deletes or fills what others keep in Redis, or stops the layer for everybody.
"""

import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer

from ..support.redis_server import RedisServer, running_redis
from ..support.wire import connected, eventually

pytestmark = pytest.mark.anyio

ROOMS = [
    "",
    " ",
    "!",
    "x!y",
    "x:y",
    "../x",
    "x/y",
    "x y",
    "x\n",
    "x\r\nDEL chat.other",
    "x\0",
    "*",
    "[a-z]",
    "?",
    "x\\",
    "{x}",
    "$(x)",
    "%s",
    "{0}",
    "x" * 95,
    "x" * 100_000,
    "\u03bf",
    "o\u0301",
    "\uff4f",
    "\u0661",
    "\u202eother",
    "\ud800",
    "other\u200b",
    "other!",
    "__group__other",
    "\U0001f600",
]
INVALID = [room for room in ROOMS if room not in ("", "__group__other")]  # "chat." alone is a name like any other

LAYERS: dict[str, Any] = {
    "memory": InMemoryChannelLayer,
    "pubsub": RedisPubSubChannelLayer,
    "queue": RedisChannelLayer,
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def redis() -> Any:
    with running_redis() as server:
        yield server


async def make(kind: str, redis: RedisServer, **arguments: Any) -> AsyncIterator[Any]:
    async with LAYERS[kind](**(arguments if kind == "memory" else {"hosts": [redis.url], **arguments})) as layer:
        yield layer
    with redis.client() as client:
        client.flushall()


@pytest.fixture(params=LAYERS)
async def checking(request: pytest.FixtureRequest, redis: RedisServer, anyio_backend: str) -> AsyncIterator[Any]:
    async for layer in make(request.param, redis):
        yield layer


@pytest.fixture(params=["pubsub", "queue"])
async def unchecking(request: pytest.FixtureRequest, redis: RedisServer, anyio_backend: str) -> AsyncIterator[Any]:
    """A layer as `compat` makes it."""
    async for layer in make(request.param, redis, validate_names=False):
        yield layer


class Member:
    """One that listens on a layer, as a connection does."""

    def __init__(self, layer: Any) -> None:
        self.messages: list[Any] = []
        self.name = layer.attach(self.deliver)

    def deliver(self, message: Any) -> int:
        self.messages.append(message)
        return 1


async def test_a_layer_refuses_the_name_before_anything_is_done(checking: Any, redis: RedisServer) -> None:
    member = Member(checking)
    for room in INVALID:
        for call in (checking.group_add, checking.group_discard):
            with pytest.raises(TypeError, match=r"^Group name must be"):
                await call(f"chat.{room}", member.name)
        with pytest.raises(TypeError, match=r"^Group name must be") as caught:
            await checking.group_send(f"chat.{room}", {"type": "chat.message"})
        assert len(str(caught.value)) < 500 and str(caught.value).isprintable()
    checking.detach(member.name)
    with redis.client() as client:
        assert client.keys("*") == []


async def test_no_room_is_another_one_where_names_are_not_checked(unchecking: Any) -> None:
    rooms = [room for room in ROOMS if "\ud800" not in room] + ["other", "o", "1", "X", "x"]
    members = {room: Member(unchecking) for room in rooms}
    for room, member in members.items():
        await unchecking.group_add(f"chat.{room}", member.name)
    for room in rooms:
        await unchecking.group_send(f"chat.{room}", {"type": "note", "room": room})
    await eventually(lambda: all(member.messages for member in members.values()))
    last = Member(unchecking)  # what was sent before has arrived when this has
    await unchecking.group_add("last", last.name)
    await unchecking.group_send("last", {"type": "note"})
    await eventually(lambda: last.messages)
    for room, member in members.items():
        assert member.messages == [{"type": "note", "room": room}]
    for member in [*members.values(), last]:
        unchecking.detach(member.name)


async def test_a_room_named_like_what_the_layer_has_in_redis_reaches_nobody(unchecking: Any) -> None:
    victim, attacker, last = Member(unchecking), Member(unchecking), Member(unchecking)
    await unchecking.group_add("other", victim.name)
    process = unchecking.non_local_name(victim.name)
    prefix = unchecking.prefix
    imitations = [
        victim.name,
        process,
        f"{process}control",
        f"{process}group.other",
        f"{prefix}{victim.name}",
        f"{prefix}:group:other",
        f"{prefix}__group__other",
        f":group:other\0{victim.name}",
        "__group__other",
        ":group:other",
    ]
    for name in imitations:
        await unchecking.group_add(name, attacker.name)
        await unchecking.group_send(
            name, {"type": "layer.join", "group": "other", "channel": attacker.name, "__asgi_group__": "other"}
        )
    await eventually(lambda: len(attacker.messages) == len(imitations))
    attacker.messages.clear()
    await unchecking.group_add("last", last.name)
    await unchecking.group_send("other", {"type": "note"})
    await unchecking.group_send("last", {"type": "note"})
    await eventually(lambda: last.messages and victim.messages)
    assert victim.messages == [{"type": "note"}]
    assert attacker.messages == []
    for member in (victim, attacker, last):
        unchecking.detach(member.name)


async def test_a_name_that_utf_8_has_no_bytes_for_hurts_its_sender_alone(unchecking: Any) -> None:
    """Else: replies of Redis' go to whoever asked before, and every sender waits until the connection is given up."""
    victim, attacker = Member(unchecking), Member(unchecking)
    await unchecking.group_add("other", victim.name)
    for _ in range(3):
        for call in (
            unchecking.group_add("chat.\ud800", attacker.name),
            unchecking.group_discard("chat.\ud800", attacker.name),
            unchecking.group_send("chat.\ud800", {"type": "note"}),
            unchecking.send("chat.\ud800", {"type": "note"}),
        ):
            with anyio.fail_after(3), pytest.raises(TypeError, match="name must be"):
                await call
    with anyio.fail_after(3):
        await unchecking.group_add("another", victim.name)
        await unchecking.group_send("other", {"type": "note"})
        await unchecking.group_send("another", {"type": "note"})
    await eventually(lambda: len(victim.messages) == 2)
    for member in (victim, attacker):
        unchecking.detach(member.name)


class Room(AsyncWebsocketConsumer):
    """A careless application: the room's name is the client's choice."""

    async def receive(self, text_data: str) -> None:
        await self.channel_layer.group_send(f"chat.{text_data}", {"type": "note"})

    async def on_error(self, exc: Exception, message: Any) -> None:
        await self.send(f"{type(exc).__name__}: {exc}")


async def test_a_consumer_may_answer_a_bad_name_and_live_on(
    checking: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(channel_layers.backends, "default", checking)
    member = Member(checking)  # with whom the layer begins to listen
    await checking.send(member.name, {"type": "note"})
    await eventually(lambda: member.messages)
    async with connected(Room.as_asgi()) as wire:
        for room in INVALID:
            wire.text(room)
            assert (await wire.next_text()).startswith("TypeError: Group name must be")
    checking.detach(member.name)
    assert caplog.messages == []


MARKS = {"pubsub": "__group__", "queue": ":group:"}


@pytest.mark.parametrize("kind", MARKS)
def test_no_prefix_makes_the_groups_of_another_ones_readable(kind: str) -> None:
    """Else: with the prefix `asgi__group__x`, or `asgi__group`, a layer's names are those of groups of `asgi`."""
    mark = MARKS[kind]
    for prefix in (f"asgi{mark}", f"asgi{mark}x", mark, f"{mark}x", f"{mark}{mark}", f"asgi{mark[:-1]}", mark[:-1]):
        with pytest.raises(ValueError, match="would be those of another layer's groups"):
            LAYERS[kind](prefix=prefix)
    for prefix in ("", "asgi", "asgi_", "asgi__", ":asgi:", "groups", "group", f"x{mark.strip('_:')}s", mark[1:-1]):
        assert LAYERS[kind](prefix=prefix).prefix == prefix


def test_the_names_of_two_prefixes_groups_never_meet() -> None:
    """Tried with all prefixes and groups that have up to four parts of the mark."""
    for mark, parts in (("__group__", ("_", "__", "group", "a")), (":group:", (":", "group", "a"))):
        words = ["".join(word) for size in range(5) for word in itertools.product(parts, repeat=size)]
        prefixes = set()
        for word in set(words):
            with contextlib.suppress(ValueError):
                prefixes.add(LAYERS["pubsub" if "_" in mark else "queue"](prefix=word).prefix)
        assert len(prefixes) > 50
        whose: dict[str, str] = {}
        for prefix, group in itertools.product(prefixes, set(words)):
            assert whose.setdefault(f"{prefix}{mark}{group}", prefix) == prefix


@pytest.mark.parametrize("validate_names", [True, False])
async def test_no_channel_stands_for_a_group(redis: RedisServer, validate_names: bool) -> None:
    """Else: who may choose a channel's name reads what a group is told, or speaks to it."""
    async with (
        RedisPubSubChannelLayer([redis.url], validate_names=validate_names) as layer,
        RedisPubSubChannelLayer([redis.url], prefix="asgi:", validate_names=validate_names) as other,
    ):
        member = Member(layer)
        await layer.group_add("room", member.name)
        for spy in (layer, other):
            for name in ("asgi__group__room", "other__group__room", "__group__", "asgi:__group__x", "asgi:close"):
                await assert_refused(spy, name)
        await layer.group_send("room", {"type": "note"})
        await eventually(lambda: member.messages)
        assert member.messages == [{"type": "note"}]
        layer.detach(member.name)


async def test_no_queue_stands_for_a_group(redis: RedisServer) -> None:
    """Else: who may choose a channel's name takes members out of a group, or ends what is sent to it."""
    async with (
        RedisChannelLayer([redis.url], validate_names=False) as layer,
        RedisChannelLayer([redis.url], prefix="asgi:", validate_names=False) as other,
        RedisChannelLayer([redis.url], prefix="asgi:gro", validate_names=False) as third,
    ):
        member = Member(layer)
        await layer.group_add("room", member.name)
        for spy, name in ((layer, ":group:room"), (other, "group:room"), (third, "up:room"), (layer, "x:group:room")):
            await assert_refused(spy, name)
        await layer.group_send("room", {"type": "note"})
        await eventually(lambda: member.messages)
        layer.detach(member.name)


async def assert_refused(layer: Any, name: str) -> None:
    """Let a layer refuse a channel's name, wherever it takes one, before anything is done."""
    calls: list[Any] = [
        lambda: layer.send(name, {"type": "note"}),
        lambda: layer.receive(name),
        lambda: layer.new_channel(name),
        lambda: layer.group_add("another", name),
        lambda: layer.group_discard("another", name),
    ]
    for call in calls:
        with anyio.fail_after(3), pytest.raises(TypeError, match=r"own|name must be"):
            await call()
    with pytest.raises(TypeError, match=r"own|name must be"):
        await anyio.to_thread.run_sync(layer.send_sync, name, {"type": "note"})
