"""What the in-memory layer does beyond the contract: time, tables, threads and event loops."""

import asyncio
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from unittest.mock import Mock

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from asgiref.sync import async_to_sync

from consumers import ChannelFull, InMemoryChannelLayer
from consumers._aio.loops import EXTRA_CHECKPOINTS, call_soon
from consumers.types import Message

from ..support.slow import left_to_ci

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def layer(clock: Clock) -> InMemoryChannelLayer:
    return InMemoryChannelLayer(clock=clock)


@pytest.fixture
async def mailbox(anyio_backend: str) -> "Mailbox":
    return Mailbox()


class Mailbox:
    """A receiver that can be waited on, and remembers the thread it was called in."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.threads: set[int] = set()
        self._changed = anyio.Event()

    def deliver(self, message: Message) -> bool:
        self.messages.append(message)
        self.threads.add(threading.get_ident())
        self._changed.set()
        return True

    async def holds(self, count: int) -> list[Message]:
        with anyio.fail_after(5):
            while len(self.messages) < count:
                self._changed = anyio.Event()
                await self._changed.wait()
        return self.messages


async def attach_forever(layer: InMemoryChannelLayer, group: str) -> list[Message]:
    """Join a group and leave the event loop without leaving the group."""
    messages: list[Message] = []

    def deliver(message: Message) -> bool:
        messages.append(message)
        return True

    await layer.group_add(group, layer.attach(deliver))
    return messages


# Time


async def test_an_expired_message_is_not_received(layer: InMemoryChannelLayer, clock: Clock) -> None:
    await layer.send("worker", {"type": "old"})
    clock.now += 30
    await layer.send("worker", {"type": "new"})
    clock.now += 30
    assert await layer.receive("worker") == {"type": "new"}


async def test_expired_messages_leave_no_room_taken(clock: Clock) -> None:
    layer = InMemoryChannelLayer(capacity=2, clock=clock)
    await layer.send("worker", {"type": "old"})
    clock.now += 30
    await layer.send("worker", {"type": "new"})
    with pytest.raises(ChannelFull):
        await layer.send("worker", {"type": "new"})
    clock.now += 30
    await layer.send("worker", {"type": "new"})


async def test_channels_whose_messages_expired_leave_nothing_behind(layer: InMemoryChannelLayer, clock: Clock) -> None:
    for number in range(100):
        await layer.send(f"worker{number}", {"type": "test"})
        clock.now += 0.1
    assert len(layer.channels) == 100
    clock.now += 60
    await layer.group_add("room", "worker")  # whatever is done next
    assert layer.channels == {}


async def test_a_busy_channel_does_not_keep_what_expired_in_others(layer: InMemoryChannelLayer, clock: Clock) -> None:
    await layer.send("busy", {"type": "test"})
    await layer.send("idle", {"type": "test"})
    clock.now += 30
    await layer.send("busy", {"type": "test"})
    clock.now += 30
    assert set(layer.channels) == {"busy"}


async def test_an_expired_message_does_not_take_its_channel_out_of_its_groups(
    layer: InMemoryChannelLayer, clock: Clock
) -> None:
    await layer.group_add("room", "worker")
    await layer.group_send("room", {"type": "old"})
    clock.now += 61
    await layer.group_send("room", {"type": "new"})
    assert await layer.receive("worker") == {"type": "new"}


async def test_memberships_expire_unless_attached_or_renewed(
    layer: InMemoryChannelLayer, clock: Clock, mailbox: Mailbox
) -> None:
    name = layer.attach(mailbox.deliver)
    for channel in ("worker", "renewed", name):
        await layer.group_add("room", channel)
    await layer.group_add("other", "worker")
    clock.now += 86399
    await layer.group_add("room", "renewed")
    assert layer.groups == {"room": {"worker", "renewed", name}, "other": {"worker"}}
    clock.now += 1
    assert layer.groups == {"room": {"renewed", name}}


# Tables


async def test_the_tables_are_views_for_reading(layer: InMemoryChannelLayer, mailbox: Mailbox) -> None:
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    await layer.send("worker", {"type": "test"})
    assert layer.channels == {name: 0, "worker": 1}
    assert layer.groups == {"room": {name}}
    tables: Any = layer
    with pytest.raises(TypeError):
        tables.groups["other"] = frozenset()
    with pytest.raises(AttributeError):
        tables.channels = {}


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio", *left_to_ci("trio")])
async def test_many_connections_leave_the_tables_empty(layer: InMemoryChannelLayer, mailbox: Mailbox) -> None:
    for number in range(10_000):
        name = layer.attach(mailbox.deliver)
        await layer.group_add("room", name)
        await layer.group_add(f"room{number}", name)
        if number % 2:
            await layer.group_discard("room", name)
        layer.detach(name)
        await layer.group_add("room", name)
        await layer.send(name, {"type": "late"})
    tables = vars(layer._local).values()
    assert all(not table for table in tables if isinstance(table, dict | OrderedDict))
    assert mailbox.messages == []


async def test_used_channels_and_groups_leave_the_tables_empty(layer: InMemoryChannelLayer) -> None:
    for _ in range(2):
        channel = await layer.new_channel()
        await layer.group_add("room", channel)
        await layer.group_send("room", {"type": "test"})
        await layer.receive(channel)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(layer.receive, channel)
                await anyio.wait_all_tasks_blocked()
                assert layer.channels == {channel: 0}
                scope.cancel()
        await layer.group_discard("room", channel)
    tables = vars(layer._local).values()
    assert all(not table for table in tables if isinstance(table, dict | OrderedDict))


async def test_names_look_as_in_channels(layer: InMemoryChannelLayer, mailbox: Mailbox) -> None:
    assert (await layer.new_channel()).startswith("specific.inmemory!")
    assert layer.attach(mailbox.deliver).startswith("specific.inmemory!")


async def test_an_attached_channel_cannot_be_received_from(layer: InMemoryChannelLayer, mailbox: Mailbox) -> None:
    name = layer.attach(mailbox.deliver)
    with pytest.raises(ValueError, match="is attached"):
        await layer.receive(name)


def test_attach_needs_an_event_loop(layer: InMemoryChannelLayer) -> None:
    with pytest.raises(RuntimeError, match="on the event loop"):
        layer.attach(lambda message: True)


def test_wrong_arguments_are_errors() -> None:
    arguments: dict[str, Any] = {"hosts": ["redis://"]}
    with pytest.raises(TypeError, match="unexpected keyword argument 'hosts'"):
        InMemoryChannelLayer(**arguments)
    with pytest.raises(ValueError, match="group_expiry must be positive, not 0"):
        InMemoryChannelLayer(group_expiry=0)


async def test_any_object_is_isolated(layer: InMemoryChannelLayer) -> None:
    message: dict[str, Any] = {"type": "test", "queue": deque([[1]]), "nothing": None}
    message["self"] = message["queue"]
    await layer.send("worker", message)
    message["queue"][0].append(2)
    received = await layer.receive("worker")
    assert received["queue"] == deque([[1]])
    assert received["self"] is received["queue"]


async def test_a_message_that_cannot_be_copied_reaches_nobody(layer: InMemoryChannelLayer, mailbox: Mailbox) -> None:
    await layer.group_add("room", layer.attach(mailbox.deliver))
    with pytest.raises(TypeError):
        await layer.group_send("room", {"type": "test", "lock": threading.Lock()})
    assert mailbox.messages == []


async def test_a_message_that_contains_itself_arrives(layer: InMemoryChannelLayer) -> None:
    message: dict[str, Any] = {"type": "test"}
    message["self"] = message
    await layer.send("worker", message)
    received = await layer.receive("worker")
    assert received["self"] is received
    assert received is not message


# Full mailboxes


async def test_drops_are_counted_and_warned_of_once_per_interval(
    layer: InMemoryChannelLayer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "consumers.layers")
    name = layer.attach(lambda message: False)
    await layer.group_add("room", name)
    for _ in range(10):
        await layer.group_send("room", {"type": "test"})
    assert layer.dropped == 10
    clock.now += 60
    await layer.group_send("room", {"type": "test"})
    await layer.group_send("room", {"type": "test"})
    assert layer.dropped == 12
    first, second = (record.message for record in caplog.records)
    assert first.startswith(f"Channel {name!r} is full (capacity 100): 1 message(s) dropped")
    assert second.endswith("10 message(s) dropped since the last warning, 11 in all")


async def test_a_full_stored_member_drops_too(caplog: pytest.LogCaptureFixture) -> None:
    layer = InMemoryChannelLayer(capacity=2)
    await layer.group_add("room", "worker")
    for _ in range(5):
        await layer.group_send("room", {"type": "test"})
    assert layer.dropped == 3
    assert layer.channels == {"worker": 2}
    assert len(caplog.records) == 1


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Have the layer note its checkpoints here instead of passing them."""
    passed: list[None] = []

    async def checkpoint() -> None:
        passed.append(None)

    monkeypatch.setattr("consumers._aio.loops.checkpoint", checkpoint)
    return passed


