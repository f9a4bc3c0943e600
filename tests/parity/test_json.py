"""The JSON consumers, async and sync."""

import json

import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator


class AsyncEcho(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content, **kwargs):
        await self.send_json(content, close=content == "bye")


class SyncEcho(JsonWebsocketConsumer):
    def receive_json(self, content, **kwargs):
        self.send_json(content, close=content == "bye")


class AsyncReversed(AsyncEcho):
    @classmethod
    async def decode_json(cls, text_data):
        return text_data[::-1]

    @classmethod
    async def encode_json(cls, content):
        return f"<{content}>"


class SyncReversed(SyncEcho):
    @classmethod
    def decode_json(cls, text_data):
        return text_data[::-1]

    @classmethod
    def encode_json(cls, content):
        return f"<{content}>"


class AsyncKeywords(AsyncEcho):
    async def receive(self, text_data=None, bytes_data=None, **kwargs):
        await super().receive(text_data=text_data, sender="me")

    async def receive_json(self, content, sender=None, **kwargs):
        await self.send_json([content, sender])


class SyncKeywords(SyncEcho):
    def receive(self, text_data=None, bytes_data=None, **kwargs):
        super().receive(text_data=text_data, sender="me")

    def receive_json(self, content, sender=None, **kwargs):
        self.send_json([content, sender])


echoes = pytest.mark.parametrize("echo", [AsyncEcho, SyncEcho])


async def connected(consumer):
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/ws/")
    assert (await communicator.connect())[0] is True
    return communicator


@echoes
@pytest.mark.parametrize("content", [{"a": [1, 2.5, None, True]}, [], "text", 0, None, "grüße"])
async def test_content_comes_back(echo, content):
    communicator = await connected(echo)
    await communicator.send_json_to(content)
    assert await communicator.receive_json_from() == content
    await communicator.disconnect()


@echoes
async def test_content_goes_out_as_a_text_frame(echo):
    communicator = await connected(echo)
    await communicator.send_json_to({"a": 1})
    assert json.loads((await communicator.receive_output())["text"]) == {"a": 1}
    await communicator.disconnect()


@echoes
async def test_sending_may_close(echo):
    communicator = await connected(echo)
    await communicator.send_json_to("bye")
    assert await communicator.receive_json_from() == "bye"
    assert (await communicator.receive_output())["type"] == "websocket.close"
    await communicator.disconnect()


@echoes
async def test_text_that_is_no_json_raises(echo):
    communicator = await connected(echo)
    await communicator.send_to(text_data="no JSON")
    with pytest.raises(json.JSONDecodeError):
        await communicator.wait()


@echoes
async def test_binary_frames_raise(echo):
    communicator = await connected(echo)
    await communicator.send_to(bytes_data=b"{}")
    with pytest.raises(ValueError, match="No text section for incoming WebSocket frame!"):
        await communicator.wait()


@echoes
async def test_empty_frames_raise(echo):
    communicator = await connected(echo)
    await communicator.send_input({"type": "websocket.receive", "text": ""})
    with pytest.raises(ValueError, match="No text section for incoming WebSocket frame!"):
        await communicator.wait()


@pytest.mark.parametrize("consumer", [AsyncReversed, SyncReversed])
async def test_encoding_and_decoding_may_be_overridden(consumer):
    communicator = await connected(consumer)
    await communicator.send_to(text_data="abc")
    assert await communicator.receive_from() == "<cba>"
    await communicator.disconnect()


@pytest.mark.parametrize("consumer", [AsyncKeywords, SyncKeywords])
async def test_receive_passes_keywords_on(consumer):
    communicator = await connected(consumer)
    await communicator.send_json_to(1)
    assert await communicator.receive_json_from() == [1, "me"]
    await communicator.disconnect()


@echoes
async def test_the_layer_may_send_json_to_the_client(echo):
    communicator = await connected(type("Grouped", (echo,), {"groups": ["all"]}))
    await get_channel_layer().group_send("all", {"type": "send.json", "text": "a"})
    assert await communicator.receive_json_from() == {"type": "send.json", "text": "a"}
    await communicator.disconnect()


async def test_json_is_made_and_read_by_class_methods():
    assert JsonWebsocketConsumer.decode_json('{"a": 1}') == {"a": 1}
    assert json.loads(JsonWebsocketConsumer.encode_json({"a": 1})) == {"a": 1}
    assert await AsyncJsonWebsocketConsumer.decode_json('{"a": 1}') == {"a": 1}
    assert json.loads(await AsyncJsonWebsocketConsumer.encode_json({"a": 1})) == {"a": 1}
