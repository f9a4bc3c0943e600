"""Messages of a layer whose types are the names of a WebSocket's own events."""

import pytest
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator

calls = []


class AsyncMember(AsyncWebsocketConsumer):
    groups = ["room"]

    async def connect(self):
        calls.append("connect")
        if calls.count("connect") == 1:  # the server would refuse to accept twice
            await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        calls.append(("receive", text_data, bytes_data))
        await self.send(text_data=text_data, bytes_data=bytes_data)

    async def disconnect(self, code):
        calls.append(("disconnect", code))

    async def websocket_send(self, event):
        await self.send(text_data=f"own: {event['text']}")


class SyncMember(WebsocketConsumer):
    groups = ["room"]

    def connect(self):
        calls.append("connect")
        if calls.count("connect") == 1:
            self.accept()

    def receive(self, text_data=None, bytes_data=None):
        calls.append(("receive", text_data, bytes_data))
        self.send(text_data=text_data, bytes_data=bytes_data)

    def disconnect(self, code):
        calls.append(("disconnect", code))

    def websocket_send(self, event):
        self.send(text_data=f"own: {event['text']}")


class Bare(AsyncConsumer):
    """Derives from the base alone, so that the handlers are its own."""

    async def websocket_connect(self, event):
        await self.channel_layer.group_add("room", self.channel_name)
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, event):
        calls.append(("receive", event["text"], None))
        await self.send({"type": "websocket.send", "text": event["text"]})

    async def websocket_disconnect(self, event):
        calls.append(("disconnect", event["code"]))
        raise StopConsumer

    async def websocket_send(self, event):
        await self.send({"type": "websocket.send", "text": f"own: {event['text']}"})


every_member = pytest.mark.parametrize("member", [AsyncMember, SyncMember, Bare])
generic_member = pytest.mark.parametrize("member", [AsyncMember, SyncMember])


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


async def joined(member):
    communicator = WebsocketCommunicator(member.as_asgi(), "/")
    assert (await communicator.connect())[0] is True
    return communicator


async def tell(**message):
    await get_channel_layer().group_send("room", message)


@every_member
async def test_a_frame_from_the_layer_reaches_receive(member):
    communicator = await joined(member)
    await tell(type="websocket.receive", text="hello")
    assert await communicator.receive_from() == "hello"
    assert ("receive", "hello", None) in calls
    await communicator.disconnect()


@generic_member
async def test_a_binary_frame_from_the_layer_reaches_receive(member):
    communicator = await joined(member)
    await tell(type="websocket.receive", bytes=b"\0\1")
    assert await communicator.receive_from() == b"\0\1"
    assert ("receive", None, b"\0\1") in calls
    await communicator.disconnect()


@generic_member
async def test_a_handshake_from_the_layer_reaches_connect(member):
    communicator = await joined(member)
    await tell(type="websocket.connect")
    await tell(type="websocket.receive", text="hello")
    assert await communicator.receive_from() == "hello"
    assert calls == ["connect", "connect", ("receive", "hello", None)]
    await communicator.disconnect()


@every_member
async def test_a_disconnect_from_the_layer_runs_disconnect_once_and_ends_the_consumer(member):
    communicator = await joined(member)
    calls.clear()
    await tell(type="websocket.disconnect", code=4001)
    await communicator.wait()
    assert calls == [("disconnect", 4001)]


@every_member
async def test_a_disconnect_of_the_client_behind_one_from_the_layer_changes_nothing(member):
    communicator = await joined(member)
    calls.clear()
    await tell(type="websocket.disconnect", code=4001)
    await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
    await communicator.wait()
    assert calls == [("disconnect", 4001)]


@generic_member
async def test_a_member_that_the_layer_disconnects_is_in_no_group(member):
    communicator = await joined(member)
    await tell(type="websocket.disconnect", code=4001)
    await communicator.wait()
    assert not get_channel_layer().groups


@every_member
async def test_an_error_in_a_disconnect_from_the_layer_is_raised_and_does_not_repeat_it(member):
    class Failing(member):
        pass

    async def failing_async(self, *args):
        calls.append("disconnect")
        raise LookupError("as it was told")

    def failing(self, *args):
        calls.append("disconnect")
        raise LookupError("as it was told")

    name = "websocket_disconnect" if member is Bare else "disconnect"
    setattr(Failing, name, failing if member is SyncMember else failing_async)
    communicator = await joined(Failing)
    calls.clear()
    await tell(type="websocket.disconnect", code=4001)
    with pytest.raises(LookupError, match="as it was told"):
        await communicator.wait()
    assert calls == ["disconnect"]


@every_member
async def test_a_frame_to_send_from_the_layer_reaches_the_consumers_own_method(member):
    communicator = await joined(member)
    await tell(type="websocket.send", text="hello")
    assert await communicator.receive_from() == "own: hello"
    await communicator.disconnect()


@generic_member
async def test_a_frame_to_send_from_the_layer_is_an_error_without_such_a_method(member):
    base = AsyncWebsocketConsumer if member is AsyncMember else WebsocketConsumer
    communicator = await joined(type("Plain", (base,), {"groups": ["room"]}))
    await tell(type="websocket.send", text="hello")
    with pytest.raises(ValueError, match=r"No handler for message type websocket\.send"):
        await communicator.wait()
