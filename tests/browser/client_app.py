"""A chat whose clients are the library's, for the tests of the browser's client. Its history is in Redis."""

import asyncio
import os
from typing import Any, Literal

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

import consumers
from consumers import AsyncJsonWebsocketConsumer, channel_layers
from consumers.client import client_files
from consumers.server import drain
from consumers.typed import TypedConsumer, group_send_message, on, token

channel_layers.configure(
    {
        "default": {
            "BACKEND": "consumers.layers.redis.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [os.environ["REDIS_URL"]], "history": {"chat.*": {"size": 200, "ttl": 600}}},
        }
    }
)

POLICY = "default-src 'none'; script-src 'self'; connect-src 'self' ws:"

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Chat</title><script type="module" src="/page.js"></script>
"""

SCRIPT = """
import { Client } from "/consumers/consumers.js"

const options = JSON.parse(new URLSearchParams(location.search).get("options") ?? "{}")
window.got = []
window.states = []
window.gaps = []
window.errors = []
window.tokens = options.tokens ?? []
window.asked = 0
const token = () => window.tokens[Math.min(window.asked++, window.tokens.length - 1)]
window.client = new Client(options.address ?? `/chat/${options.room}`, { ...options, token })
client.on("said", (message) => got.push(message.text))
client.onState((state, detail) => states.push([state, detail.code ?? null]))
client.onGap((label) => gaps.push(label))
window.ask = (text, options) =>
  client.request({ type: "say", text }, options).then((answer) => answer.type, (error) => error.code)
"""

WORKER = """
import { Client } from "/consumers/consumers.js"

const got = []
const states = []
const client = new Client(`/chat/${new URLSearchParams(location.search).get("room")}`, { token: () => "good" })
client.on("said", (message) => got.push(message.text))
client.onState((state, detail) => states.push([state, detail]))
self.onconnect = ({ ports: [port] }) => {
  port.onmessage = () => port.postMessage({ states, got })
}
"""


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: str


class Break(BaseModel):
    type: Literal["break"] = "break"
    code: int
    reason: str = ""


class Said(BaseModel):
    type: Literal["said"] = "said"
    text: str


class Chat(TypedConsumer):
    sends = Said

    async def connect(self, room: str) -> None:
        self.group = f"chat.{room}"
        match await token(HTTPConnection(self.scope)):
            case "refused":
                await self.deny(403)
            case "old":
                await self.accept()
                await self.close(4401, "the token has expired")
            case _:
                await self.accept()
                await self.join(self.group, "room")

    @on
    async def say(self, message: Say) -> None:
        await self.group_send_message(self.group, Said(text=message.text))

    @on
    async def break_up(self, message: Break) -> None:
        await self.close(message.code, message.reason)


class Plain(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any) -> None:
        await self.send_json({"text": content["text"]})


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE, headers={"content-security-policy": POLICY})


async def script(request: Request) -> Response:
    source = WORKER if request.url.path == "/worker.js" else SCRIPT
    return PlainTextResponse(source, media_type="text/javascript")


async def publish(request: Request) -> Response:
    """Say so many things in a room, numbered from a number on."""
    first, count = int(request.query_params["first"]), int(request.query_params["count"])
    for number in range(first, first + count):
        await group_send_message(f"chat.{request.path_params['room']}", Said(text=str(number)))
    return PlainTextResponse("done")


drains: list[asyncio.Task[int]] = []


async def send_away(request: Request) -> Response:
    """Drain, and go on to listen."""
    drains.append(asyncio.create_task(drain(retry=(0, 0.2))))
    return PlainTextResponse("begun")


routes: list[Any] = [
    Route("/", page),
    Route("/page.js", script),
    Route("/worker.js", script),
    Route("/publish/{room}", publish, methods=["POST"]),
    Route("/drain", send_away, methods=["POST"]),
    Mount("/consumers", client_files()),
    WebSocketRoute("/chat/{room}", Chat.as_asgi()),
    WebSocketRoute("/plain", Plain.as_asgi()),
]
app = Starlette(routes=routes, lifespan=consumers.lifespan)
