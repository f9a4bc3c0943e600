"""This library on its own WebSocket protocol: a declared relay, whose frames many members share."""

from consumers import AsyncWebsocketConsumer, relay

from . import by_path
from .consumers import Adapter as Handled


class Room(AsyncWebsocketConsumer):
    groups = ["room"]
    chat_message = relay("text")

    async def receive(self, text_data: str) -> None:
        await self.channel_layer.group_send("room", {"type": "chat.message", "text": text_data})


class Adapter(Handled):
    endpoints = ("room",)
    protocol = "consumers.server:WebSocketProtocol"
    app = staticmethod(by_path({"room": Room.as_asgi()}))

    async def broadcast(self, text: str) -> None:
        await self.layer.group_send("room", {"type": "chat.message", "text": text})
