"""Django Channels with its in-memory layer."""

from typing import Any

from django.conf import settings

settings.configure(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})

from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402

from . import Peer, by_path  # noqa: E402


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str) -> None:
        await self.send(text_data)


class Room(AsyncWebsocketConsumer):
    groups = ["room"]

    async def receive(self, text_data: str) -> None:
        await self.channel_layer.group_send("room", {"type": "room.message", "text": text_data})

    async def room_message(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])


class Crowd(AsyncWebsocketConsumer):
    groups = ["crowd"]


class Json(AsyncJsonWebsocketConsumer):
    groups = ["json"]

    async def json_message(self, event: dict[str, Any]) -> None:
        await self.send_json(event["content"])


class Adapter(Peer):
    packages = ("channels", "django")
    app = staticmethod(
        by_path({"echo": Echo.as_asgi(), "room": Room.as_asgi(), "crowd": Crowd.as_asgi(), "json": Json.as_asgi()})
    )

    def __init__(self) -> None:
        self.layer = get_channel_layer()

    async def broadcast(self, text: str) -> None:
        await self.layer.group_send("room", {"type": "room.message", "text": text})

    async def broadcast_object(self, content: Any) -> None:
        await self.layer.group_send("json", {"type": "json.message", "content": content})
