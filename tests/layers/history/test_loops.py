"""Groups with history whose members and senders are on several event loops and in several threads."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

import anyio
import anyio.to_thread
import pytest

from consumers import InMemoryChannelLayer, channel_layers
from consumers.layers import send
from consumers.layers._log import Entry
from consumers.layers.base import Layer

from ...support.contract import Mailbox, needs
from ...support.history import GAP, Reader, join, numbers, say, until

pytestmark = pytest.mark.anyio


async def in_thread(main: Callable[[], Awaitable[Any]], backend: str = "asyncio") -> Any:
    """Run something on an event loop of its own."""
    return await anyio.to_thread.run_sync(lambda: anyio.run(main, backend=backend))


class Elsewhere:
    """A member on an event loop in another thread, which can be kept from having its turn.

    Args:
        layer: its layer.
        group: its group.
        room: how many messages it takes.
    """

    def __init__(self, layer: Layer, group: str, room: int = 1_000_000) -> None:
        self._layer, self._group, self._room = layer, group, room
        self.name = ""
        self.has_turn = threading.Event()
        self.has_turn.set()
        self.is_in = threading.Event()
        self.messages: list[Any] = []
        self._thread = threading.Thread(target=lambda: anyio.run(self._main))
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._thread.start()
        assert await anyio.to_thread.run_sync(self.is_in.wait, 5)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        self.has_turn.set()
        await anyio.to_thread.run_sync(self._thread.join)

    async def _main(self) -> None:
        mailbox = Mailbox(self._room)
        self.messages = mailbox.messages
        self.name = self._layer.attach(mailbox.deliver)
        await self._layer.group_add(self._group, self.name)
        self.is_in.set()
        while not self._is_over:
            await anyio.sleep(0.001)
            self.has_turn.wait()


async def test_a_member_that_is_added_once_more_before_its_event_loop_has_its_turn_misses_nothing(
    layer: Layer,
) -> None:
    _, here, _ = await join(layer, "long")
    async with Elsewhere(layer, "long") as elsewhere:
        await say(layer, "long", 1)
        await until(lambda: elsewhere.messages)
        elsewhere.has_turn.clear()
        [*_, position] = await say(layer, "long", 2, 3)
        await until(lambda: len(here.messages) == 3)
        assert await layer.group_add("long", elsewhere.name) == (position, True, 0)
        elsewhere.has_turn.set()
        await say(layer, "long", 4)
        await until(lambda: numbers(elsewhere.messages)[-1:] == [4])
        assert numbers(elsewhere.messages) == [1, 2, 3, 4]


async def test_members_on_other_event_loops_get_the_same_order(layer: Layer) -> None:
    _, here, _ = await join(layer, "long")
    async with Elsewhere(layer, "long") as elsewhere:
        async with anyio.create_task_group() as tasks:
            for sender in range(3):
                tasks.start_soon(in_thread, lambda sender=sender: say(layer, "long", *range(sender, 300, 3)))
        await here.holds(300)
        await until(lambda: len(elsewhere.messages) == 300)
        assert numbers(elsewhere.messages) == numbers(here.messages)
        assert [m["history"] for m in elsewhere.messages] == [m["history"] for m in here.messages]
        offsets = [int(m["history"]["position"].rpartition(".")[2]) for m in here.messages]
        assert offsets == list(range(1, 301))
        assert sorted(numbers(here.messages)) == list(range(300))


@needs("memory")
async def test_an_event_loop_that_is_too_late_has_a_gap(layer: Layer) -> None:
    async with Elsewhere(layer, "room") as elsewhere:
        await say(layer, "room", 0)
        await until(lambda: elsewhere.messages)
        elsewhere.has_turn.clear()
        await anyio.sleep(0.01)
        await say(layer, "room", *range(1, 150))
        elsewhere.has_turn.set()
        await until(lambda: len(elsewhere.messages) == 12)
        assert numbers(elsewhere.messages) == [0, GAP, *range(140, 150)]
        await say(layer, "room", 150)
        await until(lambda: len(elsewhere.messages) == 13)


async def test_a_log_of_one_loses_nobody_to_senders_in_threads(layer: Layer) -> None:
    """What one thread hands over another may take out of the log meanwhile."""
    _, here, _ = await join(layer, "one")
    async with Elsewhere(layer, "one") as elsewhere:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(in_thread, lambda: say(layer, "one", *range(300)))
            for _ in range(100):
                await say(layer, "one", 7)
                assert numbers((await layer.history("one")).messages)
        await say(layer, "one", 1000)
        await until(lambda: 1000 in numbers(here.messages) and 1000 in numbers(elsewhere.messages))
        for messages in (here.messages, elsewhere.messages):
            offsets = [int(m["history"]["position"].rpartition(".")[2]) for m in messages if "history" in m]
            assert offsets == sorted(set(offsets))


@needs("memory")
@pytest.mark.parametrize("reads", [False, True])
async def test_what_one_thread_hands_over_another_may_take_out_of_the_log(
    layer: Layer, reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other thread comes exactly between the look at the log, with the lock held, and the use of what is found."""
    _, mailbox, _ = await join(layer, "one")
    make_event, others = Entry.event, [2]
    if reads:
        await say(layer, "one", 1)

    def make_event_late(entry: Entry, *arguments: Any, **options: Any) -> Any:
        if others:
            thread = threading.Thread(target=lambda: anyio.run(say, layer, "one", others.pop()))
            thread.start()
            thread.join()
        return make_event(entry, *arguments, **options)

    monkeypatch.setattr(Entry, "event", make_event_late)
    if reads:
        assert numbers((await layer.history("one")).messages) == [1]
    else:
        await say(layer, "one", 1)
    assert numbers(await mailbox.holds(2)) == [1, 2]


