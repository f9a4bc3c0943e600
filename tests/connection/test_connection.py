"""A connection's messages: their order, their tasks, their context, and layers of others."""

import gc
import random
import weakref
from contextvars import ContextVar, Token
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, StopConsumer, channel_layers

from ..support.recorder import Recorder, disconnects, nothing_left
from ..support.wire import connected, eventually

pytestmark = pytest.mark.anyio


# Order and concurrency


async def test_one_task_handles_200_messages_in_order_whatever_they_await(layer: InMemoryChannelLayer) -> None:
    class Dawdling(Recorder):
        disconnect_timeout = 5.0

        async def receive(self, text_data: str) -> None:
            await anyio.sleep(random.random() / 1000)
            self.log.append(text_data)

    log: list[Any] = []
    async with connected(Dawdling.as_asgi(log=log)) as wire:
        for number in range(200):
            wire.text(str(number))
    assert log == ["connect", *map(str, range(200)), ("disconnect", 1000)]


async def test_with_more_tasks_a_sleeping_handler_holds_back_nothing(layer: InMemoryChannelLayer) -> None:
    class Concurrent(Recorder):
        max_tasks = 2

    log: list[Any] = []
    async with connected(Concurrent.as_asgi(log=log)) as wire:
        wire.text("sleep")
        delays = []
        for number in range(10):
            started = anyio.current_time()
            wire.text(f"echo {number}")
            assert await wire.next_text() == f"echo {number}"
            delays.append(anyio.current_time() - started)
    assert min(delays) < 0.05  # the least, as the machine may be busy
    assert disconnects(log) == [("disconnect", 1000)]
    assert nothing_left(layer)


async def test_never_more_than_max_tasks_run_and_messages_start_in_order(layer: InMemoryChannelLayer) -> None:
    class Concurrent(Recorder):
        max_tasks = 3
        running = 0
        disconnect_timeout = 5.0

        async def receive(self, text_data: str) -> None:
            self.log.append(int(text_data))
            Concurrent.running += 1
            assert Concurrent.running <= self.max_tasks
            await anyio.sleep(random.random() / 1000)
            Concurrent.running -= 1

    log: list[Any] = []
    async with connected(Concurrent.as_asgi(log=log)) as wire:
        for number in range(100):
            wire.text(str(number))
    assert log == ["connect", *range(100), ("disconnect", 1000)]


