"""A `type` that a client has chosen, in a message that the application passes on to a group.

If one of these fails: one client closes the connections of all members of a group, ends them with an error, runs a
method that was never meant as a handler, or fills the process' memory or its log.
"""

import itertools
import logging
from abc import ABCMeta
from functools import cached_property, partial, partialmethod, singledispatchmethod, wraps
from typing import Any

import pytest

from compat.channels.generic.websocket import AsyncJsonWebsocketConsumer as CompatJsonConsumer
from compat.channels.generic.websocket import AsyncWebsocketConsumer as CompatConsumer
from compat.channels.generic.websocket import WebsocketConsumer as CompatSyncConsumer
from consumers import (
    AsyncConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    JsonWebsocketConsumer,
    SyncConsumer,
    WebsocketConsumer,
)
from consumers._connection import log
from consumers.layers.redis import RedisChannelLayer
from consumers.types import handler_name

from ..support.redis_server import running_redis
from ..support.wire import connected, eventually

pytestmark = pytest.mark.anyio

CALLED: list[str] = []


class Serializer:
    def __init__(self, data: Any) -> None:
        CALLED.append("Serializer")


class ClassProperty:
    """Runs what it is made of for a look-up, even one on the class."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.function(owner)


class CallableProperty(ClassProperty):
    """The same, and nobody could tell it from a handler by calling `callable()`."""

    def __call__(self, event: Any) -> None:
        CALLED.append("a property")

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError


def note_of(owner: Any) -> Any:
    CALLED.append("a property")
    return owner.note


class Looked:
    """What runs code of its own when it is looked up, whatever for, and what else is no handler."""

    serializer_class = Serializer
    limits = {"a": 1}
    for_class = ClassProperty(note_of)
    for_class_too: Any = classmethod(property(note_of))  # type: ignore[arg-type]
    for_all: Any = staticmethod(property(note_of))  # type: ignore[arg-type]
    written = CallableProperty(note_of)

    @property
    def secret(self) -> Any:
        return note_of(self)

    @cached_property
    def once(self) -> Any:
        return note_of(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # for what the framework, or Python, looks for
            raise AttributeError(name)
        CALLED.append(f"__getattr__({name!r:.80})")
        return lambda event: CALLED.append(name)


LOOKED = ["serializer_class", "limits", "for_class", "for_class_too", "for_all", "written", "secret", "once", "delete"]


class Victim(Looked, AsyncJsonWebsocketConsumer):
    """A member of a group, with much that is no handler."""

    groups = ["room"]

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
HANDLERS = {"note"}

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


class Strict(Looked, AsyncWebsocketConsumer):
    groups = ["room"]
    strict_types = True

    async def note(self, event: Any) -> None:
        await self.send("still here")

    async def on_error(self, exc: Exception, message: Any) -> None:
        await self.send(f"{type(exc).__name__}: {exc}")


class StrictSync(Looked, WebsocketConsumer):
    groups = ["room"]
    strict_types = True

    def note(self, event: Any) -> None:
        self.send("still here")

    def on_error(self, exc: Exception, message: Any) -> None:
        self.send(f"{type(exc).__name__}: {exc}")


class StrictCompat(Strict, CompatConsumer):
    pass


class StrictCompatSync(StrictSync, CompatSyncConsumer):
    pass


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("victim", [Strict, StrictSync, StrictCompat, StrictCompatSync])
async def test_a_strict_consumer_runs_no_property_that_a_type_names(layer: InMemoryChannelLayer, victim: Any) -> None:
    CALLED.clear()
    async with connected(victim.as_asgi()) as wire:
        for name in LOOKED:
            await layer.group_send("room", {"type": name.replace("_", ".")})
            assert await wire.next_text() == f"ValueError: No handler for message type {name.replace('_', '.')}"
            await layer.group_send("room", {"type": "note"})
            assert await wire.next_text() == "still here"
        assert CALLED == []


async def test_what_a_property_has_kept_is_no_handler_either(unchecked_layer: InMemoryChannelLayer) -> None:
    class Client(Victim):
        async def connect(self) -> None:
            await super().connect()
            assert self.once is not None
            CALLED.clear()

    await assert_harmless(unchecked_layer, Client, ["once"])


def passing_the_user(handler: Any) -> Any:
    @wraps(handler)
    async def with_user(self: Any, event: Any) -> None:
        await handler(self, event, "ann")

    return with_user


class Shapes(AsyncWebsocketConsumer):
    """Handlers of every shape."""

    groups = ["room"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.of_instance = self.note
        self.replaced = self.note

    async def note(self, event: Any) -> None:
        await self.send(event["type"])

    async def _named(self, name: str, event: Any) -> None:
        await self.send(name)

    replaced: Any = None
    part = partialmethod(_named, "part")
    single = singledispatchmethod(note)

    @passing_the_user
    async def decorated(self, event: Any, user: str) -> None:
        await self.send(f"{event['type']} {user}")

    @classmethod
    async def of_class(cls, event: Any) -> None:
        SEEN.append(event["type"])

    @staticmethod
    async def of_nobody(event: Any) -> None:
        SEEN.append(event["type"])


class StrictShapes(Shapes):
    strict_types = True


class CompatShapes(Shapes, CompatConsumer):
    pass


SEEN: list[str] = []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("consumer", [Shapes, StrictShapes, CompatShapes])
async def test_a_handler_of_any_shape_is_found(layer: InMemoryChannelLayer, consumer: Any) -> None:
    SEEN.clear()
    async with connected(consumer.as_asgi()) as wire:
        for name in ("note", "of_instance", "replaced", "part", "single"):
            await layer.group_send("room", {"type": name})
            assert await wire.next_text() == name
        await layer.group_send("room", {"type": "decorated"})
        assert await wire.next_text() == "decorated ann"
        await layer.group_send("room", {"type": "of.class"})
        await layer.group_send("room", {"type": "of.nobody"})
        await layer.group_send("room", {"type": "note"})
        assert await wire.next_text() == "note"
    assert SEEN == ["of.class", "of.nobody"]


async def test_no_type_sends_a_layers_message_to_clients_as_it_is(unchecked_layer: InMemoryChannelLayer) -> None:
    """Else: clients read what was meant for the consumer, and one that holds bytes ends them all."""

    class Overriding(Victim):
        async def send_json(self, content: Any, close: bool | int = False) -> None:
            await super().send_json(content, close)

    for victim in (Victim, Overriding):
        await assert_harmless(unchecked_layer, victim, ["send.json", "send_json", "group.send.json"])
    CALLED.clear()
    async with connected(Victim.as_asgi()) as wire:
        await unchecked_layer.group_send("room", {"type": "send.json", "bytes": b"\0"})
        await unchecked_layer.group_send("room", {"type": "note", "text": "still here"})
        assert await wire.next_text() == '{"note": "still here"}'
    assert wire.error is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_compat_keeps_the_idiom_that_sends_a_message_as_it_is(layer: InMemoryChannelLayer) -> None:
    class Feed(CompatJsonConsumer):
        groups = ["room"]

    async with connected(Feed.as_asgi()) as wire:
        await layer.group_send("room", {"type": "send.json", "text": "a"})
        assert await wire.next_text() == '{"type": "send.json", "text": "a"}'


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
            monkeypatch.setitem(log._logged, Victim, set())
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
            await eventually(lambda: len(victim) == 5)
            assert [message["type"] for message in victim if message["type"] == "layer.gap"] == []  # only layers say so
            assert outsider == []
            layer.detach(member)
            layer.detach(other)


async def test_two_thousand_types_fill_neither_memory_nor_log(
    unchecked_layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(log._logged, Victim, set())
    spellings = itertools.cycle(["kind{}", "{}kind", "kind.{}.x", "_{}", "\U0001f600{}", "x" * 300 + "{}"])
    async with connected(Victim.as_asgi()) as wire:
        for number in range(2_000):
            await unchecked_layer.group_send("room", {"type": next(spellings).format(number)})
            if number % 50 == 0:
                await unchecked_layer.group_send("room", {"type": "note", "text": "still here"})
                assert await wire.next_text() == '{"note": "still here"}'
    assert len(log._logged[Victim]) <= log.MAX_LOGGED_TYPES + 1
    assert sum(map(len, log._logged[Victim])) < 100_000
    assert len(caplog.records) <= log.MAX_LOGGED_TYPES + 1
    assert all(record.levelno == logging.WARNING and record.exc_info is None for record in caplog.records)
    assert all(len(message) < 500 and message.isprintable() for message in caplog.messages)


async def test_all_spellings_of_one_handlers_type_work(layer: InMemoryChannelLayer) -> None:
    class Wordy(Victim):
        async def a_b_c_d_e_f_g(self, event: Any) -> None:
            await self.send_json(event["type"])

    async with connected(Wordy.as_asgi()) as wire:
        for marks in itertools.product("._", repeat=6):
            kind = "".join(itertools.chain(*zip("abcdef", marks, strict=True), "g"))
            await layer.group_send("room", {"type": kind})
            assert await wire.next_text() == f'"{kind}"'


def test_the_cache_of_types_is_bounded() -> None:
    for number in range(10_000):
        handler_name({"type": f"kind.{number}"})
    from consumers.types import _method_name

    assert _method_name.cache_info().currsize <= 1024
