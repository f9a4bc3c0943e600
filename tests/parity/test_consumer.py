"""AsyncConsumer and SyncConsumer: dispatch by type, sending, the layer, the ASGI application."""

import asyncio
import inspect

import pytest
from asgiref.sync import async_to_sync
from channels.consumer import AsyncConsumer, SyncConsumer, get_handler_name
from channels.exceptions import StopConsumer
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from channels.testing import ApplicationCommunicator


class AsyncEcho(AsyncConsumer):
    greeting = "hello"

    def __init__(self, greeting=None, **kwargs):
        self.greeting = greeting or self.greeting

    async def test_text(self, message):
        await self.send({"type": "test.reply", "text": f"{self.greeting} {message['text']}"})

    async def test_scope(self, message):
        await self.send({"type": "test.reply", "scope": self.scope})

    async def test_join(self, message):
        await self.channel_layer.group_add("room", self.channel_name)

    async def test_layer(self, message):
        await self.send(
            {"type": "test.reply", "layer": self.channel_layer, "name": getattr(self, "channel_name", None)}
        )

    async def test_stop(self, message):
        raise StopConsumer

    async def _hidden(self, message):
        raise AssertionError

    not_a_handler = None


class SyncEcho(SyncConsumer):
    greeting = "hello"

    def __init__(self, greeting=None, **kwargs):
        self.greeting = greeting or self.greeting

    def test_text(self, message):
        self.send({"type": "test.reply", "text": f"{self.greeting} {message['text']}"})

    def test_scope(self, message):
        self.send({"type": "test.reply", "scope": self.scope})

    def test_join(self, message):
        async_to_sync(self.channel_layer.group_add)("room", self.channel_name)

    def test_layer(self, message):
        self.send({"type": "test.reply", "layer": self.channel_layer, "name": getattr(self, "channel_name", None)})

    def test_stop(self, message):
        raise StopConsumer

    def _hidden(self, message):
        raise AssertionError

    not_a_handler = None


pytestmark = pytest.mark.parametrize("consumer", [AsyncEcho, SyncEcho])


def started(consumer, **initkwargs):
    return ApplicationCommunicator(consumer.as_asgi(**initkwargs), {"type": "test", "path": "/"})


async def stop(communicator):
    await communicator.send_input({"type": "test.stop"})
    await communicator.wait()


async def test_a_message_goes_to_the_method_of_its_type(consumer):
    communicator = started(consumer)
    await communicator.send_input({"type": "test.text", "text": "you"})
    assert await communicator.receive_output() == {"type": "test.reply", "text": "hello you"}
    await stop(communicator)


async def test_an_underscore_in_the_type_is_as_good_as_a_dot(consumer):
    communicator = started(consumer)
    await communicator.send_input({"type": "test_text", "text": "you"})
    assert (await communicator.receive_output())["text"] == "hello you"
    await stop(communicator)


async def test_messages_are_handled_in_order(consumer):
    communicator = started(consumer)
    for number in range(20):
        await communicator.send_input({"type": "test.text", "text": number})
    assert [(await communicator.receive_output())["text"] for _ in range(20)] == [f"hello {n}" for n in range(20)]
    await stop(communicator)


async def test_the_scope_is_the_connections(consumer):
    communicator = started(consumer)
    await communicator.send_input({"type": "test.scope"})
    scope = (await communicator.receive_output())["scope"]
    assert (scope["type"], scope["path"]) == ("test", "/")
    await stop(communicator)


async def test_init_arguments_reach_every_instance(consumer):
    for _ in range(2):
        communicator = started(consumer, greeting="bye")
        await communicator.send_input({"type": "test.text", "text": "you"})
        assert (await communicator.receive_output())["text"] == "bye you"
        await stop(communicator)


def test_the_application_knows_its_consumer(consumer):
    application = consumer.as_asgi(greeting="bye")
    assert application.consumer_class is consumer
    assert application.consumer_initkwargs == {"greeting": "bye"}
    assert application.__name__ == consumer.__name__
    assert application.__doc__ == consumer.__doc__
    assert callable(application)


async def test_every_connection_has_an_instance_of_its_own(consumer):
    first, second = started(consumer), started(consumer)
    for communicator in (first, second):
        await communicator.send_input({"type": "test.layer"})
    names = {(await communicator.receive_output())["name"] for communicator in (first, second)}
    assert len(names) == 2
    await stop(first)
    await stop(second)


