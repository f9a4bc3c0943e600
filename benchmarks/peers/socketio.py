"""python-socketio over WebSocket alone, with its in-memory rooms."""

import json
from typing import Any
from urllib.parse import parse_qs

import socketio

from . import Peer

EVENT = "42"
"""What comes before the JSON of an event: Engine.IO's packet type 4 (message), Socket.IO's 2 (event)."""

# An event's handler runs in a task of its own unless this says otherwise; pings would disturb the counting of frames.
server = socketio.AsyncServer(async_mode="asgi", async_handlers=False, transports=["websocket"], ping_interval=3600)


@server.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    await server.enter_room(sid, parse_qs(environ["QUERY_STRING"])["endpoint"][0])


@server.event
async def echo(sid: str, text: str) -> None:
    await server.emit("echo", text, to=sid)


@server.event
async def room(sid: str, text: str) -> None:
    await server.emit("room", text, room="room")


class Adapter(Peer):
    packages = ("python-socketio", "python-engineio")
    hello = ("40",)  # connect to the default namespace
    opening = 2  # Engine.IO's handshake and Socket.IO's answer
    app = socketio.ASGIApp(server)

    def target(self, endpoint: str) -> str:
        return f"/socket.io/?EIO=4&transport=websocket&endpoint={endpoint}"

    def frame(self, endpoint: str, text: str) -> str:
        return EVENT + json.dumps([endpoint, text], separators=(",", ":"))

    def content(self, frame: str) -> Any:
        _, content = json.loads(frame.removeprefix(EVENT))
        return content

    async def broadcast(self, text: str) -> None:
        await server.emit("room", text, room="room")

    async def broadcast_object(self, content: Any) -> None:
        await server.emit("json", content, room="json")
