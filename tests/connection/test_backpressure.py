"""A client or a group that sends faster than its messages are handled."""

import asyncio
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest

from consumers import AsyncWebsocketConsumer, ChannelFull, InMemoryChannelLayer

from ..support.recorder import Recorder, disconnects, nothing_left
from ..support.wire import Wire, connected, eventually, websocket_scope

pytestmark = pytest.mark.anyio


async def test_a_flood_stops_being_read_at_the_limit_and_nothing_read_is_lost(layer: InMemoryChannelLayer) -> None:
    class Narrow(Recorder):
        inbox_limit = 10
        disconnect_timeout = 5.0
        gate: anyio.Event

        async def receive(self, text_data: str) -> None:
            await self.gate.wait()
            self.log.append(int(text_data))

    Narrow.gate = anyio.Event()
    log: list[Any] = []
    async with connected(Narrow.as_asgi(log=log)) as wire:
        for number in range(500):
            wire.text(str(number))
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert wire.receive_calls == 1 + 10 + 1  # connect, the inbox, the one in its handler
        Narrow.gate.set()
        await eventually(lambda: len(log) == 501)
    assert log == ["connect", *range(500), ("disconnect", 1000)]


async def test_a_client_with_no_end_of_messages_leaves_others_their_turns(layer: InMemoryChannelLayer) -> None:
    handled: list[str] = []

    class Busy(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            handled.append(text_data)

    remaining = 3_000

    async def receive() -> Any:  # never waits
        nonlocal remaining
        remaining -= 1
        if remaining == 2_999:
            return {"type": "websocket.connect"}
        if remaining:
            return {"type": "websocket.receive", "text": str(remaining)}
        return {"type": "websocket.disconnect", "code": 1000}

    turns = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Busy.as_asgi(), websocket_scope(), receive, Wire().app_send)
        while remaining > 0:
            await anyio.lowlevel.checkpoint()
            turns += 1
    assert len(handled) == 2_998
    assert turns >= 2_998 / (2 * Busy.inbox_limit)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_message_is_handled_in_the_same_turn_of_the_loop_by_the_worker(layer: InMemoryChannelLayer) -> None:
    tasks: list[object] = []

    class Worker(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            tasks.append(asyncio.current_task())
            await self.accept()

        async def receive(self, text_data: str) -> None:
            tasks.append(asyncio.current_task())
            await self.send(text_data)

    async with connected(Worker.as_asgi()) as wire:
        await anyio.wait_all_tasks_blocked()
        wire.text("hello")
        turns = 0
        while len(wire.sent) < 2:
            await anyio.lowlevel.checkpoint()
            turns += 1
        assert turns == 1
    worker, again = tasks
    assert worker is again
    assert worker is not asyncio.current_task()


async def test_a_client_that_floods_and_vanishes_is_gone_within_stall_timeout(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Stalled(Recorder):
        inbox_limit = 10
        stall_timeout = 0.1

    log: list[Any] = []
    async with connected(Stalled.as_asgi(log=log)) as wire:
        for _ in range(100):
            wire.text("sleep")
        await wire.end()
    assert wire.close_code == 1013
    assert disconnects(log) == [("disconnect", 1013)]
    assert nothing_left(layer)
    assert "no message was taken for 0.1 s while 10 wait" in caplog.text


async def test_a_client_that_never_reads_fills_its_mailbox_and_slows_nobody(layer: InMemoryChannelLayer) -> None:
    class Member(Recorder):
        async def note(self, event: Any) -> None:
            await self.send(str(event["number"]))

    async with connected(Member.as_asgi(log=[])) as stuck, connected(Member.as_asgi(log=[])) as healthy:
        stuck.hold_sends = anyio.Event()
        for number in range(1_000):
            await layer.group_send("everyone", {"type": "note", "number": number})
            assert await healthy.next_text() == str(number)
        assert layer.dropped == 1_000 - layer.capacity - 1
        stuck.hold_sends.set()
        for number in range(layer.capacity + 1):
            assert await stuck.next_text() == str(number)


async def test_overflow_close_ends_the_slow_connection_with_1013(layer: InMemoryChannelLayer) -> None:
    class Member(Recorder):
        overflow = "close"

    log: list[Any] = []
    async with connected(Member.as_asgi(log=log)) as wire:
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        for _ in range(101):
            await layer.group_send("everyone", {"type": "note"})
        await wire.end()
    assert wire.close_code == 1013
    assert disconnects(log) == [("disconnect", 1013)]


@pytest.mark.parametrize(("before", "chosen"), [("drop", "close"), ("close", "drop")])
async def test_overflow_may_be_chosen_for_each_connection(
    layer: InMemoryChannelLayer, before: Literal["drop", "close"], chosen: Literal["drop", "close"]
) -> None:
    class Member(Recorder):
        overflow = before

        async def connect(self) -> None:
            self.overflow = chosen
            await super().connect()

    log: list[Any] = []
    async with connected(Member.as_asgi(log=log)) as wire:
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        for _ in range(101):
            await layer.group_send("everyone", {"type": "note"})
        if chosen == "close":
            await wire.end()
        assert wire.close_code == (1013 if chosen == "close" else None)


async def test_a_direct_send_to_a_full_mailbox_raises(layer: InMemoryChannelLayer) -> None:
    class Telling(Recorder):
        async def connect(self) -> None:
            await super().connect()
            await self.send(self.channel_name)

    log: list[Any] = []
    async with connected(Telling.as_asgi(log=log)) as wire:
        name = await wire.next_text()
        wire.text("sleep")
        await eventually(lambda: "sleep" in log)
        for _ in range(100):
            await layer.send(name, {"type": "note"})
        with pytest.raises(ChannelFull, match=name):
            await layer.send(name, {"type": "note"})