@pytest.mark.parametrize("before", [0, 49, 50, 99])
async def test_a_sender_waits_as_long_as_the_fullest_mailbox_over_half_needs(
    layer: InMemoryChannelLayer, checkpoints: list[None], before: int
) -> None:
    for waiting in (0, 1, before + 1, 3):  # the first is full
        await layer.group_add("room", layer.attach(Mock(return_value=waiting)))
    await layer.group_send("room", {"type": "test"})
    assert len(checkpoints) == 1 + (before + 1 + EXTRA_CHECKPOINTS if before >= 50 else 0)


async def test_a_sender_waits_for_a_stored_channel_over_half_too(
    layer: InMemoryChannelLayer, checkpoints: list[None]
) -> None:
    for send, name in ((layer.send, "worker"), (layer.group_send, "room")):
        await layer.flush()
        await layer.group_add("room", "worker")
        for before in range(layer.capacity):
            checkpoints.clear()
            await send(name, {"type": "test"})
            assert len(checkpoints) == 1 + (before + 1 + EXTRA_CHECKPOINTS if before >= 50 else 0)


async def test_a_member_that_is_stuck_does_not_slow_senders(
    layer: InMemoryChannelLayer, checkpoints: list[None]
) -> None:
    stuck: list[Message] = []

    def deliver(message: Message) -> int:
        if len(stuck) == layer.capacity:
            return 0
        stuck.append(message)
        return len(stuck)

    await layer.group_add("room", layer.attach(deliver))
    for _ in range(layer.capacity):
        await layer.group_send("room", {"type": "test"})
    checkpoints.clear()
    for _ in range(100):
        await layer.group_send("room", {"type": "test"})
    assert len(checkpoints) == 100


