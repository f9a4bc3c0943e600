"""The tests of the application, in one process and without Redis."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from httpx import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from consumers import InMemoryChannelLayer, channel_layers
from consumers.testing import WebsocketCommunicator
from rooms.auth import make_token
from rooms.database import get_database
from rooms.groups import HISTORY
from rooms.main import app
from rooms.notify import notify
from rooms.setup import set_up

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
async def fresh_data(tmp_path: Path) -> AsyncIterator[None]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/rooms.db")
    await set_up(engine)

    async def get_test_database() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session

    app.dependency_overrides[get_database] = get_test_database
    channel_layers.set("default", InMemoryChannelLayer(history=HISTORY))
    yield
    app.dependency_overrides.clear()
    await engine.dispose()


def http(user: str = "") -> AsyncClient:
    headers = {"Authorization": f"Bearer {make_token(user, 0)}"} if user else {}
    return AsyncClient(transport=ASGITransport(app), base_url="http://test", headers=headers)


def socket(room: str, token: str, since: str = "") -> WebsocketCommunicator:
    offered = ["consumers.v1", "token." + urlsafe_b64encode(token.encode()).decode().rstrip("=")]
    query = f"?since=room:{since}" if since else ""
    return WebsocketCommunicator(app, f"/rooms/{room}{query}", subprotocols=offered)


async def enter(room: str, user: str, since: str = "") -> WebsocketCommunicator:
    client = socket(room, make_token(user, 0), since)
    assert await client.connect() == (True, "consumers.v1")
    return client


async def answer(client: WebsocketCommunicator, kind: str) -> Any:
    """Return the next message of a type."""
    while (message := await client.receive_json_from())["type"] != kind:
        pass
    return message


async def test_who_knows_the_password_logs_in() -> None:
    async with http() as client:
        right = await client.post("/login", json={"name": "ann", "password": "secret of ann"})
        wrong = await client.post("/login", json={"name": "ann", "password": "secret of bob"})
    assert right.json()["token"]
    assert wrong.status_code == 401


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("", 401),
        ("no.token", 401),
        (make_token("ann", 0, lifetime=timedelta(seconds=-1)), 401),
        (make_token("eve", 0), 403),
    ],
)
async def test_who_may_not_enter_is_told_why(token: str, status: int) -> None:
    assert await socket("cats", token).connect() == (False, status)


async def test_members_talk() -> None:
    ann, bob = await enter("cats", "ann"), await enter("cats", "bob")
    await ann.send_json_to({"type": "say", "text": " hello "})
    for client in (ann, bob):
        said = await answer(client, "said")
        assert (said["user"], said["text"]) == ("ann", "hello")
        await client.disconnect()


async def test_who_comes_back_misses_nothing() -> None:
    ann, bob = await enter("cats", "ann"), await enter("cats", "bob")
    await ann.send_json_to({"type": "say", "text": "one"})
    position = (await answer(bob, "said"))["at"][1]
    await bob.disconnect()
    for text in ("two", "three"):
        await ann.send_json_to({"type": "say", "text": text, "id": text})
        await answer(ann, "ack")
    bob = await enter("cats", "bob", since=position)
    assert (await answer(bob, "joined"))["recovered"]
    assert [(await answer(bob, "said"))["text"] for _ in range(2)] == ["two", "three"]
    async with http("ann") as client:
        page = (await client.get("/rooms/cats/messages", params={"since": position})).json()
    assert [message["text"] for message in page["messages"]] == ["two", "three"]


async def test_everybody_sees_who_is_there() -> None:
    ann = await enter("cats", "ann")
    assert (await answer(ann, "people"))["names"] == ["ann"]
    bob = await enter("cats", "bob")
    assert (await answer(bob, "people"))["names"] == ["ann", "bob"]
    came: set[str] = set()
    while "bob" not in came:
        came.update((await answer(ann, "moved"))["came"])


async def test_a_script_tells_a_user_something() -> None:
    ann, bob = await enter("cats", "ann"), await enter("cats", "bob")
    await to_thread.run_sync(notify, "ann", "Your report is ready")
    assert (await answer(ann, "notice"))["text"] == "Your report is ready"
    await answer(bob, "people")
    await bob.disconnect()


async def test_a_log_out_closes_all_sockets_of_the_user() -> None:
    ann, tab, bob = await enter("cats", "ann"), await enter("cats", "ann"), await enter("cats", "bob")
    async with http("ann") as client:
        assert (await client.post("/logout")).status_code == 204
        assert (await client.post("/refresh")).status_code == 401
    for socket in (ann, tab):
        while (event := await socket.receive_output())["type"] != "websocket.close":
            pass
        assert event["code"] == 4403
    await bob.send_json_to({"type": "say", "text": "bob is still here"})
    await answer(bob, "said")


async def test_a_token_is_refreshed_before_it_expires() -> None:
    client = socket("cats", make_token("ann", 0, lifetime=timedelta(seconds=30)))
    await client.connect()
    assert (await answer(client, "expires"))["in"] <= 30
    await client.send_json_to({"type": "refresh", "token": make_token("bob", 0), "id": 1})
    assert (await answer(client, "refused"))["to"] == 1
    await client.send_json_to({"type": "refresh", "token": make_token("ann", 0), "id": 2})
    assert (await answer(client, "ack"))["to"] == 2
