"""The WebSocket consumers, async and sync."""

import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import AcceptConnection, DenyConnection, InvalidChannelLayerError, StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator

calls = []


class AsyncRoom(AsyncWebsocketConsumer):
    """Does what its query string and the frames say."""

    async def connect(self):
        calls.append("connect")
        do = self.scope["query_string"].decode()
        if do == "accept":
            raise AcceptConnection
        if do == "deny":
            raise DenyConnection
        if do == "close":
            await self.close()
        elif do == "code":
            await self.close(code=4003)
        elif do == "subprotocol":
            await self.accept(subprotocol="two")
        elif do == "headers":
            await self.accept(headers=[(b"x-one", b"1"), (b"x-two", b"2")])
        else:
            await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        calls.append(("receive", text_data, bytes_data))
        if text_data == "bye":
            await self.close(code=4001, reason="you said bye")
        elif text_data == "send and close":
            await self.send(text_data="bye", close=True)
        elif text_data == "send and close with a code":
            await self.send("bye", close=4002)
        elif text_data == "nothing":
            await self.send()
        elif text_data == "stop":
            raise StopConsumer
        else:
            await self.send(text_data=text_data, bytes_data=bytes_data)

    async def chat_message(self, event):
        await self.send(text_data=event["text"])

    async def disconnect(self, code):
        calls.append(("disconnect", code))


class SyncRoom(WebsocketConsumer):
    """The same, of plain functions."""

    def connect(self):
        calls.append("connect")
        do = self.scope["query_string"].decode()
        if do == "accept":
            raise AcceptConnection
        if do == "deny":
            raise DenyConnection
        if do == "close":
            self.close()
        elif do == "code":
            self.close(code=4003)
        elif do == "subprotocol":
            self.accept(subprotocol="two")
        elif do == "headers":
            self.accept(headers=[(b"x-one", b"1"), (b"x-two", b"2")])
        else:
            self.accept()

    def receive(self, text_data=None, bytes_data=None):
        calls.append(("receive", text_data, bytes_data))
        if text_data == "bye":
            self.close(code=4001, reason="you said bye")
        elif text_data == "send and close":
            self.send(text_data="bye", close=True)
        elif text_data == "send and close with a code":
            self.send("bye", close=4002)
        elif text_data == "nothing":
            self.send()
        elif text_data == "stop":
            raise StopConsumer
        else:
            self.send(text_data=text_data, bytes_data=bytes_data)

    def chat_message(self, event):
        self.send(text_data=event["text"])

    def disconnect(self, code):
        calls.append(("disconnect", code))


pytestmark = pytest.mark.parametrize("room", [AsyncRoom, SyncRoom])


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


async def connected(consumer, path="/ws/", **options):
    communicator = WebsocketCommunicator(consumer.as_asgi(), path, **options)
    assert (await communicator.connect())[0] is True
    return communicator


async def test_an_instance_serves_one_connection_after_another(room):
    application = room()
    for code in (1000, 4001):
        communicator = WebsocketCommunicator(application, "/ws/")
        assert (await communicator.connect())[0] is True
        await communicator.send_to(text_data="hello")
        assert await communicator.receive_from() == "hello"
        await communicator.disconnect(code)
    assert [call for call in calls if call[0] == "disconnect"] == [("disconnect", 1000), ("disconnect", 4001)]


async def test_text_comes_back(room):
    communicator = await connected(room)
    await communicator.send_to(text_data="hello")
    assert await communicator.receive_from() == "hello"
    await communicator.disconnect()
    assert calls == ["connect", ("receive", "hello", None), ("disconnect", 1000)]


async def test_bytes_come_back(room):
    communicator = await connected(room)
    await communicator.send_to(bytes_data=b"w\0\0\0")
    assert await communicator.receive_from() == b"w\0\0\0"
    await communicator.disconnect()
    assert calls[1] == ("receive", None, b"w\0\0\0")


async def test_a_frame_has_its_data_alone(room):
    communicator = await connected(room)
    await communicator.send_to(text_data="hello")
    assert await communicator.receive_output() == {"type": "websocket.send", "text": "hello"}
    await communicator.send_to(bytes_data=b"hello")
    assert await communicator.receive_output() == {"type": "websocket.send", "bytes": b"hello"}
    await communicator.disconnect()


async def test_a_frame_with_both_keys_is_text_if_there_is_any(room):
    communicator = await connected(room)
    await communicator.send_input({"type": "websocket.receive", "text": None, "bytes": b"b"})
    assert await communicator.receive_from() == b"b"
    await communicator.send_input({"type": "websocket.receive", "text": "t", "bytes": None})
    assert await communicator.receive_from() == "t"
    await communicator.disconnect()


async def test_the_disconnect_code_is_the_clients(room):
    communicator = await connected(room)
    await communicator.disconnect(code=4321)
    assert calls[-1] == ("disconnect", 4321)


@pytest.mark.parametrize("query", ["", "accept"])
async def test_the_handshake_is_accepted_by_call_or_exception(room, query):
    communicator = WebsocketCommunicator(room.as_asgi(), f"/ws/?{query}")
    assert await communicator.connect() == (True, None)
    await communicator.disconnect()


@pytest.mark.parametrize(("query", "code"), [("deny", 1000), ("close", 1000), ("code", 4003)])
async def test_the_handshake_is_rejected_by_call_or_exception(room, query, code):
    communicator = WebsocketCommunicator(room.as_asgi(), f"/ws/?{query}")
    assert await communicator.connect() == (False, code)
    await communicator.disconnect(1006)
    assert calls == ["connect", ("disconnect", 1006)]


