"""The example: a page, a WebSocket for each of its panels, the recipes in `endpoints` and the ported chat."""

import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

import consumers

from . import ported
from .consumers import ChatConsumer, CommandsConsumer, DialogueConsumer, TickerConsumer
from .endpoints import routes as endpoint_routes

STATIC = Path(__file__).parent / "static"

REDIS_URL = os.environ.get("REDIS_URL")

# How many messages may wait for one consumer. Everyone in a room greets a newcomer at once.
CAPACITY = {"capacity": 1000}

if REDIS_URL:  # then several processes may serve the example
    layer: dict[str, Any] = {
        "BACKEND": "consumers.layers.redis.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "example", **CAPACITY},
    }
else:
    layer = {"BACKEND": "consumers.layers.InMemoryChannelLayer", "CONFIG": CAPACITY}
# After the import of the ported chat, whose settings have layers too: the last call counts.
consumers.channel_layers.configure({"default": layer})


async def page(request: Request) -> FileResponse:
    """Answer with the page."""
    return FileResponse(STATIC / "index.html")


app = Starlette(
    routes=[
        Route("/", page),
        Mount("/static", StaticFiles(directory=STATIC)),
        # `:path`, so that the consumer also gets to answer a room name with a slash in it.
        WebSocketRoute("/ws/chat/{room:path}", ChatConsumer.as_asgi()),
        WebSocketRoute("/ws/ticker", TickerConsumer.as_asgi()),
        WebSocketRoute("/ws/commands", CommandsConsumer.as_asgi()),
        WebSocketRoute("/ws/dialogue", DialogueConsumer.as_asgi()),
        *endpoint_routes,
        Mount("/ported", ported.application),
    ],
    lifespan=consumers.lifespan,
)