async def test_a_deliver_that_returns_true_tells_of_one_message(
    layer: InMemoryChannelLayer, checkpoints: list[None]
) -> None:
    await layer.group_add("room", layer.attach(lambda message: True))
    for _ in range(100):
        await layer.group_send("room", {"type": "test"})
    assert len(checkpoints) == 100


# Threads and event loops


async def test_sends_from_a_thread_arrive_on_the_receivers_loop(layer: InMemoryChannelLayer, mailbox: Mailbox) -> None:
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)

    def send() -> None:
        for number in range(0, 100, 2):
            async_to_sync(layer.group_send)("room", {"type": "test", "number": number})
            async_to_sync(layer.send)(name, {"type": "test", "number": number + 1})

    await anyio.to_thread.run_sync(send)
    assert [message["number"] for message in await mailbox.holds(100)] == list(range(100))
    assert mailbox.threads == {threading.get_ident()}


@pytest.mark.parametrize("value", [1, [1]])
async def test_another_loops_receivers_are_isolated_from_the_sender(
    layer: InMemoryChannelLayer, mailbox: Mailbox, value: object
) -> None:
    other = Mailbox()
    for deliver in (mailbox.deliver, other.deliver):
        await layer.group_add("room", layer.attach(deliver))
    sent = {"type": "test", "value": value}

    def send() -> None:
        async_to_sync(layer.group_send)("room", sent)
        sent["value"] = "changed"

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()  # holds this event loop up, so that the sender is done before anything arrives
    [one], [another] = await mailbox.holds(1), await other.holds(1)
    assert one == another == {"type": "test", "value": value}
    assert one is not another
    assert value == 1 or one["value"] is not another["value"]


