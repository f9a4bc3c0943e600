"""The example: a page, a WebSocket for each of its panels, the recipes in `endpoints` and the ported chat."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

import consumers
from consumers.client import client_files

from . import ported
from .consumers import AnswerConsumer, ChatConsumer, CommandsConsumer, DialogueConsumer, TickerConsumer, ask
from .endpoints import routes as endpoint_routes

STATIC = Path(__file__).parent / "static"

REDIS_URL = os.environ.get("REDIS_URL")

OPTIONS: dict[str, Any] = {
    # How many messages may wait for one consumer. Everyone in a room greets a newcomer at once.
    "capacity": 1000,
    # Which groups keep their messages, how many, and for how many seconds after the newest.
    "history": {
        "chat.*": {"size": 1000, "ttl": 24 * 3600},
        "answer.*": {"size": 1000, "ttl": 600},
    },
}

if REDIS_URL:  # then several processes may serve the example
    layer: dict[str, Any] = {
        "BACKEND": "consumers.layers.redis.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "example", **OPTIONS},
    }
else:
    layer = {"BACKEND": "consumers.layers.InMemoryChannelLayer", "CONFIG": OPTIONS}
# After the import of the ported chat, whose settings have layers too: the last call counts.
consumers.channel_layers.configure({"default": layer})


async def page(request: Request) -> FileResponse:
    """Answer with the page."""
    return FileResponse(STATIC / "index.html")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Have the layers open, and answers written, for as long as the server runs."""
    async with consumers.lifespan(app), anyio.create_task_group() as app.state.writers:
        yield
        app.state.writers.cancel_scope.cancel()


app = Starlette(
    routes=[
        Route("/", page),
        Mount("/static", StaticFiles(directory=STATIC)),
        Mount("/consumers", client_files()),
        # `:path`, so that the consumer also gets to answer a room name with a slash in it.
        WebSocketRoute("/ws/chat/{room:path}", ChatConsumer.as_asgi()),
        Route("/answers", ask, methods=["POST"]),
        WebSocketRoute("/ws/answers/{id:uuid}", AnswerConsumer.as_asgi()),
        WebSocketRoute("/ws/ticker", TickerConsumer.as_asgi()),
        WebSocketRoute("/ws/commands", CommandsConsumer.as_asgi()),
        WebSocketRoute("/ws/dialogue", DialogueConsumer.as_asgi()),
        *endpoint_routes,
        Mount("/ported", ported.application),
    ],
    lifespan=lifespan,
)
