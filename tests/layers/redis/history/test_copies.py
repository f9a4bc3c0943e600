"""A message that cannot be copied, which an application's own serializer may make, is in nobody's way."""

import logging
from typing import Any

import pytest

from consumers.layers.redis import RedisPubSubChannelLayer

from ....support.redis_server import RedisServer
from .support import HISTORY, Reader, layer_at, send

pytestmark = pytest.mark.anyio


class OddLayer(RedisPubSubChannelLayer):
    def deserialize(self, message: bytes) -> Any:
        decoded = super().deserialize(message)
        if decoded["number"] == 1:
            decoded["value"] = memoryview(b"which nothing copies")
        return decoded


async def test_a_message_that_cannot_be_copied_is_dropped_and_logged(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = OddLayer([server.url], history=HISTORY)
    async with layer, layer_at(server) as other:
        reader = await Reader().join(layer)
        [before, *_] = await send(other, range(3))
        await reader.has(0, 2)
        async with OddLayer([server.url], history=HISTORY) as another:
            again = await Reader().join(another, since=before)
            assert again.joined.recovered
            await send(other, [3])
            await again.has(2, 3)
        assert reader.gaps == again.gaps == []
    assert [record.levelno for record in caplog.records if "could not be copied" in record.message] == 2 * [
        logging.ERROR
    ]


class LookingLayer(RedisPubSubChannelLayer):
    def deserialize(self, message: bytes) -> Any:
        assert self.stored == 0
        return super().deserialize(message)


async def test_a_serializer_may_look_at_the_layer(server: RedisServer) -> None:
    async with layer_at(server) as other, LookingLayer([server.url], history=HISTORY) as layer:
        await send(other, range(3))
        reader = await Reader().join(layer, last=3)
        await reader.has(0, 1, 2)
