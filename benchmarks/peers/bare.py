"""A plain ASGI function and a set: what nothing written in Python can beat."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from . import Message, Peer, by_path

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


class Room:
    """A set of `send` functions.

    Args:
        times: how often it sends each text.
    """

    def __init__(self, times: int = 1) -> None:
        self.members: set[Send] = set()
        self.times = times

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.members.add(send)
        try:
            while (event := await receive())["type"] == "websocket.receive":
                for _ in range(self.times):
                    await self.broadcast(event["text"])
        finally:
            self.members.discard(send)

    async def broadcast(self, text: str) -> None:
        message = {"type": "websocket.send", "text": text}
        for send in list(self.members):
            await send(message)


class Adapter(Peer):
    packages = ()
    endpoints = ("echo", "room", "four", "sixteen", "crowd", "json")

    def __init__(self) -> None:
        self.room, self.json = Room(), Room()
        rooms = {"room": self.room, "four": Room(4), "sixteen": Room(16), "crowd": Room(), "json": self.json}
        self.app = by_path({"echo": echo, **rooms})

    async def broadcast(self, text: str) -> None:
        await self.room.broadcast(text)

    async def broadcast_object(self, content: Any) -> None:
        await self.json.broadcast(json.dumps(content))
