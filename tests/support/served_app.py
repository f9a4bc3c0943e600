"""An application for `python -m consumers serve`; what happens in it is written to standard output, a line each."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from consumers import AsyncWebsocketConsumer, BaseWSEndpoint, channel_layers
from consumers import lifespan as layers

from .served import SOON

channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})


def report(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Member(AsyncWebsocketConsumer):
    """Echoes, or does what the client asks for."""

    groups = ["everyone"]
    disconnect_timeout = 60

    async def receive(self, text_data: str) -> None:
        match text_data:
            case "pid":
                await self.send(str(os.getpid()))
            case "soon":
                await self.send("begun")
                await asyncio.sleep(SOON)
                await self.send("done")
            case "hang":
                await self.send("begun")
                await asyncio.sleep(3600)
            case "ignore":
                await self.send("begun")
                while True:
                    with suppress(BaseException):
                        await asyncio.sleep(3600)
            case "flood":
                while True:
                    await self.send("x" * 100_000)
                    await anyio.lowlevel.checkpoint()

    async def disconnect(self, code: int) -> None:
        report("disconnect", code)


class Undecided(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        report("connecting")
        await asyncio.sleep(3600)


class Endpoint(BaseWSEndpoint):
    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        report("disconnect", close_code)


async def soon(request: Request) -> PlainTextResponse:
    report("requested")
    await asyncio.sleep(SOON)
    return PlainTextResponse("done")


async def now(request: Request) -> PlainTextResponse:
    return PlainTextResponse("done")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with layers(app):
        report("up", os.getpid())
        yield
        report("down", os.getpid())


routes: list[Any] = [
    WebSocketRoute("/member", Member.as_asgi()),
    WebSocketRoute("/undecided", Undecided.as_asgi()),
    WebSocketRoute("/endpoint", Endpoint),
    Route("/soon", soon),
    Route("/now", now),
]
app = Starlette(routes=routes, lifespan=lifespan)
