"""This library, with a handler for what comes from the group."""

from typing import Any

from consumers import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer, channel_layers, get_channel_layer

from . import Peer, by_path


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
    packages = ("starlette-consumers",)
    app = staticmethod(
        by_path(
            {"echo": Echo.as_asgi(), "room": Room.as_asgi(), "crowd": Crowd.as_asgi(), "json": Json.as_asgi()},
        )
    )

    def __init__(self) -> None:
        channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})
        self.layer = get_channel_layer()

    async def broadcast(self, text: str) -> None:
        await self.layer.group_send("room", {"type": "room.message", "text": text})

    async def broadcast_object(self, content: Any) -> None:
        await self.layer.group_send("json", {"type": "json.message", "content": content})
