"""FastAPI's endpoints on a real uvicorn."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocketException
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from consumers import AsyncJsonWebsocketConsumer, InMemoryChannelLayer, JsonWebsocketConsumer
from consumers.server import WebSocketProtocol

from ..support.serving import PATIENCE, close_of, serving
from ..support.slow import left_to_ci

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

PROTOCOLS = ["websockets-sansio", "wsproto", *left_to_ci(WebSocketProtocol)]


class Log:
    """What has happened, and the end of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.closed = asyncio.Event()


def pool() -> Iterator[str]:
    log.lines.append("open")
    try:
        yield "session"
    finally:
        log.lines.append("closed")
        loop.call_soon_threadsafe(log.closed.set)


async def session(pool: Annotated[str, Depends(pool)]) -> AsyncIterator[str]:
    yield pool


def user(token: str) -> str:
    if token == "teapot":
        raise HTTPException(418, {"why": "a teapot"})
    if token == "stranger":
        raise WebSocketException(4001, "who are you?")
    return token


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(
        self, room: str, session: Annotated[str, Depends(session)], user: Annotated[str, Depends(user)]
    ) -> None:
        self.room, self.user = room, user
        if room == "private":
            raise HTTPException(403, "members only", headers={"x-room": room})
        await self.group_join(room)
        await self.accept()
        await self.send_json(f"hello {user}, {session}")

    async def receive_json(self, content: Any) -> None:
        if content == "leave":
            raise WebSocketException(4002, "you left")
        await self.group_send(self.room, {"type": "say", "text": f"{self.user}: {content}"})

    async def say(self, event: Any) -> None:
        await self.send_json(event["text"])

    async def disconnect(self, code: int) -> None:
        log.lines.append(f"disconnect {code}")


class SyncChat(JsonWebsocketConsumer):
    def connect(
        self, room: str, session: Annotated[str, Depends(session)], user: Annotated[str, Depends(user)]
    ) -> None:
        self.room, self.user = room, user
        if room == "private":
            raise HTTPException(403, "members only", headers={"x-room": room})
        self.group_join(room)
        self.accept()
        self.send_json(f"hello {user}, {session}")

    def receive_json(self, content: Any) -> None:
        if content == "leave":
            raise WebSocketException(4002, "you left")
        self.group_send(self.room, {"type": "say", "text": f"{self.user}: {content}"})

    def say(self, event: Any) -> None:
        self.send_json(event["text"])

    def disconnect(self, code: int) -> None:
        log.lines.append(f"disconnect {code}")


log: Log
loop: asyncio.AbstractEventLoop


@pytest.fixture(autouse=True)
async def new_log(layer: InMemoryChannelLayer) -> None:
    global log, loop
    log, loop = Log(), asyncio.get_running_loop()


def app_of(consumer: Any) -> FastAPI:
    app = FastAPI()
    app.add_api_websocket_route("/chat/{room}", consumer.as_endpoint())
    return app


with_both = pytest.mark.parametrize("consumer", [Chat, SyncChat])


@pytest.mark.slow
@with_both
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_room_from_the_handshake_to_the_teardown(consumer: Any, protocol: Any) -> None:
    async with serving(app_of(consumer), protocol) as server:
        async with connect(server.url("/chat/a?token=ann")) as ann, connect(server.url("/chat/a?token=bob")) as bob:
            assert [await ann.recv(), await bob.recv()] == ['"hello ann, session"', '"hello bob, session"']
            await ann.send('"hi"')
            assert [await ann.recv(), await bob.recv()] == ['"ann: hi"'] * 2
            await ann.send('"leave"')
            assert await close_of(ann) == (4002, "you left")
            await asyncio.wait_for(log.closed.wait(), PATIENCE)
            assert log.lines == ["open", "open", "disconnect 4002", "closed"]
            log.closed.clear()
        await asyncio.wait_for(log.closed.wait(), PATIENCE)
        assert log.lines[4:] == ["disconnect 1000", "closed"]


@with_both
async def test_the_servers_shutdown_ends_all_in_the_same_order(consumer: Any, ws: Any) -> None:
    async with serving(app_of(consumer), ws) as server:
        client = await connect(server.url("/chat/a?token=ann"))
        await client.recv()
    assert await close_of(client) == (1012, "")
    assert log.lines == ["open", "disconnect 1012", "closed"]


@pytest.mark.slow
@with_both
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_refusals_have_their_status(consumer: Any, protocol: Any) -> None:
    wanted = {
        "/chat/a?token=teapot": (418, b'{"detail":{"why":"a teapot"}}'),
        "/chat/private?token=ann": (403, b'{"detail":"members only"}'),
        "/chat/a?token=stranger": (403, b""),
        "/chat/a": (403, b""),
    }
    async with serving(app_of(consumer), protocol) as server:
        for address, answer in wanted.items():
            with pytest.raises(InvalidStatus) as caught:
                await connect(server.url(address))
            response = caught.value.response
            assert (response.status_code, response.body) == answer
            assert response.headers.get("x-room") == ("private" if "private" in address else None)
    assert log.lines.count("open") == log.lines.count("closed") == 4
    assert [line for line in log.lines if line.startswith("disconnect")] == ["disconnect 1006"]
