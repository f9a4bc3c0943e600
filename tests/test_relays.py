"""Handlers that are declared: `relay()` and `relay_json()`, with a server that shares frames and without."""

import functools
import json
from typing import Any

import pytest

from consumers import (
    AsyncConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
    channel_layers,
    relay,
    relay_json,
)
from consumers.types import Message

from .support.shared import encoded, sharing
from .support.wire import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[True, False], ids=["shared", "usual"])
def offers(request: pytest.FixtureRequest) -> bool:
    """Whether the server shares frames: the client sees no difference."""
    return bool(request.param)


class Chat(AsyncWebsocketConsumer):
    groups = ["room"]
    chat_message = relay("text")
    chat_data = relay_json()
    chat_content = relay_json("content")
    after = relay("text")


class SyncChat(WebsocketConsumer):
    groups = ["room"]
    chat_message = relay("text")
    chat_data = relay_json()
    chat_content = relay_json("content")
    after = relay("text")


class JsonChat(AsyncJsonWebsocketConsumer):
    groups = ["room"]
    chat_data = relay_json()
    chat_content = relay_json("content")
    after = relay("text")


class SyncJsonChat(JsonWebsocketConsumer):
    groups = ["room"]
    chat_data = relay_json()
    chat_content = relay_json("content")
    after = relay("text")


CASES: list[tuple[Message, str | bytes]] = [
    ({"type": "chat.message", "text": "hällo"}, "hällo"),
    ({"type": "chat.message", "text": ""}, ""),
    ({"type": "chat.message", "text": b"\0\xff"}, b"\0\xff"),
    ({"type": "chat.message", "text": b""}, b""),
    ({"type": "chat_message", "text": "x" * 70_000}, "x" * 70_000),
    ({"type": "chat.data", "user": "ann", "text": "hällo"}, json.dumps({"user": "ann", "text": "hällo"})),
    ({"type": "chat.data", "list": [1, {"a": None}]}, '{"list": [1, {"a": null}]}'),
    ({"type": "chat.data"}, "{}"),
    ({"type": "chat.content", "content": [1, 2.5, "three"]}, '[1, 2.5, "three"]'),
    ({"type": "chat.content", "content": None}, "null"),
]


def skips(consumer: type[Any], backend: str) -> bool:
    """Tell whether a consumer does not run here: sync ones need asyncio."""
    return backend == "trio" and issubclass(consumer, WebsocketConsumer)


@pytest.mark.parametrize("consumer", [Chat, SyncChat, JsonChat, SyncJsonChat])
async def test_clients_get_what_is_declared(
    layer: InMemoryChannelLayer, consumer: type[Any], offers: bool, anyio_backend: str
) -> None:
    if skips(consumer, anyio_backend):
        return
    cases = [case for case in CASES if hasattr(consumer, case[0]["type"].replace(".", "_"))]
    async with sharing(consumer.as_asgi(), consumer.as_asgi(), offers=offers) as wires:
        for message, expected in cases:
            await layer.group_send("room", message)
            for wire in wires:
                assert await wire.next_content() == expected


async def test_one_encoding_serves_all(layer: InMemoryChannelLayer) -> None:
    async with sharing(*[JsonChat.as_asgi()] * 5) as wires:
        await layer.group_send("room", {"type": "chat.data", "text": "hello"})
        assert [wire.written for wire in wires] == [['{"text": "hello"}']] * 5
    assert encoded == ['{"text": "hello"}']


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "chat.message"}, KeyError),
        ({"type": "chat.message", "text": 1}, TypeError),
        ({"type": "chat.message", "text": None}, TypeError),
        ({"type": "chat.content"}, KeyError),
        ({"type": "chat.content", "content": {1, 2}}, TypeError),
        ({"type": "chat.data", "text": b"bytes"}, TypeError),
    ],
)
async def test_what_cannot_be_sent_is_a_handlers_error(
    layer: InMemoryChannelLayer, message: Message, error: type[Exception], offers: bool
) -> None:
    seen: list[tuple[type[Exception], str]] = []

    class Forgiving(Chat):
        async def on_error(self, exc: Exception, message: Message | None) -> None:
            assert message is not None
            seen.append((type(exc), message["type"]))

    async with sharing(Forgiving.as_asgi(), Chat.as_asgi(), offers=offers) as (wire, strict):
        await layer.group_send("room", message)
        await layer.group_send("room", {"type": "after", "text": "after"})
        assert await wire.next_content() == "after"
        assert seen == [(error, message["type"])]
        assert (await strict.next())["code"] == 1011
        await strict.end()
        assert isinstance(strict.error, error)


