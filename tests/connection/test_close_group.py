"""Closing every member of a group: at once, whatever it does, and by nothing that a message can say."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from asgiref.sync import async_to_sync
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from consumers import (
    AsyncConsumer,
    AsyncHttpConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    JsonWebsocketConsumer,
    StopConsumer,
    WebsocketConsumer,
    channel_layers,
    close_group,
)
from consumers.types import Message

from ..support.closeable import CLOSED, REASON, Member, a_member, expect_close, kick, members
from ..support.servers import uvicorn_server
from ..support.wire import PATIENCE, Wire, connected, connecting, eventually, run_app

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])

# Who is closed


@pytest.mark.parametrize("base", [AsyncWebsocketConsumer, AsyncJsonWebsocketConsumer])
@pytest.mark.parametrize("attributes", [{}, {"raw_frames": True}, {"max_tasks": 3}, {"strict_types": True}])
async def test_every_member_is_closed(
    base: type[Any], attributes: dict[str, Any], layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    consumer = a_member(base, **attributes)
    async with members(consumer, consumer) as wires:
        await kick()
        for wire in wires:
            await expect_close(wire)
    assert consumer.codes == [4001, 4001]
    assert not layer.groups and not layer.channels
    assert not caplog.records


@only_asyncio
@pytest.mark.parametrize("base", [WebsocketConsumer, JsonWebsocketConsumer])
async def test_sync_members_are_closed(base: type[Any], layer: InMemoryChannelLayer) -> None:
    consumer = a_member(base)
    async with connected(consumer.as_asgi()) as wire:
        await kick()
        await expect_close(wire)
    assert consumer.codes == [4001]


async def test_a_plain_consumer_is_closed(layer: InMemoryChannelLayer) -> None:
    endings: list[Message] = []

    class Plain(AsyncConsumer):
        async def websocket_connect(self, message: Message) -> None:
            await self.channel_layer.group_add("user.7", self.channel_name)
            await self.send({"type": "websocket.accept"})

        async def websocket_disconnect(self, message: Message) -> None:
            endings.append(message)
            raise StopConsumer

    async with connected(Plain.as_asgi()) as wire:
        await kick()
        await expect_close(wire)
    assert endings == [{**CLOSED, "type": "websocket.disconnect"}]


async def test_an_http_consumer_ends_without_a_close_frame(layer: InMemoryChannelLayer) -> None:
    ended: list[str] = []

    class Poll(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.channel_layer.group_add("user.7", self.channel_name)
            await self.send_headers()
            await self.send_body(b"first", more_body=True)
            await anyio.sleep_forever()

        async def disconnect(self) -> None:
            ended.append("once")

    wire = Wire()
    wire.event({"type": "http.request", "body": b"", "more_body": False})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_app, wire, Poll.as_asgi(), {"type": "http", "method": "GET", "path": "/", "headers": []})
        assert (await wire.next())["type"] == "http.response.start"
        await wire.next()
        await kick()
        await wire.end()
    assert wire.error is None
    assert len(wire.sent) == 2
    assert ended == ["once"]


async def test_other_groups_and_those_who_join_later_stay(layer: InMemoryChannelLayer) -> None:
    class Other(Member):
        groups = ["user.8"]

        async def receive(self, text_data: str) -> None:
            await self.send(text_data)

    class Later(Other):
        groups = ["user.7"]

    async with members(Other, Member) as (other, member):
        await kick()
        async with members(Later) as (later,):
            await expect_close(member)
            for wire in (other, later):
                wire.text("still here")
                assert await wire.next_text() == "still here"


async def test_closing_twice_is_closing_once(layer: InMemoryChannelLayer) -> None:
    consumer = a_member(AsyncWebsocketConsumer)
    async with connected(consumer.as_asgi()) as wire:
        await kick()
        await close_group("user.7", 4002, "once more")
        await expect_close(wire)
        await kick()
    assert consumer.codes == [4001]
    assert [event["type"] for event in wire.sent] == ["websocket.accept", "websocket.close"]


async def test_an_empty_group_may_be_closed(layer: InMemoryChannelLayer) -> None:
    await kick()
    assert not layer.groups


async def test_a_member_may_close_its_own_group(layer: InMemoryChannelLayer) -> None:
    class Leaver(Member):
        async def receive(self, text_data: str) -> None:
            await kick()
            await self.send("not any more")

    async with members(Leaver, Member) as (wire, other):
        wire.text("log me out everywhere")
        await expect_close(wire)
        await expect_close(other)
    assert Leaver.codes == [4001]
    assert [event["type"] for event in wire.sent] == ["websocket.accept", "websocket.close"]


@only_asyncio
async def test_a_sync_member_may_close_its_own_group(layer: InMemoryChannelLayer) -> None:
    def leave(self: Any, text_data: str) -> None:
        async_to_sync(close_group)("user.7", 4001, REASON)

    consumer = a_member(WebsocketConsumer, receive=leave)
    async with members(consumer, consumer) as wires:
        wires[0].text("log me out everywhere")
        for wire in wires:
            await expect_close(wire)
    assert consumer.codes == [4001, 4001]


# What they are doing meanwhile


@pytest.mark.parametrize("max_tasks", [1, 2])
async def test_a_handler_that_hangs_holds_nothing_up(max_tasks: int, layer: InMemoryChannelLayer) -> None:
    cancelled: list[str] = []

    async def hang(self: Any, text_data: str) -> None:
        await self.send("hanging")
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(text_data)

    consumer = a_member(AsyncWebsocketConsumer, receive=hang, max_tasks=max_tasks)
    async with connected(consumer.as_asgi()) as wire:
        for number in range(max_tasks + 1):  # one of them waits
            wire.text(str(number))
        for _ in range(max_tasks):
            assert await wire.next_text() == "hanging"
        await kick()
        await expect_close(wire)
    assert len(cancelled) == max_tasks
    assert consumer.codes == [4001]


@only_asyncio
async def test_a_thread_that_blocks_does_not_hold_the_close_frame_up(layer: InMemoryChannelLayer) -> None:
    release = threading.Event()

    def block(self: Any, text_data: str) -> None:
        self.send("blocking")
        release.wait(PATIENCE)

    consumer = a_member(WebsocketConsumer, receive=block)
    async with connected(consumer.as_asgi()) as wire:
        wire.text("go")
        assert await wire.next_text() == "blocking"
        await kick()
        assert await wire.next() == CLOSED
        assert consumer.codes == []
        release.set()
        await wire.end()
    assert consumer.codes == [4001]


@pytest.mark.parametrize("overflow", ["drop", "close"])
async def test_a_full_mailbox_drops_no_close(
    overflow: str, monkeypatch: pytest.MonkeyPatch, layer: InMemoryChannelLayer
) -> None:
    layer = InMemoryChannelLayer(capacity=1)
    monkeypatch.setitem(channel_layers.backends, "default", layer)

    async def note(self: Any, event: Message) -> None:
        await self.send("busy")
        await anyio.sleep_forever()

    consumer = a_member(AsyncWebsocketConsumer, note=note, overflow=overflow)
    async with connected(consumer.as_asgi()) as wire:
        await layer.group_send("user.7", {"type": "note"})
        assert await wire.next_text() == "busy"
        await layer.group_send("user.7", {"type": "note"})  # waits
        if overflow == "drop":
            await layer.group_send("user.7", {"type": "note"})
            assert layer.dropped == 1
        await kick()
        await expect_close(wire)
    assert consumer.codes == [4001]


async def test_a_client_that_does_not_read_holds_nothing_up(layer: InMemoryChannelLayer) -> None:
    async def echo(self: Any, text_data: str) -> None:
        await self.send(text_data)

    consumer = a_member(AsyncWebsocketConsumer, receive=echo, cleanup_timeout=0.4)
    async with connected(consumer.as_asgi()) as wire:
        wire.hold_sends = anyio.Event()
        wire.text("stuck")
        await eventually(lambda: wire.sends == 2)
        await kick()
        await wire.end()
    assert consumer.codes == [4001]


async def test_a_handshake_that_waits_is_rejected(layer: InMemoryChannelLayer) -> None:
    begun = anyio.Event()

    async def connect_for_ever(self: Any) -> None:
        begun.set()
        await anyio.sleep_forever()

    consumer = a_member(AsyncWebsocketConsumer, connect=connect_for_ever)
    async with connecting(consumer.as_asgi()) as wire:
        await begun.wait()
        await kick()
        await expect_close(wire)
    assert [event["type"] for event in wire.sent] == ["websocket.close"]  # before an accept: HTTP 403
    assert consumer.codes == [4001]


async def test_what_a_client_sent_before_it_left_is_not_handled_any_more(layer: InMemoryChannelLayer) -> None:
    handled: list[str] = []

    async def act(self: Any, text_data: str) -> None:
        handled.append(text_data)
        await anyio.sleep_forever()

    consumer = a_member(AsyncWebsocketConsumer, receive=act)
    async with connected(consumer.as_asgi()) as wire:
        for number in range(3):
            wire.text(str(number))
        wire.disconnect(1000)
        await eventually(lambda: handled and wire.everything_is_read)
        await anyio.wait_all_tasks_blocked()
        await kick()
        await wire.end()
    assert handled == ["0"]
    assert consumer.codes == [1000]


# A real server


@asynccontextmanager
async def clients(url: str, count: int) -> AsyncIterator[list[Any]]:
    opened = [await connect(url) for _ in range(count)]
    try:
        yield opened
    finally:
        for client in opened:
            await client.close()


@only_asyncio
async def test_real_clients_see_the_code_and_the_reason(layer: InMemoryChannelLayer, ws: Any) -> None:
    async def greet(self: Any) -> None:
        await self.accept()
        await self.send("in")

    consumer = a_member(AsyncWebsocketConsumer, connect=greet)
    with uvicorn_server(consumer.as_asgi(), ws=ws) as server:
        async with clients(f"ws://{server.host}/", 3) as opened:
            for client in opened:
                assert await client.recv() == "in"
            await close_group("user.7", 4001, REASON)  # on this loop, not the server's
            for client in opened:
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(client.recv(), PATIENCE)
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, REASON)
    assert consumer.codes == [4001] * 3
