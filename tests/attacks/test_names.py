"""Names of groups that come from a user: `f"chat.{room}"`.

If one of these fails: a user reads or writes in a group that is not theirs, addresses a single connection or a whole
process as if it were a group, deletes or fills what others keep in Redis, or stops the layer for everybody.
"""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer

from ..redis_server import RedisServer, running_redis
from ..wire import connected, eventually

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
            with anyio.fail_after(1), pytest.raises(TypeError, match="name must be"):
                await call
    with anyio.fail_after(1):
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
