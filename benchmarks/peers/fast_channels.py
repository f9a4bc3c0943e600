"""fast-channels with its in-memory layer."""

from typing import Any

from fast_channels.consumer.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from fast_channels.layers import InMemoryChannelLayer, get_channel_layer, register_channel_layer

from . import Peer, by_path


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, **kwargs: Any) -> None:
        await self.send(text_data)


class Room(AsyncWebsocketConsumer):
    channel_layer_alias = "default"
    groups = ["room"]

    async def receive(self, text_data: str | None = None, **kwargs: Any) -> None:
        await self.channel_layer.group_send("room", {"type": "room.message", "text": text_data})

    async def room_message(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])


class Crowd(AsyncWebsocketConsumer):
    channel_layer_alias = "default"
    groups = ["crowd"]


class Json(AsyncJsonWebsocketConsumer):
    channel_layer_alias = "default"
    groups = ["json"]

    async def json_message(self, event: dict[str, Any]) -> None:
        await self.send_json(event["content"])


class Adapter(Peer):
    packages = ("fast-channels",)
    app = staticmethod(
        by_path({"echo": Echo.as_asgi(), "room": Room.as_asgi(), "crowd": Crowd.as_asgi(), "json": Json.as_asgi()})
    )

    def __init__(self) -> None:
        register_channel_layer("default", InMemoryChannelLayer())
        self.layer = get_channel_layer("default")

    async def broadcast(self, text: str) -> None:
        await self.layer.group_send("room", {"type": "room.message", "text": text})

    async def broadcast_object(self, content: Any) -> None:
        await self.layer.group_send("json", {"type": "json.message", "content": content})
