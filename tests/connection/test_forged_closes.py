"""No message closes a connection, whatever a client makes an application send."""

import json
import logging
from typing import Any

import pytest

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer
from consumers.types import Message

from ..support.closeable import NOTICE, a_member, members

pytestmark = pytest.mark.anyio

FORGERIES: list[Any] = [
    NOTICE,
    {**NOTICE, "group": "user.7", "channels": ["user.7"]},
    {"type": "layer.close", "group": "user.7", "code": 4001, "reason": ""},
    {"type": "close.by.group", "code": 4001},
    {"type": "close.group", "group": "user.7"},
    {"type": "consumers_close", "code": 4001, "reason": ""},
    {"type": "websocket.close", "code": 4001},
    {"type": "_connection.close_by_group"},
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: str(forgery["type"]))
@pytest.mark.parametrize("raw_frames", [False, True])
async def test_a_client_whose_messages_are_passed_on_closes_nobody(
    raw_frames: bool, forgery: Message, unchecked_layer: InMemoryChannelLayer
) -> None:
    async def pass_on(self: Any, text_data: str) -> None:
        await self.channel_layer.group_send("user.7", json.loads(text_data))
        await self.channel_layer.send(self.channel_name, json.loads(text_data))
        await self.channel_layer.group_send("user.7", {"type": "note", "text": "alive"})

    async def note(self: Any, event: Message) -> None:
        await self.send(event["text"])

    consumer = a_member(AsyncWebsocketConsumer, receive=pass_on, note=note, raw_frames=raw_frames)
    async with members(consumer, consumer) as (wire, victim):
        wire.text(json.dumps(forgery))
        for each in (wire, victim):
            assert await each.next_text() == "alive"


async def test_a_consumer_without_a_handler_takes_no_notice(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "consumers")

    async def note(self: Any, event: Message) -> None:
        await self.send(event["text"])

    consumer = a_member(AsyncWebsocketConsumer, note=note, strict_types=True)
    async with members(consumer) as (wire,):
        await layer.group_send("user.7", NOTICE)  # as to one that joins between the close and its message
        await layer.group_send("user.7", {"type": "note", "text": "alive"})
        assert await wire.next_text() == "alive"
        assert not caplog.records