@pytest.mark.parametrize(
    "message", [{"type": "test.unknown"}, {"text": "no type"}, {"type": "_hidden"}, {"type": "not.a.handler"}]
)
async def test_a_message_without_a_handler_is_an_error(consumer, message):
    communicator = started(consumer)
    await communicator.send_input(message)
    with pytest.raises(ValueError):  # noqa: PT011  # the wording is the library's
        await communicator.wait()


async def test_an_error_names_the_unknown_type(consumer):
    communicator = started(consumer)
    await communicator.send_input({"type": "test.unknown"})
    with pytest.raises(ValueError, match=r"No handler for message type test\.unknown"):
        await communicator.wait()


async def test_stop_consumer_ends_cleanly(consumer):
    communicator = started(consumer)
    await stop(communicator)
    assert await communicator.receive_nothing()


async def test_the_layer_reaches_a_consumer_by_its_channel(consumer):
    communicator = started(consumer)
    await communicator.send_input({"type": "test.layer"})
    reply = await communicator.receive_output()
    assert reply["layer"] is get_channel_layer()
    assert isinstance(reply["name"], str) and "!" in reply["name"]
    await get_channel_layer().send(reply["name"], {"type": "test.text", "text": "you"})
    assert (await communicator.receive_output())["text"] == "hello you"
    await stop(communicator)


async def test_the_layer_reaches_a_consumer_by_its_group(consumer):
    communicator = started(consumer)
    await communicator.send_input({"type": "test.join"})
    await communicator.send_input({"type": "test.text", "text": "joined"})
    await communicator.receive_output()
    await get_channel_layer().group_send("room", {"type": "test.text", "text": "all"})
    assert (await communicator.receive_output())["text"] == "hello all"
    await stop(communicator)


async def test_the_alias_chooses_the_layer(consumer):
    layer = InMemoryChannelLayer()
    channel_layers.set("other", layer)
    try:
        aliased = type("Aliased", (consumer,), {"channel_layer_alias": "other"})
        communicator = started(aliased)
        await communicator.send_input({"type": "test.layer"})
        assert (await communicator.receive_output())["layer"] is layer
        await stop(communicator)
    finally:
        channel_layers.backends.pop("other", None)


async def test_an_alias_that_is_not_configured_means_no_layer(consumer):
    communicator = started(type("Aliased", (consumer,), {"channel_layer_alias": "nowhere"}))
    await communicator.send_input({"type": "test.layer"})
    assert (await communicator.receive_output())["layer"] is None
    await stop(communicator)


async def test_every_message_passes_dispatch(consumer):
    seen = []

    class Watched(consumer):
        async def dispatch(self, message):
            seen.append(message["type"])
            await super().dispatch(message)

    communicator = started(Watched)
    await communicator.send_input({"type": "test.text", "text": "you"})
    await communicator.receive_output()
    await stop(communicator)
    assert seen == ["test.text", "test.stop"]


async def test_call_may_be_overridden(consumer):
    class Marked(consumer):
        async def __call__(self, scope, receive, send):
            return await super().__call__({**scope, "marked": True}, receive, send)

    communicator = started(Marked)
    await communicator.send_input({"type": "test.scope"})
    assert (await communicator.receive_output())["scope"]["marked"] is True
    await stop(communicator)


async def test_an_instance_is_an_application_for_one_connection_after_another(consumer):
    application = consumer(greeting="bye")
    for _ in range(2):
        inputs, outputs = asyncio.Queue(), asyncio.Queue()
        task = asyncio.ensure_future(application({"type": "test"}, inputs.get, outputs.put))
        await inputs.put({"type": "test.text", "text": "you"})
        assert (await outputs.get())["text"] == "bye you"
        await inputs.put({"type": "test.stop"})
        await task


def test_handlers_have_the_names_of_types(consumer):
    assert get_handler_name({"type": "a.b.c"}) == "a_b_c"
    assert get_handler_name({"type": "a"}) == "a"
    for message in ({}, {"type": "_a"}, {"type": ".a"}):
        with pytest.raises(ValueError, match=r"type"):
            get_handler_name(message)


def test_the_kinds_of_consumers_are_known_by_their_mark(consumer):
    assert consumer._sync is issubclass(consumer, SyncConsumer)
    assert inspect.iscoroutinefunction(consumer.send) is not consumer._sync
    assert consumer.channel_layer_alias == "default"