async def test_a_subprotocol_is_chosen(room):
    communicator = WebsocketCommunicator(room.as_asgi(), "/ws/?subprotocol", subprotocols=["one", "two"])
    assert await communicator.connect() == (True, "two")
    await communicator.disconnect()


async def test_the_answer_may_have_headers(room):
    communicator = await connected(room, "/ws/?headers")
    assert list(map(tuple, communicator.response_headers)) == [(b"x-one", b"1"), (b"x-two", b"2")]
    await communicator.disconnect()


async def test_closing_sends_code_and_reason(room):
    communicator = await connected(room)
    await communicator.send_to(text_data="bye")
    assert await communicator.receive_output() == {"type": "websocket.close", "code": 4001, "reason": "you said bye"}
    await communicator.disconnect(4001)
    assert calls[-1] == ("disconnect", 4001)


@pytest.mark.parametrize(("said", "code"), [("send and close", 1000), ("send and close with a code", 4002)])
async def test_sending_may_close(room, said, code):
    communicator = await connected(room)
    await communicator.send_to(text_data=said)
    assert await communicator.receive_from() == "bye"
    event = await communicator.receive_output()
    assert (event["type"], event.get("code", 1000)) == ("websocket.close", code)
    await communicator.disconnect()


async def test_sending_nothing_is_an_error(room):
    communicator = await connected(room)
    await communicator.send_to(text_data="nothing")
    with pytest.raises(ValueError, match="bytes_data or text_data"):
        await communicator.wait()


async def test_stop_consumer_ends_cleanly(room):
    communicator = await connected(room)
    await communicator.send_to(text_data="stop")
    await communicator.wait()


async def test_what_receive_raises_leaves_the_application(room):
    async def fail(self, text_data=None, bytes_data=None):
        raise RuntimeError(text_data)

    def fail_plainly(self, text_data=None, bytes_data=None):
        raise RuntimeError(text_data)

    receive = fail if issubclass(room, AsyncWebsocketConsumer) else fail_plainly
    communicator = await connected(type("Failing", (room,), {"receive": receive}))
    await communicator.send_to(text_data="boom")
    with pytest.raises(RuntimeError, match="boom"):
        await communicator.wait()


async def test_class_groups_are_joined_and_left(room):
    communicator = await connected(type("Grouped", (room,), {"groups": ["one", "two"]}))
    for group in ("one", "two"):
        await get_channel_layer().group_send(group, {"type": "chat.message", "text": group})
        assert await communicator.receive_from() == group
    await communicator.disconnect()
    assert not any(get_channel_layer().groups.values())


async def test_class_groups_need_a_layer(room, change_settings):
    change_settings(CHANNEL_LAYERS={})
    grouped = type("Grouped", (room,), {"groups": ["one"]})
    with pytest.raises(InvalidChannelLayerError):
        await WebsocketCommunicator(grouped.as_asgi(), "/ws/").connect()
    assert "connect" not in calls


async def test_without_a_layer_consumers_work(room, change_settings):
    change_settings(CHANNEL_LAYERS={})
    communicator = await connected(room)
    await communicator.send_to(text_data="hello")
    assert await communicator.receive_from() == "hello"
    await communicator.disconnect()


async def test_groups_are_empty_by_default(room):
    assert room().groups == []
    assert room.groups is None


async def test_a_group_reaches_all_its_members(room):
    class PendingJoin(room):
        if issubclass(room, AsyncWebsocketConsumer):

            async def connect(self):
                await self.channel_layer.group_add("chat", self.channel_name)
                await self.accept()
        else:

            def connect(self):
                async_to_sync(self.channel_layer.group_add)("chat", self.channel_name)
                self.accept()

    members = [await connected(PendingJoin) for _ in range(3)]
    await get_channel_layer().group_send("chat", {"type": "chat.message", "text": "all"})
    assert [await member.receive_from() for member in members] == ["all"] * 3
    for member in members:
        await member.disconnect()


async def test_event_handlers_may_be_overridden(room):
    seen = []

    class Extended(room):
        if issubclass(room, AsyncWebsocketConsumer):

            async def websocket_connect(self, message):
                seen.append(message["type"])
                await super().websocket_connect(message)

            async def websocket_receive(self, message):
                seen.append(message["type"])
                await super().websocket_receive(message)

            async def websocket_disconnect(self, message):
                seen.append(message["type"])
                await super().websocket_disconnect(message)
        else:

            def websocket_connect(self, message):
                seen.append(message["type"])
                super().websocket_connect(message)

            def websocket_receive(self, message):
                seen.append(message["type"])
                super().websocket_receive(message)

            def websocket_disconnect(self, message):
                seen.append(message["type"])
                super().websocket_disconnect(message)

    communicator = await connected(Extended)
    await communicator.send_to(text_data="hello")
    assert await communicator.receive_from() == "hello"
    await communicator.disconnect(code=1001)
    assert seen == ["websocket.connect", "websocket.receive", "websocket.disconnect"]
    assert calls[-1] == ("disconnect", 1001)


async def test_the_base_accepts_and_ignores(room):
    communicator = await connected(next(base for base in room.__mro__ if base.__module__.endswith("generic.websocket")))
    await communicator.send_to(text_data="hello")
    assert await communicator.receive_nothing()
    await communicator.disconnect()
