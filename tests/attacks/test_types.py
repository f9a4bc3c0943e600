"""A `type` that a client has chosen, in a message that the application passes on to a group.

If one of these fails: one client closes the connections of all members of a group, ends them with an error, runs a
method that was never meant as a handler, or fills the process' memory or its log.
"""

import itertools
import logging
from abc import ABCMeta
from functools import partial
from typing import Any

import pytest

from consumers import (
    AsyncConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    JsonWebsocketConsumer,
    SyncConsumer,
    WebsocketConsumer,
    handlers,
)
from consumers.events import handler_name
from consumers.layers.redis import RedisChannelLayer

from ..redis_server import running_redis
from ..wire import connected, eventually

pytestmark = pytest.mark.anyio

CALLED: list[str] = []


class Serializer:
    def __init__(self, data: Any) -> None:
        CALLED.append("Serializer")


class Victim(AsyncJsonWebsocketConsumer):
    """A member of a group, with much that is no handler."""

    groups = ["room"]
    serializer_class = Serializer
    limits = {"a": 1}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.callback = lambda: CALLED.append("callback")
        self.factory = Serializer

    async def note(self, event: Any) -> None:
        await self.send_json({"note": event.get("text")})

    async def receive_json(self, content: Any) -> None:
        CALLED.append("receive_json")

    async def disconnect(self, code: int) -> None:
        CALLED.append("disconnect")

    @property
    def secret(self) -> Any:
        CALLED.append("secret")
        return self.note

    def is_admin(self) -> bool:
        CALLED.append("is_admin")
        return False

    async def save(self) -> None:
        CALLED.append("save")

    async def promote(self, user: Any, role: Any) -> None:
        CALLED.append("promote")

    @staticmethod
    def helper() -> None:
        CALLED.append("helper")


class PlainVictim(JsonWebsocketConsumer):
    groups = ["room"]

    def note(self, event: Any) -> None:
        self.send_json({"note": event.get("text")})


class BareVictim(AsyncConsumer):
    """Handles the server's events itself."""

    async def websocket_connect(self, event: Any) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, event: Any) -> None:
        CALLED.append("websocket_receive")

    async def websocket_disconnect(self, event: Any) -> None:
        CALLED.append("websocket_disconnect")

    async def http_request(self, event: Any) -> None:
        CALLED.append("http_request")

    async def note(self, event: Any) -> None:
        await self.send({"type": "websocket.send", "text": '{"note": "still here"}'})


FRAMEWORK_CLASSES = (
    AsyncConsumer,
    SyncConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
    AsyncJsonWebsocketConsumer,
    JsonWebsocketConsumer,
)
HANDLERS = {"note", "send_json"}

ODD: list[Any] = [
    "",
    ".",
    "..",
    "_",
    "__class__",
    "__init__",
    "..init..",
    ".class.",
    "note.__call__",
    "note\n",
    "note ",
    " note",
    "note\0",
    "NOTE",
    "\uff4eote",
    "n\u043ete",
    "layer.gap",
    "layer.join",
    "layer.discard",
    "websocket.connect",
    "websocket.receive",
    "websocket.disconnect",
    "websocket.accept",
    "websocket.close",
    "websocket.http.response.start",
    "http.request",
    "http.disconnect",
    "lifespan.shutdown",
    "x" * 100_000,
    "a." * 50_000,
    "\ud800",
    "\x1b[2J",
    None,
    True,
    0,
    1.5,
    b"note",
    [],
    ["note"],
    {},
    {"note": 1},
]


def names_of(*classes: type) -> list[str]:
    """Return every attribute of the classes, as itself and with dots, but for the handlers."""
    # type's own, such as mro, are found on a class, too
    found = {name for cls in (*classes, ABCMeta) for name in dir(cls)}
    names = sorted((found | {*dir(type)}) - HANDLERS)
    instance = ["scope", "channel_name", "channel_layer", "base_send", "callback", "factory", "_connection", "_threads"]
    return [spelling for name in [*names, *instance] for spelling in (name, name.replace("_", "."))]