async def test_the_error_of_another_kind_of_value_says_what_to_write(layer: InMemoryChannelLayer) -> None:
    async with sharing(Chat.as_asgi()) as (wire,):
        await layer.group_send("room", {"type": "chat.message", "text": {"a": 1}})
        await wire.end()
    assert "relay('text') sends text or bytes, not dict: write relay_json('text')" in str(wire.error)


async def encode_json(content: Any) -> str:
    return "coded " + json.dumps(content)


async def test_a_classs_own_encoding_is_used(layer: InMemoryChannelLayer, offers: bool) -> None:
    class Coded(JsonChat):
        encode_json = staticmethod(encode_json)

    async with sharing(Coded.as_asgi(), offers=offers) as (wire,):
        await layer.group_send("room", {"type": "chat.data", "a": 1})
        assert await wire.next_content() == 'coded {"a": 1}'


@pytest.mark.parametrize("name", ["encode_json", "send_json"])
async def test_an_instances_own_is_used(layer: InMemoryChannelLayer, offers: bool, name: str) -> None:
    class Coded(JsonChat):
        async def connect(self) -> None:
            setattr(self, name, encode_json if name == "encode_json" else self.enclosed)
            await self.accept()

        async def enclosed(self, content: Any) -> None:
            await self.send("coded " + json.dumps(content))

    async with sharing(Coded.as_asgi(), offers=offers) as (wire,):
        await layer.group_send("room", {"type": "chat.data", "a": 1})
        assert await wire.next_content() == 'coded {"a": 1}'


async def test_a_way_to_send_json_of_the_applications_is_used(layer: InMemoryChannelLayer, offers: bool) -> None:
    class Enclosed(JsonChat):
        async def send_json(self, content: Any, close: bool | int = False) -> None:
            await super().send_json({"data": content}, close)

    async with sharing(Enclosed.as_asgi(), offers=offers) as (wire,):
        await layer.group_send("room", {"type": "chat.data", "a": 1})
        assert await wire.next_content() == '{"data": {"a": 1}}'


class Loud(Chat):
    async def chat_message(self, event: Message) -> None:
        await self.send(event["text"].upper())


class Decorated(Chat):
    @functools.wraps(Chat.chat_message)
    async def chat_message(self, event: Message) -> None:  # type: ignore[override]
        await self.send(event["text"].upper())


class Super(Chat):
    async def chat_message(self, event: Message) -> None:
        await super().chat_message({**event, "text": event["text"].upper()})


class OnInstance(Chat):
    async def connect(self) -> None:
        self.chat_message = self.loud  # type: ignore[method-assign]
        await self.accept()

    async def loud(self, event: Message) -> None:
        await self.send(event["text"].upper())


@pytest.mark.parametrize("consumer", [Loud, Decorated, Super, OnInstance])
async def test_a_handler_that_takes_its_place_is_called(
    layer: InMemoryChannelLayer, consumer: type[Any], offers: bool
) -> None:
    async with sharing(consumer.as_asgi(), offers=offers) as (wire,):
        await layer.group_send("room", {"type": "chat.message", "text": "hello"})
        assert await wire.next_content() == "HELLO"


