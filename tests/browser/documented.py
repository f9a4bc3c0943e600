"""An application whose messages have types for TypeScript."""

from typing import Literal

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from consumers.typed import TypedConsumer, on


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: str


class Said(BaseModel):
    type: Literal["said"] = "said"
    user: str
    text: str


class Chat(TypedConsumer):
    sends = Said

    @on
    async def say(self, message: Say) -> Said:
        return Said(user="ann", text=message.text)


application = Starlette(routes=[WebSocketRoute("/chat/{room}", Chat.as_asgi())])
