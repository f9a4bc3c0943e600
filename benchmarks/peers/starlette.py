"""Starlette's `WebSocketEndpoint` and a set."""

from typing import Any, ClassVar

from starlette.endpoints import WebSocketEndpoint
from starlette.websockets import WebSocket

from . import Peer, by_path


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: WebSocket, data: str) -> None:
        await websocket.send_text(data)


class Group(WebSocketEndpoint):
    encoding = "text"
    members: ClassVar[set[WebSocket]]

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.members.add(websocket)

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        self.members.discard(websocket)


class Room(Group):
    members = set()

    async def on_receive(self, websocket: WebSocket, data: str) -> None:
        await self.broadcast(data)

    @classmethod
    async def broadcast(cls, text: str) -> None:
        for websocket in list(cls.members):
            await websocket.send_text(text)


class Crowd(Group):
    members = set()


class Json(Group):
    members = set()


class Adapter(Peer):
    packages = ("starlette",)
    app = staticmethod(by_path({"echo": Echo, "room": Room, "crowd": Crowd, "json": Json}))

    async def broadcast(self, text: str) -> None:
        await Room.broadcast(text)

    async def broadcast_object(self, content: Any) -> None:
        for websocket in list(Json.members):
            await websocket.send_json(content)
