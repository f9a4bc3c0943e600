"""An application for `python -m consumers serve` in which something hangs.

`HANGS` says what; or it names a folder, in which files named "import" and "startup" have these fail. `WAITS` is how
many seconds the start takes.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute

from consumers import AsyncWebsocketConsumer, WebsocketConsumer

from .served_app import report

HANGS = os.environ.get("HANGS")
HOUR = 3600


def fails(place: str) -> bool:
    """Tell whether to fail here."""
    return HANGS is not None and Path(HANGS, place).exists()


report("imported", os.getpid())
if HANGS == "import":
    time.sleep(HOUR)
if fails("import"):
    raise ValueError("the module fails, as asked")


class Blocking(AsyncWebsocketConsumer):
    async def receive(self, text_data: str) -> None:
        report("begun")
        time.sleep(HOUR)  # noqa: ASYNC251  (as asked)


class Thread(WebsocketConsumer):
    cleanup_timeout = 1.0

    def receive(self, text_data: str) -> None:
        report("begun")
        time.sleep(HOUR)


async def events(request: Request) -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield "data: tick\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(ticks(), media_type="text/event-stream")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    report("starting", os.getpid())
    await asyncio.sleep(float(os.environ.get("WAITS", 0)))
    if HANGS == "startup":
        await asyncio.sleep(HOUR)
    if fails("startup"):
        raise ValueError("the lifespan fails, as asked")
    report("up", os.getpid())
    yield
    report("ending", os.getpid())
    while HANGS == "shutdown":
        with suppress(BaseException):
            await asyncio.sleep(HOUR)
    await asyncio.sleep(0.1)
    report("down", os.getpid())


routes: list[Any] = [
    WebSocketRoute("/blocking", Blocking.as_asgi()),
    WebSocketRoute("/thread", Thread.as_asgi()),
    Route("/events", events),
]
app = Starlette(routes=routes, lifespan=lifespan)
