"""The event loop turns between two handlers, so that a task which the first one starts gets some way."""

import asyncio

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator

FEW = 5
"""Turns that Channels makes at least, whatever the messages come from: six, or a few less if they alternate."""


class Turns:
    """Counts the event loop's turns, and remembers how many there were between two handlers."""

    def __init__(self):
        self.counts = []
        self.now = 0
        self._ended = None

    def turn(self):
        self.now += 1
        self._handle = asyncio.get_running_loop().call_soon(self.turn)

    def stop(self):
        self._handle.cancel()

    def begin(self):
        if self._ended is not None:
            self.counts.append(self.now - self._ended)

    def end(self):
        self._ended = self.now


turns = Turns()


class AsyncCounted(AsyncWebsocketConsumer):
    groups = ["room"]

    async def receive(self, text_data=None, bytes_data=None):
        turns.begin()
        turns.end()

    async def note(self, event):
        turns.begin()
        turns.end()

    async def reply(self, event):
        await self.send("there")

    async def disconnect(self, code):
        turns.begin()


class SyncCounted(WebsocketConsumer):
    groups = ["room"]

    def receive(self, text_data=None, bytes_data=None):
        turns.begin()
        turns.end()

    def note(self, event):
        turns.begin()
        turns.end()

    def reply(self, event):
        self.send("there")

    def disconnect(self, code):
        turns.begin()


@pytest.fixture(params=[AsyncCounted, SyncCounted])
async def communicator(request):
    turns.__init__()
    turns.turn()
    communicator = WebsocketCommunicator(request.param.as_asgi(), "/")
    assert (await communicator.connect())[0] is True
    yield communicator
    await communicator.wait()
    turns.stop()


async def test_between_frames_that_wait(communicator):
    for _ in range(4):
        await communicator.send_to(text_data="x")
    await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
    await communicator.wait()
    assert len(turns.counts) == 4
    assert min(turns.counts) >= FEW


async def test_between_messages_of_the_layer_that_wait(communicator):
    layer = get_channel_layer()
    await asyncio.gather(*(layer.group_send("room", {"type": "note"}) for _ in range(4)))
    await layer.group_send("room", {"type": "reply"})
    await communicator.receive_from()
    await communicator.disconnect()
    assert len(turns.counts) == 4  # and the last one the disconnect
    assert min(turns.counts[:3]) >= FEW


async def test_between_the_handshake_and_the_first_frame(communicator):
    begun = []

    async def begin():
        for _ in range(FEW - 1):
            await asyncio.sleep(0)
        begun.append("task")

    class Starting(AsyncWebsocketConsumer):
        async def connect(self):
            self.task = asyncio.ensure_future(begin())
            await self.accept()

        async def receive(self, text_data=None, bytes_data=None):
            begun.append("receive")

    other = WebsocketCommunicator(Starting.as_asgi(), "/")
    await other.send_input({"type": "websocket.connect"})
    await other.send_to(text_data="x")
    await other.receive_output()
    await other.disconnect()
    assert begun == ["task", "receive"]
    await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
