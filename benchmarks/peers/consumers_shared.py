"""This library on its own WebSocket protocol: a declared relay, whose frames many members share."""

import asyncio

from consumers import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer, relay, relay_json

from . import OURS, by_path
from .consumers import Adapter as Handled


class Room(AsyncWebsocketConsumer):
    groups = ["room"]
    chat_message = relay("text")

    async def receive(self, text_data: str) -> None:
        await self.channel_layer.group_send("room", {"type": "chat.message", "text": text_data})


class Four(Room):
    """Has several senders, who send at the same time: each `group_send()` that is awaited lets others run."""

    groups = ["four"]
    times = 4

    async def receive(self, text_data: str) -> None:
        message = {"type": "chat.message", "text": text_data}
        await asyncio.gather(*(self.channel_layer.group_send(self.groups[0], message) for _ in range(self.times)))


class Sixteen(Four):
    groups = ["sixteen"]
    times = 16


class Json(AsyncJsonWebsocketConsumer):
    groups = ["json"]
    json_message = relay_json("content")


class Adapter(Handled):
    endpoints = ("room", "four", "sixteen", "json")
    protocol = OURS
    app = staticmethod(
        by_path({"room": Room.as_asgi(), "four": Four.as_asgi(), "sixteen": Sixteen.as_asgi(), "json": Json.as_asgi()})
    )

    async def broadcast(self, text: str) -> None:
        await self.layer.group_send("room", {"type": "chat.message", "text": text})
