"""This library's typed consumers."""

import json
from typing import Literal

from pydantic import BaseModel

from consumers import channel_layers
from consumers.typed import TypedConsumer, group_send_message, on

from . import Peer, by_path
from .by_hand import question, said


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: str


class Said(BaseModel):
    type: Literal["said"] = "said"
    user: str
    text: str


class Echo(TypedConsumer):
    sends = Said

    @on
    async def say(self, message: Say) -> Said:
        return Said(user="ann", text=message.text)


class Members(TypedConsumer):
    groups = ["models"]
    sends = Said


class Adapter(Peer):
    packages = ("pydantic",)
    endpoints = ("model", "answer", "models")
    app = staticmethod(by_path({"model": Echo.as_asgi(), "answer": Echo.as_asgi(), "models": Members.as_asgi()}))

    def __init__(self) -> None:
        channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})

    def question(self, endpoint: str, text: str) -> str:
        return question(endpoint, text)

    def frame(self, endpoint: str, text: str) -> str:
        return json.dumps(said(text) | ({"to": 7} if endpoint == "answer" else {}), separators=(",", ":"))

    async def broadcast_model(self, text: str) -> None:
        await group_send_message("models", Said(user="ann", text=text))
