"""This library, with pydantic's JSON functions called by hand, and `group_send_json()`'s way to a group."""

import json
from typing import Literal

from pydantic import BaseModel

from consumers import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer, channel_layers, get_channel_layer

from . import Peer, by_path


class Say(BaseModel):
    type: Literal["say"]
    text: str
    id: int | None = None


class Said(BaseModel):
    type: Literal["said"] = "said"
    user: str
    text: str


class Answer(Said):
    to: int


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str) -> None:
        message = Say.model_validate_json(text_data)
        if message.id is None:
            said = Said(user="ann", text=message.text)
        else:
            said = Answer(user="ann", text=message.text, to=message.id)
        await self.send(said.model_dump_json())


class Members(AsyncJsonWebsocketConsumer):
    groups = ["models"]
    raw_frames = True


def question(endpoint: str, text: str) -> str:
    """A message of a client's."""
    return json.dumps({"type": "say", "text": text} | ({"id": 7} if endpoint == "answer" else {}))


def said(text: str) -> dict[str, str]:
    """What clients get."""
    return {"type": "said", "user": "ann", "text": text}


class Adapter(Peer):
    packages = ("pydantic",)
    endpoints = ("model", "answer", "models")
    app = staticmethod(by_path({"model": Echo.as_asgi(), "answer": Echo.as_asgi(), "models": Members.as_asgi()}))

    def __init__(self) -> None:
        channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})
        self.layer = get_channel_layer()

    def question(self, endpoint: str, text: str) -> str:
        return question(endpoint, text)

    def frame(self, endpoint: str, text: str) -> str:
        if endpoint == "models":
            return json.dumps(said(text))
        return json.dumps(said(text) | ({"to": 7} if endpoint == "answer" else {}), separators=(",", ":"))

    async def broadcast_model(self, text: str) -> None:
        encoded = await Members.encode_json(said(text))
        await self.layer.group_send("models", {"type": "websocket.send", "text": encoded})
