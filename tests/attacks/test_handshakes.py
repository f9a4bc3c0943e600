"""Handshakes that never finish.

If one of these fails: a single machine that opens connections and says nothing keeps others out, or fills the memory.
"""

import asyncio
import gc
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer
from consumers._connection.connection import Connection

from ..soak.limits import raise_limit_on_files
from ..support.servers import uvicorn_server

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

ATTACKERS = 500
BATCH = 100

UPGRADE = (
    b"GET /undecided HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Undecided(AsyncWebsocketConsumer):
    """Waits in its handshake for something that does not come."""

    groups = ["room"]
    loop: asyncio.AbstractEventLoop

    async def connect(self) -> None:
        type(self).loop = asyncio.get_running_loop()


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str) -> None:
        await self.send(text_data)


def connections() -> int:
    gc.collect()
    return sum(type(thing) is Connection for thing in gc.get_objects())


async def attack(port: int, data: bytes) -> list[asyncio.StreamWriter]:
    writers: list[asyncio.StreamWriter] = []
    for _ in range(0, ATTACKERS, BATCH):
        opening = (asyncio.open_connection("127.0.0.1", port) for _ in range(BATCH))
        for _, writer in await asyncio.gather(*opening):
            writer.write(data)
            writers.append(writer)
    return writers


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("data", [UPGRADE, UPGRADE[:60], b""], ids=["no answer", "half a request", "nothing"])
async def test_others_are_served_meanwhile_and_nothing_is_left(
    data: bytes, layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    raise_limit_on_files()  # each attacker has two
    before = connections()
    app = Starlette(routes=[WebSocketRoute("/undecided", Undecided.as_asgi()), WebSocketRoute("/echo", Echo.as_asgi())])
    with uvicorn_server(app, log_level="critical", backlog=ATTACKERS) as server:
        async with connect(f"ws://{server.host}/echo") as client:
            await client.send("before")
            assert await client.recv() == "before"
            writers = await attack(server.port, data)
            if data == UPGRADE:
                await until(lambda: len(layer._local.groups().get("room", ())) == ATTACKERS)
            await client.send("meanwhile")
            assert await asyncio.wait_for(client.recv(), 5) == "meanwhile"
            async with connect(f"ws://{server.host}/echo") as another:
                await another.send("too")
                assert await another.recv() == "too"
            for writer in writers:
                writer.close()
            await until(lambda: len(layer._local.channels()) <= 2 and not layer._local.groups())
            await until(lambda: connections() - before <= 2)
            if data == UPGRADE:
                await until(lambda: len(asyncio.all_tasks(Undecided.loop)) < 20)
