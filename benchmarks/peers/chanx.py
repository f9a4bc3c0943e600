"""chanx on fast-channels with its in-memory layer, with its own defaults: faster than its other form, on Channels."""

import json
import logging
from typing import Literal

import structlog
from chanx.core.decorators import event_handler, ws_handler
from chanx.fast_channels.websocket import AsyncJsonWebsocketConsumer
from chanx.messages.base import BaseMessage
from fast_channels.layers import InMemoryChannelLayer, register_channel_layer
from pydantic import BaseModel

from . import Peer, by_path

# It logs each disconnection, to the standard output.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


class Text(BaseModel):
    text: str


class Line(BaseModel):
    user: str
    text: str


class Say(BaseMessage):
    action: Literal["say"] = "say"
    payload: Text


class Said(BaseMessage):
    action: Literal["said"] = "said"
    payload: Line


class Echo(AsyncJsonWebsocketConsumer):
    channel_layer_alias = "default"

    @ws_handler
    async def say(self, message: Say) -> Said:
        return Said(payload=Line(user="ann", text=message.payload.text))


class Members(AsyncJsonWebsocketConsumer):
    channel_layer_alias = "default"
    groups = ["models"]

    @event_handler
    async def said(self, message: Said) -> Said:
        return message


class Adapter(Peer):
    packages = ("chanx", "fast-channels", "pydantic")
    endpoints = ("model", "models")
    app = staticmethod(by_path({"model": Echo.as_asgi(), "models": Members.as_asgi()}))

    def __init__(self) -> None:
        register_channel_layer("default", InMemoryChannelLayer())

    def question(self, endpoint: str, text: str) -> str:
        return json.dumps({"action": "say", "payload": {"text": text}})

    def frame(self, endpoint: str, text: str) -> str:
        return json.dumps({"action": "said", "payload": {"user": "ann", "text": text}})

    async def broadcast_model(self, text: str) -> None:
        await Members.broadcast_event(Said(payload=Line(user="ann", text=text)), "models")
