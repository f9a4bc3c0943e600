"""uvicorn in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from consumers.types import ASGIApp

PATIENCE = 10
"""Seconds."""


class Server(uvicorn.Server):
    """uvicorn on a free port."""

    def __init__(self, app: ASGIApp, protocol: Any = "websockets-sansio", **settings: Any) -> None:
        settings = {"port": 0, "ws": protocol, "log_config": None, "timeout_graceful_shutdown": PATIENCE, **settings}
        super().__init__(uvicorn.Config(app, **settings))
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @property
    def port(self) -> int:
        return int(self.servers[0].sockets[0].getsockname()[1])

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def serving(app: ASGIApp, protocol: Any = "websockets-sansio", **settings: Any) -> AsyncIterator[Server]:
    server = Server(app, protocol, **settings)
    task = asyncio.ensure_future(server._serve())
    await asyncio.wait_for(server.ready.wait(), PATIENCE)
    try:
        yield server
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 2 * PATIENCE)


async def close_of(client: ClientConnection) -> tuple[int | None, str | None]:
    """Return the close code and reason that the client sees."""
    with pytest.raises(ConnectionClosed):
        while True:
            await asyncio.wait_for(client.recv(), PATIENCE)
    return client.close_code, client.close_reason
