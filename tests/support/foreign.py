"""Layers that were written for Channels."""

from typing import Any

from consumers import BaseChannelLayer, InMemoryChannelLayer
from consumers.types import Deliver, Message


class Foreign(BaseChannelLayer):
    """Has what Channels' contract asks for, and what it needs of its own layer."""

    def __init__(self) -> None:
        super().__init__()
        self.within = InMemoryChannelLayer()

    async def send(self, channel: str, message: Message) -> None:
        await self.within.send(channel, message)

    async def receive(self, channel: str) -> dict[str, Any]:
        return await self.within.receive(channel)

    async def new_channel(self) -> str:  # type: ignore[override]
        return await self.within.new_channel()

    async def group_add(self, group: str, channel: str) -> None:
        await self.within.group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self.within.group_discard(group, channel)

    async def group_send(self, group: str, message: Message) -> None:
        await self.within.group_send(group, message)


class Least:
    """Has nothing but two methods."""

    async def send(self, channel: str, message: Message) -> None: ...

    def attach(self, deliver: Deliver) -> str:
        return "least"
