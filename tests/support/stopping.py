"""A server for the tests of shutdown, run in a process of its own: `python -m tests.support.stopping SETTINGS`.

What happens in it is written, a line each, to its standard output: the process may be killed right after.
"""

import asyncio
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from consumers import (
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    InMemoryChannelLayer,
    WebsocketConsumer,
    channel_layers,
    lifespan,
)
from consumers.layers.base import BaseChannelLayer
from consumers.server import WebSocketProtocol

HUNG_FOR = 1.0  # seconds: `disconnect_timeout` and `cleanup_timeout` of the consumers that hang


def report(line: str) -> None:
    os.write(1, f"{line}\n".encode())


class Member(AsyncWebsocketConsumer):
    groups = ["everyone"]

    async def disconnect(self, code: int) -> None:
        await asyncio.sleep(0)
        report(f"disconnect {code}")


class Hanging(AsyncWebsocketConsumer):
    """Its handler never ends by itself."""

    disconnect_timeout = cleanup_timeout = HUNG_FOR

    async def receive(self, text_data: str) -> None:
        await self.send("hanging")
        await self.hang()

    async def hang(self) -> None:
        await asyncio.sleep(3600)

    async def disconnect(self, code: int) -> None:
        report(f"disconnect {code}")


class Deaf(Hanging):
    """Swallows its cancellation, and goes on, a few times over."""

    async def hang(self) -> None:
        for _ in range(5):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                report("cancellation swallowed")


class Shielded(Hanging):
    """No cancellation of anyio's reaches its handler."""

    async def hang(self) -> None:
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(3600)


class ShieldedBeside(Shielded):
    """Its handler runs beside the worker."""

    max_tasks = 2


async def hang_stubbornly() -> None:
    """Hang where no cancellation of anyio's is felt, and the first of asyncio's own is ignored."""
    with anyio.CancelScope(shield=True):
        with suppress(BaseException):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)


class Stubborn(Hanging):
    """Its handler hangs stubbornly."""

    async def hang(self) -> None:
        await hang_stubbornly()


class StubbornBeside(Stubborn):
    """Its handler runs beside the worker."""

    max_tasks = 2


class StubbornInBackground(Stubborn):
    """Its background task is what hangs."""

    async def hang(self) -> None:
        self.start_background_task(super().hang)


class StubbornOnError(Stubborn):
    """Its `on_error()` is what hangs."""

    async def receive(self, text_data: str) -> None:
        await self.send("hanging")
        raise ValueError

    async def on_error(self, exc: Exception, message: Any) -> None:
        await self.hang()


class StubbornDisconnect(Hanging):
    """Its `disconnect()` is what hangs."""

    async def hang(self) -> None:
        pass

    async def disconnect(self, code: int) -> None:
        await super().disconnect(code)
        await hang_stubbornly()


class StubbornEndpoint(BaseWSEndpoint):
    """Its background task is what hangs."""

    EXIT_MAX_DELAY = HUNG_FOR / 2

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text("hanging")
        await self.hang()

    async def hang(self) -> None:
        await hang_stubbornly()

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        report(f"disconnect {close_code}")


class StubbornEndpointsEnd(StubbornEndpoint):
    """Its `on_disconnect()` is what hangs."""

    async def hang(self) -> None:
        pass

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        await super().on_disconnect(websocket, close_code)
        await hang_stubbornly()


class Blocking(WebsocketConsumer):
    """Blocks its thread."""

    disconnect_timeout = cleanup_timeout = HUNG_FOR

    def receive(self, text_data: str) -> None:
        self.send("hanging")
        threading.Event().wait()

    def disconnect(self, code: int) -> None:
        report(f"disconnect {code}")


CONSUMERS = {
    "member": Member,
    "hanging": Hanging,
    "deaf": Deaf,
    "shielded": Shielded,
    "shielded-beside": ShieldedBeside,
    "stubborn": Stubborn,
    "stubborn-beside": StubbornBeside,
    "stubborn-in-background": StubbornInBackground,
    "stubborn-on-error": StubbornOnError,
    "stubborn-disconnect": StubbornDisconnect,
    "blocking": Blocking,
}
ENDPOINTS = {"endpoint": StubbornEndpoint, "endpoint-disconnect": StubbornEndpointsEnd}


def reporting(layer_class: type[BaseChannelLayer], **arguments: Any) -> BaseChannelLayer:
    """Make a layer that reports when a group is left and when it is closed."""

    class Reporting(layer_class):  # type: ignore[misc, valid-type]
        async def close(self) -> None:
            report("layer closed")
            await super().close()

        async def group_discard(self, group: str, channel: str) -> None:
            report(f"left {group}")
            await super().group_discard(group, channel)

    return Reporting(**arguments)


def make_layer(redis_layer: str, redis_url: str) -> BaseChannelLayer:
    if not redis_layer:
        return reporting(InMemoryChannelLayer)
    from consumers.layers import redis

    return reporting(getattr(redis, redis_layer), hosts=[redis_url])


def serve(listener: int, ws: str, grace: int | None, redis_layer: str, redis_url: str) -> None:
    channel_layers.configure({"default": make_layer(redis_layer, redis_url)})
    routes = [WebSocketRoute(f"/{name}", consumer.as_asgi()) for name, consumer in CONSUMERS.items()]
    routes += [WebSocketRoute(f"/{name}", endpoint) for name, endpoint in ENDPOINTS.items()]
    app = Starlette(routes=routes, lifespan=lifespan)
    arguments: dict[str, Any] = {
        "ws": WebSocketProtocol if ws == "consumers.server" else ws,
        "timeout_graceful_shutdown": grace,
        "log_level": "error",
    }
    uvicorn.Server(uvicorn.Config(app, **arguments)).run(sockets=[socket.socket(fileno=listener)])


if __name__ == "__main__":
    serve(**json.loads(sys.argv[1]))
