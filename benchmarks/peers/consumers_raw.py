"""This library, with frames that are ready to be sent and need no handler."""

from typing import Any

from consumers import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer

from . import by_path
from .consumers import Adapter as Handled


class Room(AsyncWebsocketConsumer):
    groups = ["room"]
    raw_frames = True

    async def receive(self, text_data: str) -> None:
        await self.channel_layer.group_send("room", {"type": "websocket.send", "text": text_data})


class Json(AsyncJsonWebsocketConsumer):
    groups = ["json"]
    raw_frames = True


class Adapter(Handled):
    endpoints = ("room", "json")
    app = staticmethod(by_path({"room": Room.as_asgi(), "json": Json.as_asgi()}))

    async def broadcast(self, text: str) -> None:
        await self.layer.group_send("room", {"type": "websocket.send", "text": text})

    async def broadcast_object(self, content: Any) -> None:
        await self.layer.group_send("json", {"type": "websocket.send", "text": await Json.encode_json(content)})
