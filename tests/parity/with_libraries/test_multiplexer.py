"""channelsmultiplexer: several consumers behind one socket, each in a task of its own with a queue for its receive."""

import asyncio

import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from channels.testing import WebsocketCommunicator
from channelsmultiplexer import AsyncJsonWebsocketDemultiplexer

from . import IS_COMPAT

ENDED = []
"""The streams whose `disconnect()` has run, with the code."""


class Echo(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content):
        if content == "close":
            await self.close(4001)
        elif content == "fail":
            raise LookupError("of the stream")
        else:
            await self.send_json({"echo": content})

    async def disconnect(self, code):
        ENDED.append(("echo", code))


class Room(AsyncJsonWebsocketConsumer):
    groups = ["room"]

    async def receive_json(self, content):
        if content == "close":
            await self.close(4002)
        else:
            await self.channel_layer.group_send("room", {"type": "room.said", "text": content})

    async def room_said(self, event):
        await self.send_json({"said": event["text"]})

    async def disconnect(self, code):
        ENDED.append(("room", code))


class Count(JsonWebsocketConsumer):
    counted = 0

    def receive_json(self, content):
        self.counted += content
        self.send_json({"counted": self.counted})


class Streams(AsyncJsonWebsocketDemultiplexer):
    applications = {"echo": Echo.as_asgi(), "room": Room.as_asgi()}


@pytest.fixture(autouse=True)
def nothing_has_ended():
    ENDED.clear()


async def connected(application):
    """Return a client whose streams have all accepted."""
    client = WebsocketCommunicator(application, "/")
    assert await client.connect() == (True, None)
    assert await client.receive_nothing()
    return client


async def say(client, stream, payload):
    await client.send_json_to({"stream": stream, "payload": payload})


async def test_two_streams_answer_each_for_itself():
    client = await connected(Streams.as_asgi())
    await say(client, "echo", 1)
    assert await client.receive_json_from() == {"stream": "echo", "payload": {"echo": 1}}
    await say(client, "room", "hello")
    assert await client.receive_json_from() == {"stream": "room", "payload": {"said": "hello"}}
    for number in range(10):
        await say(client, "echo", number)
    assert [(await client.receive_json_from())["payload"]["echo"] for _ in range(10)] == [*range(10)]
    await client.disconnect()


async def test_a_stream_hears_its_group(layer):
    one, two = [await connected(Streams.as_asgi()) for _ in range(2)]
    await say(one, "room", "hello")
    for client in (one, two):
        assert await client.receive_json_from() == {"stream": "room", "payload": {"said": "hello"}}
    await layer.group_send("room", {"type": "room.said", "text": "from outside"})
    for client in (one, two):
        assert await client.receive_json_from() == {"stream": "room", "payload": {"said": "from outside"}}
        await client.disconnect()
    assert not layer.groups


async def test_a_stream_may_be_a_sync_consumer():
    class Mixed(AsyncJsonWebsocketDemultiplexer):
        applications = {"count": Count.as_asgi(), "echo": Echo.as_asgi()}

    client = await connected(Mixed.as_asgi())
    for number in (1, 2, 3):
        await say(client, "count", number)
    counted = [(await client.receive_json_from())["payload"]["counted"] for _ in range(3)]
    assert counted == [1, 3, 6]
    await say(client, "echo", "still here")
    assert (await client.receive_json_from())["payload"] == {"echo": "still here"}
    await client.disconnect()


async def test_when_the_client_leaves_every_stream_disconnects(layer):
    client = await connected(Streams.as_asgi())
    await client.disconnect(4321)
    assert sorted(ENDED) == [("echo", 4321), ("room", 4321)]
    assert not layer.groups


async def test_the_first_stream_that_ends_ends_the_socket():
    client = await connected(Streams.as_asgi())
    await say(client, "echo", "close")
    await say(client, "room", "close")
    closed = await client.receive_output()
    assert (closed["type"], closed["code"]) == ("websocket.close", 4002)
    await client.disconnect()


async def test_a_frame_for_no_stream_is_an_error():
    client = await connected(Streams.as_asgi())
    await say(client, "nobody", 1)
    with pytest.raises(ValueError, match="stream not mapped"):
        await client.receive_output()


async def test_a_frame_without_a_stream_is_an_error():
    client = await connected(Streams.as_asgi())
    await client.send_json_to([1, 2])
    with pytest.raises(ValueError, match="no channel/payload key"):
        await client.receive_output()


async def test_the_error_of_a_stream_leaves_the_application():
    client = await connected(Streams.as_asgi())
    await say(client, "echo", "fail")
    with pytest.raises(LookupError, match="of the stream"):
        await client.wait(timeout=10)


async def test_when_the_server_cancels_no_stream_is_left(layer):
    client = await connected(Streams.as_asgi())
    client.future.cancel()
    await asyncio.wait([client.future], timeout=10)
    assert client.future.done()
    if IS_COMPAT:  # Channels' consumers are cancelled without an end of their own
        assert sorted(name for name, _ in ENDED) == ["echo", "room"]
        assert not layer.groups