@pytest.mark.parametrize("tasks", [1, 4])
async def test_an_error_in_one_task_cancels_the_others(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Concurrent(Recorder):
        max_tasks = tasks

        async def connect(self) -> None:
            await super().connect()
            self.start_background_task(self.forever)

        async def forever(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                self.log.append("background ended")

    log: list[Any] = []
    async with connected(Concurrent.as_asgi(log=log)) as wire:
        if tasks > 1:
            wire.text("sleep")
        wire.text("boom")
        await wire.end()
    assert isinstance(wire.error, RuntimeError)
    assert log[-2:] == ["background ended", ("disconnect", 1011)]
    assert nothing_left(layer)


async def test_background_tasks_stop_on_request_and_never_delay_a_disconnect(layer: InMemoryChannelLayer) -> None:
    class Pushing(Recorder):
        disconnect_timeout = cleanup_timeout = 60.0

        async def receive(self, text_data: str) -> None:
            if text_data == "start":
                self.task = self.start_background_task(self.push, "tick")
            else:
                self.task.cancel()

        async def push(self, text: str) -> None:
            try:
                while True:
                    await self.send(text)
                    await anyio.sleep(0.001)
            finally:
                self.log.append("pushed")

    log: list[Any] = []
    async with connected(Pushing.as_asgi(log=log)) as wire:
        wire.text("start")
        assert await wire.next_text() == "tick"
        assert await wire.next_text() == "tick"
        wire.text("stop")
        await eventually(lambda: log.count("pushed") == 1)
        wire.text("start")
        assert await wire.next_text() == "tick"
        wire.disconnect()
        await wire.end()
    assert log == ["connect", "pushed", "pushed", ("disconnect", 1000)]


async def test_a_background_tasks_error_counts_as_a_handlers(layer: InMemoryChannelLayer) -> None:
    class Failing(Recorder):
        async def receive(self, text_data: str) -> None:
            self.start_background_task(self.fail)

        async def fail(self) -> None:
            raise RuntimeError("in the background")

    log: list[Any] = []
    async with connected(Failing.as_asgi(log=log)) as wire:
        wire.text("go")
        await wire.end()
    assert str(wire.error) == "in the background"
    assert wire.close_code == 1011


async def test_nothing_is_handled_before_connect_has_returned(layer: InMemoryChannelLayer) -> None:
    class Slow(Recorder):
        max_tasks = 5

        async def connect(self) -> None:
            await layer.group_send("everyone", {"type": "note"})
            await anyio.wait_all_tasks_blocked()
            await super().connect()

        async def note(self, event: Any) -> None:
            self.log.append("note")

    log: list[Any] = []
    async with connected(Slow.as_asgi(log=log)) as wire:
        wire.text("hi")
    assert log[0] == "connect"
    assert sorted(log[1:3]) == ["hi", "note"]


user: ContextVar[str] = ContextVar("user", default="nobody")


# Context variables


async def test_a_senders_context_is_not_seen_by_the_receivers(layer: InMemoryChannelLayer) -> None:
    class Reading(Recorder):
        async def note(self, event: Any) -> None:
            await self.send(user.get())

    async with connected(Reading.as_asgi(log=[])) as wire:
        user.set("the sender")
        for _ in range(2):
            await layer.group_send("everyone", {"type": "note"})
            assert await wire.next_text() == "nobody"


@pytest.mark.parametrize("tasks", [1, 3])
async def test_a_variable_set_in_connect_is_seen_in_receive(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Setting(Recorder):
        max_tasks = tasks
        token: Token[str]

        async def connect(self) -> None:
            self.token = user.set("alice")
            await super().connect()

        async def receive(self, text_data: str) -> None:
            await self.send(user.get())

        async def disconnect(self, code: int) -> None:
            user.reset(self.token)
            self.log.append(user.get())

    log: list[Any] = []
    async with connected(Setting.as_asgi(log=log)) as wire:
        wire.text("who")
        assert await wire.next_text() == "alice"
    assert log == ["connect", "nobody"]


# Foreign layers


async def test_a_layer_that_offers_only_receive_is_pumped(layer: InMemoryChannelLayer) -> None:
    class Foreign:
        """Channels' contract, without attach() and detach()."""

        capacity = 100
        group_add, group_discard, group_send = layer.group_add, layer.group_discard, layer.group_send
        new_channel, receive, get_capacity = layer.new_channel, layer.receive, layer.get_capacity

    class Member(Recorder):
        async def note(self, event: Any) -> None:
            await self.send(event["text"])

    channel_layers.set("default", Foreign())  # type: ignore[arg-type]
    log: list[Any] = []
    async with connected(Member.as_asgi(log=log)) as wire:
        await layer.group_send("everyone", {"type": "note", "text": "pumped"})
        assert await wire.next_text() == "pumped"
    assert disconnects(log) == [("disconnect", 1000)]
    assert not layer.groups


async def test_a_pump_waits_for_room_and_its_failure_ends_the_connection() -> None:
    class Foreign:
        def __init__(self) -> None:
            self.numbers = iter(range(20))

        async def new_channel(self) -> str:
            return "foreign"

        def get_capacity(self, channel: str) -> int:
            return 3

        async def receive(self, channel: str) -> Any:
            await anyio.lowlevel.checkpoint()
            for number in self.numbers:
                return {"type": "note", "number": number}
            raise ConnectionError("the layer is down")

    class Member(Recorder):
        groups: Any = None

        async def note(self, event: Any) -> None:
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            self.log.append(event["number"])

        async def on_error(self, exc: Exception, message: Any) -> None:
            raise AssertionError("it is no handler's")

    log: list[Any] = []
    old = channel_layers.set("default", Foreign())  # type: ignore[arg-type]
    try:
        async with connected(Member.as_asgi(log=log)) as wire:
            await wire.end()
    finally:
        channel_layers.set("default", old)
    assert isinstance(wire.error, ConnectionError)
    # What it has taken when the layer fails is cut off with everything else.
    assert log[1:-1] == list(range(len(log) - 2))
    assert len(log) - 2 >= 16
    assert log[-1] == ("disconnect", 1011)


@pytest.mark.parametrize("limits", [{}, {"idle_timeout": 60.0, "raw_frames": True}])
async def test_a_connection_that_has_ended_leaves_nothing_to_the_garbage_collector(
    limits: dict[str, Any], layer: InMemoryChannelLayer
) -> None:
    consumers: list[weakref.ref[Any]] = []

    class Member(AsyncWebsocketConsumer):
        groups = ["room"]

        async def connect(self) -> None:
            consumers.append(weakref.ref(self))
            await self.accept()

    for name, value in limits.items():
        setattr(Member, name, value)
    gc.collect()
    gc.disable()
    try:
        async with connected(Member.as_asgi()):
            assert consumers[0]() is not None
        await anyio.lowlevel.checkpoint()
        assert consumers[0]() is None
    finally:
        gc.enable()


async def test_a_coroutine_that_two_handlers_return_is_run_by_one(layer: InMemoryChannelLayer) -> None:
    runs: list[str] = []
    members: list[Any] = []
    go_on = anyio.Event()

    async def work() -> None:
        runs.append("begun")
        await go_on.wait()
        runs.append("done")

    class Member(AsyncWebsocketConsumer):
        shared = work()

        async def connect(self) -> None:
            members.append(self)
            await self.accept()

        def chat(self, event: dict[str, Any]) -> Any:
            return self.shared

    async with connected(Member.as_asgi()), connected(Member.as_asgi()) as second:
        for member in members:
            await layer.send(member.channel_name, {"type": "chat"})
            await anyio.wait_all_tasks_blocked()
        assert isinstance(second.error, RuntimeError)
        assert "awaited already" in str(second.error)
        go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert runs == ["begun", "done"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio's own errors keep the frames of whoever has cancelled
@pytest.mark.parametrize("ending", ["disconnect", "close_group"])
async def test_a_consumer_with_background_tasks_is_left_to_no_garbage_collector(
    ending: str, layer: InMemoryChannelLayer
) -> None:
    consumers: list[weakref.ref[Any]] = []

    class Member(AsyncWebsocketConsumer):
        groups = ["room"]

        async def connect(self) -> None:
            consumers.append(weakref.ref(self))
            self.start_background_task(anyio.sleep_forever)
            await self.accept()

    gc.collect()
    gc.disable()
    try:
        async with connected(Member.as_asgi()) as wire:
            if ending == "close_group":
                await layer.close_group("room")
                await wire.end()
        await anyio.lowlevel.checkpoint()
        assert consumers[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("wraps", [True, False])
async def test_a_disconnect_by_hand_leaves_the_groups(wraps: bool, layer: InMemoryChannelLayer) -> None:
    class Member(AsyncWebsocketConsumer):
        groups = ["room"]
        cleanup_timeout = 0.2

    class Hanging:
        async def group_discard(self, group: str, channel: str) -> None:
            await anyio.sleep_forever()

    consumer = Member()
    consumer.channel_name = layer.attach(lambda message: 1)
    consumer.channel_layer = Hanging() if wraps else layer
    await layer.group_add("room", consumer.channel_name)
    with pytest.raises(StopConsumer):
        await consumer.websocket_disconnect({"type": "websocket.disconnect", "code": 1000})
    assert bool(layer.groups) == wraps
