"""The WebSocket consumers, async and sync, through the test communicators."""

import asyncio
import inspect
import json
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction

from consumers import (
    AcceptConnection,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    DenyConnection,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from consumers.testing import WebsocketCommunicator

from .support.wire import Wire, connected, connecting, eventually, websocket_scope

pytestmark = pytest.mark.anyio


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


class SyncEcho(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data, bytes_data)


class JsonEcho(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json(content)


class SyncJsonEcho(JsonWebsocketConsumer):
    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json(content)


def on_this_loop(consumer: type, anyio_backend: str) -> bool:
    """Sync consumers run on asyncio alone: asgiref, which runs their threads, knows no other loop."""
    return anyio_backend == "asyncio" or not issubclass(consumer, WebsocketConsumer)


async def test_frames_come_back_as_the_kind_they_were_sent(anyio_backend: str) -> None:
    for consumer in filter(lambda c: on_this_loop(c, anyio_backend), (Echo, SyncEcho)):
        communicator = WebsocketCommunicator(consumer.as_asgi(), "/echo")
        assert await communicator.connect() == (True, None)
        await communicator.send_to(text_data="text")
        assert await communicator.receive_from() == "text"
        await communicator.send_to(text_data="")
        assert await communicator.receive_from() == ""
        await communicator.send_to(bytes_data=b"\x00")
        assert await communicator.receive_from() == b"\x00"
        await communicator.disconnect()


async def test_json_is_decoded_and_encoded(anyio_backend: str) -> None:
    for consumer in filter(lambda c: on_this_loop(c, anyio_backend), (JsonEcho, SyncJsonEcho)):
        communicator = WebsocketCommunicator(consumer.as_asgi(), "/echo")
        await communicator.connect()
        await communicator.send_json_to({"a": [1, None]})
        assert await communicator.receive_json_from() == {"a": [1, None]}
        await communicator.disconnect()


async def test_what_a_json_consumer_does_not_take_is_answered_by_a_close_code(anyio_backend: str) -> None:
    bad: list[tuple[dict[str, Any], int]] = [
        ({"text_data": "{"}, 1007),
        ({"text_data": ""}, 1007),
        ({"text_data": "[" * 100_000}, 1007),
        ({"text_data": "1" * 10_000}, 1007),
        ({"bytes_data": b"{}"}, 1003),
    ]
    for consumer in filter(lambda c: on_this_loop(c, anyio_backend), (JsonEcho, SyncJsonEcho)):
        for data, code in bad:
            communicator = WebsocketCommunicator(consumer.as_asgi(), "/echo")
            await communicator.connect()
            await communicator.send_to(**data)
            event = await communicator.receive_output()
            assert (event["type"], event["code"]) == ("websocket.close", code)
            await communicator.wait()


async def test_a_consumer_for_text_answers_binary_with_1003_and_the_other_way_round() -> None:
    class Text(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            await self.send(text_data)

    class Binary(AsyncWebsocketConsumer):
        async def receive(self, bytes_data: bytes) -> None:
            await self.send(bytes_data=bytes_data)

    cases: list[tuple[type[AsyncWebsocketConsumer], dict[str, Any]]] = [
        (Text, {"bytes_data": b"x"}),
        (Binary, {"text_data": "x"}),
    ]
    for consumer, data in cases:
        communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
        await communicator.connect()
        await communicator.send_to(**data)
        assert (await communicator.receive_output())["code"] == 1003
        await communicator.wait()


async def test_a_client_that_does_not_offer_the_subprotocol_is_rejected() -> None:
    class Chatting(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept("chat.v2", headers=[(b"x-room", b"1")])

    good = WebsocketCommunicator(Chatting.as_asgi(), "/", subprotocols=["chat.v1", "chat.v2"])
    assert await good.connect() == (True, "chat.v2")
    assert good.response_headers == [(b"x-room", b"1")]
    await good.disconnect()
    bad = WebsocketCommunicator(Chatting.as_asgi(), "/", subprotocols=["chat.v1"])
    assert (await bad.connect())[0] is False
    await bad.disconnect()


async def test_the_token_of_a_client_that_is_rejected_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Chatting(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept("chat.v2")

    communicator = WebsocketCommunicator(Chatting.as_asgi(), "/", subprotocols=["chat.v1", "token.c2VjcmV0"])
    assert not (await communicator.connect())[0]
    assert "['chat.v1', 'token.…'], not 'chat.v2'" in caplog.text
    assert "c2VjcmV0" not in caplog.text


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["consumers.v1", "consumers.any"], "consumers.any"), (["consumers.v1"], None), ([], None)]
)
async def test_a_client_of_this_library_is_accepted_without_naming_a_subprotocol(
    offered: list[str], chosen: str | None
) -> None:
    communicator = WebsocketCommunicator(AsyncWebsocketConsumer.as_asgi(), "/", subprotocols=offered)
    assert await communicator.connect() == (True, chosen)
    await communicator.disconnect()


async def test_accept_and_deny_connection_count_in_connect(anyio_backend: str) -> None:
    class Deciding(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            raise AcceptConnection if self.scope["path"] == "/yes" else DenyConnection

    class SyncDeciding(WebsocketConsumer):
        def connect(self) -> None:
            raise AcceptConnection if self.scope["path"] == "/yes" else DenyConnection

    for consumer in filter(lambda c: on_this_loop(c, anyio_backend), (Deciding, SyncDeciding)):
        yes = WebsocketCommunicator(consumer.as_asgi(), "/yes")
        assert await yes.connect() == (True, None)
        await yes.disconnect()
        no = WebsocketCommunicator(consumer.as_asgi(), "/no")
        assert await no.connect() == (False, 1000)
        await no.disconnect()


async def test_deny_answers_by_http_where_the_server_can() -> None:
    class Denying(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.deny(401, "who are you?", [(b"www-authenticate", b"Basic")])

    async with connecting(Denying.as_asgi(), extensions={"websocket.http.response": {}}) as wire:
        start, body = await wire.next(), await wire.next()
        assert start == {
            "type": "websocket.http.response.start",
            "status": 401,
            "headers": [(b"www-authenticate", b"Basic")],
        }
        assert body == {"type": "websocket.http.response.body", "body": b"who are you?"}
    async with connecting(Denying.as_asgi()) as wire:
        assert await wire.next() == {"type": "websocket.close", "code": 1000, "reason": ""}


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_deny_after_accept_is_an_error_whatever_the_server(extensions: dict[str, Any]) -> None:
    class Late(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await self.deny()

    async with connected(Late.as_asgi(), extensions=extensions) as wire:
        await wire.end()
    assert "a handshake is answered once" in str(wire.error)


async def test_send_can_close_afterwards(anyio_backend: str) -> None:
    class Leaving(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.send_json(content, close=content)

    class SyncLeaving(JsonWebsocketConsumer):
        def receive_json(self, content: Any, **kwargs: Any) -> None:
            self.send_json(content, close=content)

    for consumer in filter(lambda c: on_this_loop(c, anyio_backend), (Leaving, SyncLeaving)):
        for content, code in ((True, 1000), (4001, 4001)):
            communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
            await communicator.connect()
            await communicator.send_json_to(content)
            assert await communicator.receive_json_from() == content
            assert await communicator.receive_output() == {"type": "websocket.close", "code": code, "reason": ""}
            await communicator.disconnect(code)


async def test_a_send_of_nothing_is_a_value_error() -> None:
    class Empty(AsyncWebsocketConsumer):
        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            with pytest.raises(ValueError, match="text_data"):
                await self.send()
            await self.send("checked")

    communicator = WebsocketCommunicator(Empty.as_asgi(), "/")
    await communicator.connect()
    await communicator.send_to(text_data="x")
    assert await communicator.receive_from() == "checked"
    await communicator.disconnect()


async def test_decoding_can_be_overridden(anyio_backend: str) -> None:
    class Upper(JsonEcho):
        @classmethod
        async def decode_json(cls, text_data: str) -> Any:
            return text_data.upper()

        @classmethod
        async def encode_json(cls, content: Any) -> str:
            return json.dumps([content])

    communicator = WebsocketCommunicator(Upper.as_asgi(), "/")
    await communicator.connect()
    await communicator.send_to(text_data="x")
    assert await communicator.receive_json_from() == ["X"]
    await communicator.disconnect()


async def test_libraries_may_wrap_the_framework_methods(anyio_backend: str) -> None:
    calls: list[str] = []

    class Wrapped(AsyncWebsocketConsumer):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            calls.append("call")
            await super().__call__(scope, receive, send)

        async def dispatch(self, message: Any) -> None:
            calls.append(message["type"])
            await super().dispatch(message)

        async def websocket_connect(self, message: Any) -> None:
            calls.append("connect")
            await super().websocket_connect(message)

        async def websocket_receive(self, message: Any) -> None:
            calls.append("receive")
            await super().websocket_receive(message)

        async def websocket_disconnect(self, message: Any) -> None:
            calls.append("disconnect")
            await super().websocket_disconnect(message)

    class SyncWrapped(WebsocketConsumer):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            calls.append("call")
            await super().__call__(scope, receive, send)

        async def dispatch(self, message: Any) -> None:
            calls.append(message["type"])
            await super().dispatch(message)

        def websocket_connect(self, message: Any) -> None:
            calls.append("connect")
            super().websocket_connect(message)

        def websocket_receive(self, message: Any) -> None:
            calls.append("receive")
            super().websocket_receive(message)

        def websocket_disconnect(self, message: Any) -> None:
            calls.append("disconnect")
            super().websocket_disconnect(message)

    for consumer in filter(lambda c: on_this_loop(c, anyio_backend), (Wrapped, SyncWrapped)):
        calls.clear()
        communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
        await communicator.connect()
        await communicator.send_to(text_data="x")
        await communicator.disconnect()
        assert calls == [
            "call",
            "websocket.connect",
            "connect",
            "websocket.receive",
            "receive",
            "websocket.disconnect",
            "disconnect",
        ]


async def test_a_replaced_websocket_receive_gets_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Plain(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            seen.append(text_data)

    async def replacement(self: Any, message: Any) -> None:
        seen.append(f"replaced: {message['text']}")

    class OnTheInstance(Plain):
        async def connect(self) -> None:
            vars(self)["websocket_receive"] = replacement.__get__(self)
            await self.accept()

    async def talk(consumer: type[AsyncWebsocketConsumer]) -> list[str]:
        seen.clear()
        async with connected(consumer.as_asgi()) as wire:
            wire.client("receive", text="one")
            wire.client("receive", text="two")
            await eventually(lambda: len(seen) == 2)
        return list(seen)

    assert await talk(Plain) == ["one", "two"]
    assert await talk(OnTheInstance) == ["replaced: one", "replaced: two"]
    with monkeypatch.context() as patch:
        patch.setattr(Plain, "websocket_receive", replacement)
        assert await talk(Plain) == ["replaced: one", "replaced: two"]
    assert await talk(Plain) == ["one", "two"]


async def test_a_receive_that_is_replaced_later_gets_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Plain(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            seen.append(text_data)

    async def replacement(self: Any, text_data: str) -> None:
        seen.append(f"replaced: {text_data}")

    async with connected(Plain.as_asgi()) as wire:
        wire.client("receive", text="one")
        await eventually(lambda: len(seen) == 1)
        monkeypatch.setattr(Plain, "receive", replacement)
        wire.client("receive", text="two")
        await eventually(lambda: len(seen) == 2)
    assert seen == ["one", "replaced: two"]


@pytest.mark.parametrize("frame", [{"text_data": "caf\u00e9"}, {"text_data": "\ud83d"}, {"bytes_data": b"caf"}])
async def test_a_middlewares_own_encoding_error_leaves_as_it_was_raised(frame: dict[str, Any]) -> None:
    class Speaker(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await self.send(**frame)

    wire = Wire()
    wire.client("connect")

    async def send(event: Any) -> None:
        if event["type"] == "websocket.send":
            "caf\u00e9".encode("ascii")
        await wire.app_send(event)

    with pytest.raises(UnicodeEncodeError, match="ascii"):
        await Speaker.as_asgi()(websocket_scope(), wire.app_receive, send)
    assert wire.close_code == 1011


def test_what_is_to_be_awaited_says_so() -> None:
    for method in (AsyncWebsocketConsumer.__call__, AsyncWebsocketConsumer.send):
        assert inspect.iscoroutinefunction(method)
    assert not inspect.iscoroutinefunction(WebsocketConsumer.send)
    assert not iscoroutinefunction(WebsocketConsumer.send)


async def test_a_send_that_cannot_be_fails_where_it_is_awaited() -> None:
    outcomes: list[type[Exception]] = []

    class Sender(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            wrong: Any = 5
            for sending in (self.send("one"), self.send(wrong), self.send()):
                try:
                    await sending
                except (TypeError, ValueError) as error:
                    outcomes.append(type(error))

    async with connected(Sender.as_asgi()) as wire:
        wire.text("go")
        assert await wire.next_text() == "one"
    assert outcomes == [TypeError, ValueError]


def test_a_consumer_can_be_called_before_its_event_loop_runs() -> None:
    for consumer in (Echo(), SyncEcho()):
        sent: list[Any] = []
        events = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "hello"},
            {"type": "websocket.disconnect", "code": 1000},
        ]

        async def receive(events: list[Any] = events, sent: list[Any] = sent) -> Any:
            await eventually(lambda: len(events) + len(sent) >= 3)  # each is answered first
            return events.pop(0)

        async def send(event: Any, sent: list[Any] = sent) -> None:
            sent.append(event)

        asyncio.run(consumer(websocket_scope(), receive, send))
        assert [event.get("text") for event in sent] == [None, "hello"]
