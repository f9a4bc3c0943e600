"""The application of the rolling restart: typed chats with a history, by Redis."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from consumers import channel_layers
from consumers import lifespan as layers
from consumers.typed import TypedConsumer, on

from ..support.served_app import report

channel_layers.configure(
    {
        "default": {
            "BACKEND": "consumers.layers.redis.RedisPubSubChannelLayer",
            "CONFIG": {
                "hosts": [os.environ["SOAK_REDIS"]],
                "capacity": 1000,
                "history": {"room.*": {"size": 10_000, "ttl": 600}},
            },
        }
    }
)


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: str


class Said(BaseModel):
    type: Literal["said"] = "said"
    text: str


class Room(TypedConsumer):
    sends = Said

    async def connect(self, room: int) -> None:
        await self.accept()
        await self.join(f"room.{room}", "room")

    @on
    async def say(self, message: Say) -> None:
        await self.group_send_message(f"room.{self.path_params['room']}", Said(text=message.text))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with layers(app):
        report("up", os.getpid())
        yield
    report("down", os.getpid())


app = Starlette(routes=[WebSocketRoute("/{room:int}", Room.as_asgi())], lifespan=lifespan)
