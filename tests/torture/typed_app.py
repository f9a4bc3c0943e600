"""The consumer of clients that speak the library's protocol: it joins their groups by labels. They keep positions."""

import asyncio
import json
import random
from typing import Any, Literal

from pydantic import BaseModel
from redis.exceptions import RedisError

from consumers.typed import TypedConsumer, on
from consumers.types import Message

from .senders import Confirmed
from .shapes import Said, typed

SLOWNESS = 0.01
"""Seconds that a slow consumer's handler takes for a message."""

AWAY = 1013
"""The close code for a client whose group cannot be joined."""


class Say(BaseModel):
    type: Literal["say"] = "say"
    group: str
    number: int


class TypedTortureConsumer(TypedConsumer):
    """A member of groups."""

    sends = Said
    confirmed: Confirmed

    async def connect(self) -> None:
        self.number = random.getrandbits(48) + 1
        self.is_slow = self.path_params["manner"] == "slow"
        await self.accept()
        await self.send(text_data=json.dumps({"type": "you", "number": self.number}))
        try:
            for group in json.loads(self.query_params["groups"]):
                await self.join(group, group)
        except RedisError:
            await self.close(AWAY)

    @on
    async def say(self, message: Say) -> None:
        of = f"client {self.number}"
        said = typed(message.group, {"of": of, "number": message.number, "by": self.number, "text": ""})
        layer: Any = self.channel_layer
        try:
            position = await layer.group_send(message.group, said, exclude=self.channel_name)
        except RedisError:
            return
        self.confirmed(of, message.number, position)

    async def consumers_message(self, event: Message) -> None:
        if self.is_slow:
            await asyncio.sleep(SLOWNESS)
        await super().consumers_message(event)