async def test_a_channel_may_join_from_another_thread(layer: Layer) -> None:
    first = await layer.position("room")
    await say(layer, "room", 1, 2)
    mailbox = Mailbox()
    name = layer.attach(mailbox.deliver)
    joined = await in_thread(lambda: layer.group_add("room", name, since=first))
    assert joined.missed == 2
    await say(layer, "room", 3)
    assert numbers(await mailbox.holds(3)) == [1, 2, 3]
    assert mailbox.threads == {threading.current_thread()}


@needs("memory")
async def test_members_of_an_event_loop_that_has_ended_are_removed(
    layer: InMemoryChannelLayer, anyio_backend: str
) -> None:
    async def leave_a_member() -> None:
        for last in (0, 5):
            await layer.group_add("room", layer.attach(Mailbox().deliver), last=last)

    _, here, _ = await join(layer, "room")
    await in_thread(leave_a_member, anyio_backend)
    assert len(layer.groups["room"]) == 3
    await say(layer, "room", 1)
    assert len(layer.groups["room"]) == 1
    assert numbers(here.messages) == [1]


@needs("memory")
async def test_an_event_loop_that_ends_before_its_turn_is_found_out(layer: InMemoryChannelLayer) -> None:
    other = asyncio.new_event_loop()

    async def leave_a_member() -> None:
        await layer.group_add("room", layer.attach(Mailbox().deliver))

    def run() -> None:
        other.run_until_complete(leave_a_member())

    await anyio.to_thread.run_sync(run)
    await say(layer, "room", 1)  # this it is to be told of, when it runs
    other.close()
    await say(layer, "room", *range(200))
    assert "room" not in layer.groups


@needs("memory")
async def test_the_layer_is_not_held_up_by_a_message_that_takes_long_to_copy(layer: InMemoryChannelLayer) -> None:
    """What copies a message may be an application's: it is not to run while the tables are locked."""
    locked: list[bool] = []

    class Slow:
        def __deepcopy__(self, _: object) -> "Slow":
            locked.append(layer._local.lock.locked())
            return Slow()

    slow = Reader(layer, 1)
    await layer.group_add("room", slow.name)
    for number in range(3):
        await layer.group_send("room", {"type": "test", "number": number, "value": Slow()})
    for _ in range(3):
        slow.read()
    _, _, joined = await join(layer, "room", last=3)
    await layer.history("room")
    assert numbers(slow.messages) == [0, 1, 2]
    assert joined.missed == 3
    assert locked
    assert not any(locked)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_script_sends_without_an_event_loop(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = InMemoryChannelLayer(history={"room": {"size": 10, "ttl": 60}})
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    name, mailbox, _ = await join(layer, "room")

    def script() -> list[Any]:
        message = {"type": "test", "number": 1}
        return [
            send.group_send_sync("room", message, id="one"),
            send.group_send_sync("room", message, id="one"),
            send.group_send_sync("room", {**message, "number": 2}, keep=False),
            send.group_send_sync("room", {**message, "number": 3}, exclude=name),
            send.group_send_sync("room", {**message, "number": 4}),
        ]

    first, same, unkept, excluded, last = await anyio.to_thread.run_sync(script)
    assert first == same
    assert unkept is None
    assert [m["history"]["position"] for m in await mailbox.holds(3)] == [first, None, last]
    assert numbers((await layer.history("room")).messages) == [1, 3, 4]
    assert excluded.endswith(".2")