async def assert_harmless(layer: Any, victim: Any, types: list[Any]) -> None:
    CALLED.clear()
    async with connected(victim.as_asgi()) as wire:
        for kind in types:
            await layer.group_send("room", {"type": kind, "code": 4000, "text": "x"})
            await layer.group_send("room", {"type": "note", "text": "still here"})
            assert await wire.next_text() == '{"note": "still here"}', kind
        await layer.group_send("room", {"text": "no type"})
        assert CALLED == []
    assert [event["type"] for event in wire.sent[-1:]] == ["websocket.send"]
    assert wire.error is None


async def test_no_type_reaches_anything_but_a_handler(unchecked_layer: InMemoryChannelLayer) -> None:
    await assert_harmless(unchecked_layer, Victim, [*names_of(Victim, *FRAMEWORK_CLASSES), *ODD])


async def test_neither_does_it_in_a_bare_consumer(unchecked_layer: InMemoryChannelLayer) -> None:
    await assert_harmless(unchecked_layer, BareVictim, [*names_of(BareVictim, *FRAMEWORK_CLASSES), *ODD])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_neither_does_it_in_a_sync_consumer(unchecked_layer: InMemoryChannelLayer) -> None:
    await assert_harmless(unchecked_layer, PlainVictim, [*names_of(PlainVictim, *FRAMEWORK_CLASSES), *ODD])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_messages_by_which_processes_talk_are_no_ones_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else: a client joins groups that the application keeps it out of, or takes others out of theirs."""
    with running_redis() as server:
        async with RedisChannelLayer([server.url]) as layer:
            monkeypatch.setitem(handlers._logged, Victim, set())
            victim: list[Any] = []
            outsider: list[Any] = []

            def to(messages: list[Any], message: Any) -> int:
                messages.append(message)
                return 1

            member, other = layer.attach(partial(to, victim)), layer.attach(partial(to, outsider))
            await layer.group_add("room", member)
            for kind in ("layer.join", "layer.discard", "layer.gap"):
                for channel in (member, other):
                    await layer.group_send("room", {"type": kind, "group": "room", "channel": channel})
            await layer.group_send("room", {"type": "note"})
            await eventually(lambda: len(victim) == 7)
            assert outsider == []
            layer.detach(member)
            layer.detach(other)


async def test_ten_thousand_types_fill_neither_memory_nor_log(
    unchecked_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(handlers._logged, Victim, set())
    known = set(handlers.known(Victim()).types)
    spellings = itertools.cycle(["kind{}", "{}kind", "kind.{}.x", "_{}", "\U0001f600{}", "x" * 300 + "{}"])
    async with connected(Victim.as_asgi()) as wire:
        for number in range(10_000):
            await unchecked_layer.group_send("room", {"type": next(spellings).format(number)})
            if number % 50 == 0:
                await unchecked_layer.group_send("room", {"type": "note", "text": "still here"})
                assert await wire.next_text() == '{"note": "still here"}'
    assert handlers.known(Victim()).types.keys() - known <= {"note"}
    assert len(handlers._logged[Victim]) <= handlers.MAX_LOGGED_TYPES + 1
    assert sum(map(len, handlers._logged[Victim])) < 100_000
    assert len(caplog.records) <= handlers.MAX_LOGGED_TYPES + 1
    assert all(record.levelno == logging.WARNING and record.exc_info is None for record in caplog.records)
    assert all(len(message) < 500 and message.isprintable() for message in caplog.messages)


async def test_the_spellings_of_one_handlers_type_are_known_up_to_a_bound_and_all_work(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "MAX_KNOWN_TYPES", 20)

    class Wordy(Victim):
        async def a_b_c_d_e_f_g(self, event: Any) -> None:
            await self.send_json(event["type"])

    async with connected(Wordy.as_asgi()) as wire:
        for marks in itertools.product("._", repeat=6):
            kind = "".join(itertools.chain(*zip("abcdef", marks, strict=True), "g"))
            await layer.group_send("room", {"type": kind})
            assert await wire.next_text() == f'"{kind}"'
    assert len(handlers.known(Wordy()).types) == 20


def test_the_cache_of_types_is_bounded() -> None:
    for number in range(10_000):
        handler_name({"type": f"kind.{number}"})
    from consumers.events import _method_name

    assert _method_name.cache_info().currsize <= 1024