async def test_so_is_one_that_a_class_gets_later(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch, offers: bool
) -> None:
    class Fresh(Chat):
        chat_message = relay("text")

    app = Fresh.as_asgi()
    monkeypatch.setattr(Fresh, "chat_message", Loud.chat_message)
    async with sharing(app, offers=offers) as (wire,):
        await layer.group_send("room", {"type": "chat.message", "text": "hello"})
        assert await wire.next_content() == "HELLO"


async def test_a_relay_takes_the_place_of_a_handler(layer: InMemoryChannelLayer, offers: bool) -> None:
    class Quiet(Loud):
        chat_message = relay("text")  # type: ignore[assignment]

    async with sharing(Quiet.as_asgi(), offers=offers) as (wire,):
        await layer.group_send("room", {"type": "chat.message", "text": "hello"})
        assert await wire.next_content() == "hello"


class Mixin:
    chat_message = relay("text")


class Mixed(Mixin, AsyncWebsocketConsumer):
    groups = ["room"]


class SyncMixed(Mixin, WebsocketConsumer):
    groups = ["room"]


@pytest.mark.parametrize("consumer", [Mixed, SyncMixed])
async def test_a_mixin_serves_both_kinds(
    layer: InMemoryChannelLayer, consumer: type[Any], offers: bool, anyio_backend: str
) -> None:
    if skips(consumer, anyio_backend):
        return
    async with sharing(consumer.as_asgi(), offers=offers) as (wire,):
        await layer.group_send("room", {"type": "chat.message", "text": "hello"})
        assert await wire.next_content() == "hello"


@pytest.mark.parametrize("strict", [False, True])
async def test_a_clients_choice_of_a_type_reaches_no_relay_but_the_public_ones(
    unchecked_layer: InMemoryChannelLayer, offers: bool, strict: bool
) -> None:
    class Guarded(Chat):
        strict_types = strict
        _secret_message = relay("text")
        close = relay("text")  # type: ignore[assignment]  # natively reserved

        async def on_error(self, exc: Exception, message: Message | None) -> None:
            assert isinstance(exc, ValueError)

    async with sharing(Guarded.as_asgi(), offers=offers) as (wire,):
        for kind in ("_secret_message", "_secret.message", "close", "websocket.send", "chat", "send", "x" * 200):
            await unchecked_layer.group_send("room", {"type": kind, "text": f"chosen {kind}"})
        await unchecked_layer.group_send("room", {"type": "after", "text": "after"})
        await eventually(lambda: len(wire.written) + len(wire.sent) > 1)
        assert await wire.next_content() == "after"


async def test_a_message_of_history_is_sent_without_its_place(monkeypatch: pytest.MonkeyPatch, offers: bool) -> None:
    layer = InMemoryChannelLayer(history={"room": {"size": 10, "ttl": 60}})
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    async with sharing(Chat.as_asgi(), offers=offers) as (wire,):
        await layer.group_send("room", {"type": "chat.data", "a": 1})
        assert await wire.next_content() == '{"a": 1}'


@pytest.mark.parametrize("declare", [relay, relay_json])
def test_a_key_that_is_none_is_refused(declare: Any) -> None:
    with pytest.raises(TypeError, match="takes the key of a message, not 7: write chat_message"):
        declare(7)


def test_a_consumer_without_text_frames_is_refused() -> None:
    with pytest.raises((TypeError, RuntimeError)) as refused:  # Python 3.11 wraps it

        class Low(AsyncConsumer):
            chat_message = relay("text")

    text = f"{refused.value} {refused.value.__cause__}"
    assert "Low.chat_message = relay('text') is for a WebSocket consumer: derive from AsyncWebsocketConsumer" in text


def test_a_handler_says_what_it_is() -> None:
    assert Chat.chat_message.__name__ == "chat_message"
    assert Chat.chat_message.__qualname__ == "Chat.chat_message"
    assert Chat.chat_data.__doc__ == "Send clients what relay_json() is of a group's message."
