"""An application for every ASGI server, in a process of its own; `/log` tells what happened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from consumers import (
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    channel_layers,
    close_group,
    lifespan,
)
from consumers.types import ASGIApp, Receive, Scope, Send

channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})

LOG: list[list[Any]] = []


def note(scope: Scope, entry: Any) -> None:
    """Write something behind a connection's name, which is its URL's query."""
    LOG.append([scope["query_string"].decode(), entry])


class NoteEnd:
    """Middleware that notes when an application has returned."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] == "websocket":
                note(scope, "ended")


class Member(AsyncWebsocketConsumer):
    groups = ["everyone"]

    async def connect(self) -> None:
        offered = self.scope["subprotocols"]
        await self.accept(offered[0] if offered else None)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        match (text_data or "").split():
            case ["close", code]:
                await self.close(int(code), "because")
            case ["group", text]:
                await self.channel_layer.group_send("everyone", {"type": "say", "text": text})
            case ["close_group"]:
                await close_group("everyone", reason="all")
            case ["raise"]:
                raise LookupError("asked for")
            case _:
                await self.send(text_data, bytes_data)

    async def say(self, event: Any) -> None:
        await self.send(event["text"])

    async def disconnect(self, code: int) -> None:
        note(self.scope, code)


class Denying(Member):
    groups = []

    async def connect(self) -> None:
        await self.deny(401, b"who are you?", [(b"x-reason", b"none")])


class Rejecting(Member):
    groups = []

    async def connect(self) -> None:
        await self.close(4003)


class Endpoint(BaseWSEndpoint):
    encoding = "text"

    async def on_connect(self, websocket: Any) -> None:
        await self.accept(websocket)

    async def _background_handler(self, task_id: str, websocket: Any, data: str) -> None:
        if data.startswith("close "):
            await websocket.close(int(data.split()[1]), "because")
        else:
            await websocket.send_text(data)

    async def on_disconnect(self, websocket: Any, close_code: int) -> None:
        note(websocket.scope, close_code)


class RejectingEndpoint(Endpoint):
    async def on_connect(self, websocket: Any) -> None:
        await websocket.close(4003)


class Blocked(Member):
    groups = []

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await anyio.sleep_forever()


class BlockedEndpoint(BaseWSEndpoint):
    async def _background_handler(self, task_id: str, websocket: Any, data: Any) -> None:
        await anyio.sleep_forever()


class Plain(WebSocketEndpoint):
    """Starlette's own, whose handler is blocked: what is held then is held by the server."""

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await anyio.sleep_forever()


async def log(request: Request) -> JSONResponse:
    return JSONResponse(LOG)


@asynccontextmanager
async def noted_lifespan(app: Starlette) -> AsyncIterator[None]:
    async with lifespan(app):
        LOG.append(["lifespan", "began"])
        yield


app = Starlette(
    routes=[
        WebSocketRoute("/member", Member.as_asgi()),
        WebSocketRoute("/denying", Denying.as_asgi()),
        WebSocketRoute("/rejecting", Rejecting.as_asgi()),
        WebSocketRoute("/endpoint", Endpoint),
        WebSocketRoute("/rejecting_endpoint", RejectingEndpoint),
        WebSocketRoute("/blocked", Blocked.as_asgi()),
        WebSocketRoute("/blocked_endpoint", BlockedEndpoint),
        WebSocketRoute("/plain", Plain),
        Route("/log", log),
    ],
    middleware=[Middleware(NoteEnd)],
    lifespan=noted_lifespan,
)