async def test_a_group_send_makes_one_call_to_each_other_loop(
    layer: InMemoryChannelLayer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def count(loop: object, callback: Callable[[], object]) -> None:
        calls.append(loop)
        call_soon(loop, callback)

    monkeypatch.setattr("consumers.layers._local.call_soon", count)
    for _ in range(50):
        await layer.group_add("room", layer.attach(mailbox.deliver))
    await anyio.to_thread.run_sync(lambda: asyncio.run(layer.group_send("room", {"type": "test"})))
    await mailbox.holds(50)
    assert len(calls) == 1


secret: ContextVar[str] = ContextVar("secret", default="none")


async def test_a_receiver_on_another_loop_does_not_run_in_the_senders_context(
    layer: InMemoryChannelLayer, mailbox: Mailbox
) -> None:
    seen = []

    def deliver(message: Message) -> bool:
        seen.append(secret.get())
        return mailbox.deliver(message)

    await layer.group_add("room", layer.attach(deliver))

    def send() -> None:
        secret.set("the sender's")
        async_to_sync(layer.group_send)("room", {"type": "test"})

    await anyio.to_thread.run_sync(send)
    await mailbox.holds(1)
    assert seen == ["none"]


async def test_a_waiting_receive_is_woken_from_another_thread(layer: InMemoryChannelLayer) -> None:
    received = []

    async def receive() -> None:
        with anyio.fail_after(5):
            received.append(await layer.receive("worker"))

    async with anyio.create_task_group() as task_group:
        task_group.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        await anyio.to_thread.run_sync(async_to_sync(layer.send), "worker", {"type": "test"})
    assert received == [{"type": "test"}]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_receivers_of_a_closed_loop_are_removed_silently(
    layer: InMemoryChannelLayer, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = anyio.run(attach_forever, layer, "room", backend=backend)
    [name] = layer.groups["room"]

    async def second_run() -> None:
        mailbox = Mailbox()
        new_name = layer.attach(mailbox.deliver)
        await layer.group_add("room", new_name)
        await layer.group_send("room", {"type": "test"})
        assert await mailbox.holds(1) == [{"type": "test"}]
        assert layer.groups == {"room": {new_name}}
        await layer.send(name, {"type": "test"})

    anyio.run(second_run, backend=backend)
    assert old == []
    assert caplog.records == []
    assert layer.dropped == 0


def test_a_send_to_one_receiver_of_a_closed_loop_is_silent(layer: InMemoryChannelLayer) -> None:
    anyio.run(attach_forever, layer, "room")
    [name] = layer.groups["room"]
    asyncio.run(layer.send(name, {"type": "test"}))
    assert layer.channels == {}


def test_what_waited_on_a_closed_loop_takes_no_message_along(layer: InMemoryChannelLayer) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(layer.receive("worker"))

    async def until_it_waits() -> None:
        while not layer._local.is_awaited("worker"):
            await asyncio.sleep(0)

    loop.run_until_complete(until_it_waits())
    loop.close()  # without cancelling the task
    asyncio.run(layer.send("worker", {"type": "test"}))
    assert asyncio.run(layer.receive("worker")) == {"type": "test"}
    task.get_coro().close()
    vars_of_task: Any = task
    vars_of_task._log_destroy_pending = False  # it was left pending on purpose


def test_a_receiver_that_already_has_a_message_hands_it_back_when_it_is_cancelled(
    layer: InMemoryChannelLayer,
) -> None:
    async def main() -> None:
        task = asyncio.create_task(layer.receive("worker"))
        await anyio.wait_all_tasks_blocked()

        def cancel(message: Message) -> bool:
            layer._local.send("worker", {"type": "second"})  # before the task gets to its end
            return task.cancel()

        await layer.group_add("room", "worker")
        await layer.group_add("room", layer.attach(cancel))
        await layer.group_send("room", {"type": "first"})
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [(await layer.receive("worker"))["type"] for _ in range(2)] == ["first", "second"]

    asyncio.run(main())


def test_many_threads_at_once_lose_nothing(layer: InMemoryChannelLayer) -> None:
    async def main() -> None:
        mailbox = Mailbox()
        await layer.group_add("room", layer.attach(mailbox.deliver))

        def send(sender: int) -> None:
            for number in range(50):
                async_to_sync(layer.group_send)("room", {"type": "test", "sender": sender, "number": number})

        async with anyio.create_task_group() as task_group:
            for sender in range(8):
                task_group.start_soon(anyio.to_thread.run_sync, send, sender)
        messages = await mailbox.holds(400)
        for sender in range(8):
            assert [m["number"] for m in messages if m["sender"] == sender] == list(range(50))

    anyio.run(main)


@pytest.mark.parametrize(("waiting", "most"), [(0, 1), (40, 49), (90_000, 1001)])
async def test_a_sender_is_not_held_up_for_ever_by_a_channel_with_a_large_capacity(
    monkeypatch: pytest.MonkeyPatch, waiting: int, most: int
) -> None:
    pauses: list[None] = []

    async def pause() -> None:
        pauses.append(None)

    layer = InMemoryChannelLayer(capacity=100_000 if waiting > 100 else 50)
    await layer.group_add("room", layer.attach(lambda message: waiting or 1))
    monkeypatch.setattr("consumers._aio.loops.checkpoint", pause)
    await layer.group_send("room", {"type": "test"})
    assert len(pauses) == most


async def test_a_receiver_that_was_full_a_moment_ago_makes_no_sender_pause(
    layer: InMemoryChannelLayer, clock: Clock
) -> None:
    waiting = [0]
    name = layer.attach(lambda message: waiting[0])
    await layer.group_add("room", name)

    def pause() -> int:
        return layer._local.group_send("room", {"type": "test"})

    waiting[0] = 60
    assert pause() == 60  # it may be quick, and only have had no turn
    waiting[0] = 0
    assert pause() == 0
    waiting[0] = 99
    assert pause() == 0  # it is slow by itself: no pause would help it, and everybody else would wait for it
    clock.now += 1
    assert pause() == 99
