"""The worker for named channels."""

import asyncio

import pytest
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.routing import ChannelNameRouter, ProtocolTypeRouter
from channels.worker import Worker

seen = asyncio.Queue()


@pytest.fixture(autouse=True)
def nothing_seen():
    global seen
    seen = asyncio.Queue()


class AsyncWork(AsyncConsumer):
    async def work_do(self, message):
        seen.put_nowait((self.scope["type"], self.scope["channel"], message["number"]))


class SyncWork(SyncConsumer):
    def __init__(self, loop):
        self.loop = loop

    def work_do(self, message):
        self.loop.call_soon_threadsafe(seen.put_nowait, (self.scope["type"], self.scope["channel"], message["number"]))


class Answering(AsyncConsumer):
    async def question(self, message):
        await self.channel_layer.send(message["reply_to"], {"type": "answer", "to": message["text"]})


async def next_seen():
    async with asyncio.timeout(5):
        return await seen.get()


class Running:
    """A worker that runs inside the block."""

    def __init__(self, application, channels):
        self.worker = Worker(application, channels, get_channel_layer())

    async def __aenter__(self):
        self.task = asyncio.create_task(self.worker.handle())
        return self.worker

    async def __aexit__(self, *exc):
        self.task.cancel()
        for instance in getattr(self.worker, "application_instances", {}).values():
            instance["future"].cancel()
        await asyncio.wait([self.task])


async def test_an_async_consumer_gets_its_messages():
    async with Running(ChannelNameRouter({"work": AsyncWork.as_asgi()}), ["work"]):
        for number in range(3):
            await get_channel_layer().send("work", {"type": "work.do", "number": number})
        assert [await next_seen() for _ in range(3)] == [("channel", "work", number) for number in range(3)]


async def test_a_sync_consumer_gets_its_messages():
    application = ChannelNameRouter({"work": SyncWork.as_asgi(loop=asyncio.get_running_loop())})
    async with Running(application, ["work"]):
        await get_channel_layer().send("work", {"type": "work.do", "number": 1})
        assert await next_seen() == ("channel", "work", 1)


async def test_messages_sent_before_the_worker_runs_wait_for_it():
    await get_channel_layer().send("work", {"type": "work.do", "number": 1})
    async with Running(AsyncWork.as_asgi(), ["work"]):
        assert await next_seen() == ("channel", "work", 1)


async def test_every_channel_has_its_application():
    application = ProtocolTypeRouter(
        {"channel": ChannelNameRouter({"work": AsyncWork.as_asgi(), "ask": Answering.as_asgi()})}
    )
    async with Running(application, ["work", "ask"]):
        await get_channel_layer().send("work", {"type": "work.do", "number": 1})
        assert await next_seen() == ("channel", "work", 1)
        await get_channel_layer().send("ask", {"type": "question", "text": "why", "reply_to": "here"})
        async with asyncio.timeout(5):
            assert await get_channel_layer().receive("here") == {"type": "answer", "to": "why"}


async def test_other_channels_are_left_alone():
    async with Running(AsyncWork.as_asgi(), ["work"]):
        await get_channel_layer().send("other", {"type": "work.do", "number": 0})
        await get_channel_layer().send("work", {"type": "work.do", "number": 1})
        assert await next_seen() == ("channel", "work", 1)
    assert (await get_channel_layer().receive("other"))["number"] == 0


def test_a_worker_needs_a_layer():
    with pytest.raises(ValueError, match="Channel layer is not valid"):
        Worker(AsyncWork.as_asgi(), ["work"], None)


def test_a_worker_keeps_what_it_is_given():
    layer, application = InMemoryChannelLayer(), AsyncWork.as_asgi()
    worker = Worker(application, channels=["one", "two"], channel_layer=layer, max_applications=7)
    assert worker.application is application
    assert worker.channels == ["one", "two"]
    assert worker.channel_layer is layer
    assert worker.max_applications == 7
