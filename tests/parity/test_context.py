"""Threads and context variables of a connection's handlers."""

import contextvars
import threading

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator

variable = contextvars.ContextVar("variable", default="unset")
last = []


class AsyncContext(AsyncWebsocketConsumer):
    groups = ["room"]

    async def connect(self):
        variable.set("set in connect")
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(variable.get())
        variable.set(text_data)

    async def chat_message(self, event):
        await self.send(variable.get())

    async def disconnect(self, code):
        last.append(variable.get())


class SyncContext(WebsocketConsumer):
    groups = ["room"]

    def connect(self):
        variable.set("set in connect")
        self.accept()

    def receive(self, text_data=None, bytes_data=None):
        self.send(variable.get())
        variable.set(text_data)

    def chat_message(self, event):
        self.send(variable.get())

    def disconnect(self, code):
        last.append(variable.get())


@pytest.mark.parametrize("consumer", [AsyncContext, SyncContext])
async def test_what_one_handler_sets_the_next_ones_see(consumer):
    last.clear()
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
    await communicator.connect()
    await communicator.send_to(text_data="set in receive")
    assert await communicator.receive_from() == "set in connect"
    token = variable.set("set by the sender")
    await get_channel_layer().group_send("room", {"type": "chat.message"})
    variable.reset(token)
    assert await communicator.receive_from() == "set in receive"
    await communicator.disconnect()
    assert last == ["set in receive"]


class WhichThread(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(str(threading.get_ident()))


class WhichThreadOfACall(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(str(await database_sync_to_async(threading.get_ident)()))


async def test_plain_functions_of_all_connections_run_in_the_one_thread_for_them():
    threads = {str(await sync_to_async(threading.get_ident)())}
    for consumer in (WhichThread, WhichThread, WhichThreadOfACall):
        communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
        await communicator.connect()
        for _ in range(3):
            await communicator.send_to(text_data="which")
            threads.add(await communicator.receive_from())
        await communicator.disconnect()
    assert len(threads) == 1


class Loud(AsyncWebsocketConsumer):
    """Changes what all of its frames look like."""

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data)

    async def send(self, text_data=None, bytes_data=None, close=False):
        await super().send(text_data=text_data and text_data.upper(), bytes_data=bytes_data, close=close)


class PlainlyLoud(WebsocketConsumer):
    """The same, of plain functions."""

    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data)

    def send(self, text_data=None, bytes_data=None, close=False):
        super().send(text_data=text_data and text_data.upper(), bytes_data=bytes_data, close=close)


@pytest.mark.parametrize("consumer", [Loud, PlainlyLoud])
async def test_send_may_be_overridden(consumer):
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
    await communicator.connect()
    await communicator.send_to(text_data="hello")
    assert await communicator.receive_from() == "HELLO"
    await communicator.disconnect()
