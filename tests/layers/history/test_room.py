"""Members that read slowly, or not at all: they miss nothing while the log reaches back, and hold nobody up."""

import time
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers.layers.base import Layer
from consumers.types import Message

from ...support.contract import Mailbox, MakeLayer, needs
from ...support.history import GAP, SIZE, Reader, join, number_of, numbers, say, until
from ...support.slow import left_to_ci

pytestmark = pytest.mark.anyio


def positions_of(messages: list[Message]) -> list[str]:
    return [message["history"]["position"] for message in messages]


async def test_a_member_without_room_gets_the_rest_when_it_has_read(layer: Layer) -> None:
    slow, (_, fast, _) = Reader(layer, 3), await join(layer, "long")
    await layer.group_add("long", slow.name)
    positions = await say(layer, "long", *range(20))
    await fast.holds(20)
    assert numbers(await slow.holds(3)) == [0, 1, 2]
    for held in range(4, 21):
        slow.read(1)
        assert numbers(await slow.holds(held)) == list(range(held))
    assert positions_of(slow.messages) == positions
    slow.read()
    await say(layer, "long", 20)
    assert numbers(await slow.holds(21)) == list(range(21))
    assert not any(message["history"]["replayed"] for message in slow.messages)


@pytest.mark.parametrize("capacity", [1, 2])
async def test_a_replay_waits_for_room(layer: Layer, capacity: int) -> None:
    first = await layer.position("long")
    await say(layer, "long", *range(10))
    slow = Reader(layer, capacity)
    joined = await layer.group_add("long", slow.name, since=first)
    assert joined.missed == 10
    await say(layer, "long", 10, 11)
    for held in range(capacity, 12):
        assert numbers(await slow.holds(held)) == list(range(held))
        slow.read(1)
    messages = await slow.holds(12)
    assert [message["history"]["replayed"] for message in messages] == [True] * 10 + [False] * 2


async def test_a_receiver_that_cannot_say_when_it_has_room_is_tried_again(layer: Layer) -> None:
    _, full, _ = await join(layer, "room", room=0)
    _, other, _ = await join(layer, "room")
    await say(layer, "room", 1, 2)
    await other.holds(2)
    full.room = 1
    with anyio.fail_after(1):
        assert numbers(await full.holds(1)) == [1]
    await say(layer, "room", 3)
    full.room = 3
    with anyio.fail_after(1):
        assert numbers(await full.holds(3)) == [1, 2, 3]
    full.room = 4
    await say(layer, "room", 4)
    assert numbers(await full.holds(4)) == [1, 2, 3, 4]


@needs("memory")
async def test_one_that_is_tried_again_is_not_tried_ever_more_often(layer: Layer) -> None:
    tries: list[float] = []

    def refuse(message: Message) -> int:
        tries.append(time.monotonic())
        return 0

    name = layer.attach(refuse)
    await layer.group_add("room", name)
    await say(layer, "room", 1)
    for _ in range(20):
        layer.resume(name)
    tries.clear()
    await anyio.sleep(0.6)
    assert 1 <= len(tries) <= 3
    layer.detach(name)
    tries.clear()
    await anyio.sleep(0.3)
    assert tries == []


async def test_what_left_the_log_is_a_gap_that_is_told_once(layer: Layer) -> None:
    slow, (_, fast, _) = Reader(layer, 2), await join(layer, "room")
    await layer.group_add("room", slow.name)
    await say(layer, "room", *range(SIZE + 12))
    await fast.holds(SIZE + 12)
    assert numbers(await slow.holds(2)) == [0, 1]
    slow.read()
    await slow.holds(4)
    for _ in range(SIZE):
        slow.read(1)
    expected = [0, 1, GAP, *range(12, SIZE + 12)]
    assert numbers(await slow.holds(len(expected))) == expected
    assert slow.messages[2] == {"type": "layer.gap", "group": "room"}
    slow.read()
    await say(layer, "room", 100)
    assert numbers(await slow.holds(len(expected) + 1)) == [*expected, 100]


@needs("memory")
async def test_a_gap_that_waits_is_told_once_however_much_leaves_the_log(layer: Layer) -> None:
    slow = Reader(layer, 1)
    await layer.group_add("room", slow.name)
    await say(layer, "room", *range(30))
    slow.held = 1
    await say(layer, "room", *range(30, 60))
    for _ in range(SIZE + 1):
        slow.read()
    assert numbers(slow.messages) == [0, GAP, *range(50, 60)]


@needs("memory")
async def test_what_is_sent_after_a_gap_and_leaves_the_log_is_another(layer: Layer) -> None:
    """Who was told reloads, and has seen what was sent up to then: only of what is sent later it must be told."""
    slow = Reader(layer, 1)
    await layer.group_add("room", slow.name)
    await say(layer, "room", *range(15))
    slow.read()
    assert numbers(slow.messages) == [0, GAP]
    await say(layer, "room", *range(15, 20))  # of what is lost now, it has reloaded all
    slow.read()
    assert numbers(slow.messages) == [0, GAP, 10]
    await say(layer, "room", *range(20, 32))
    slow.read()
    assert numbers(slow.messages) == [0, GAP, 10, GAP]
    await say(layer, "room", *range(32, 44))
    slow.read()
    assert numbers(slow.messages) == [0, GAP, 10, GAP, GAP]
    slow.read()
    assert numbers(slow.messages) == [0, GAP, 10, GAP, GAP, 34]


@needs("memory")
async def test_a_replay_that_the_log_overtakes_is_a_gap(layer: Layer) -> None:
    first = await layer.position("room")
    await say(layer, "room", *range(5))
    slow = Reader(layer, 1)
    joined = await layer.group_add("room", slow.name, since=first)
    assert (joined.recovered, joined.missed) == (True, 5)
    await say(layer, "room", *range(5, 25))
    for _ in range(SIZE + 1):
        slow.read()
    assert numbers(slow.messages) == [0, GAP, *range(15, 25)]
    assert not any(message["history"]["replayed"] for message in slow.messages[2:])


# Fairness


CROWDS = [(1, 200, "room"), (2, 100, "long")]


@pytest.mark.parametrize(
    ("capacity", "sends", "group"),
    [*CROWDS, *left_to_ci((100, 300, "long"), (100, 1000, "long"), (100, 1000, "room"), (1, 200, "long"))],
)
async def test_a_sender_in_a_loop_overruns_nobody(make_layer: MakeLayer, capacity: int, sends: int, group: str) -> None:
    layer = make_layer(capacity=capacity)
    received: dict[str, list[Any]] = {}

    async def member(handler_steps: int) -> None:
        reader = Reader(layer, max(1, capacity // 2))
        await layer.group_add(group, reader.name)
        handled = received[reader.name] = []
        while True:
            await reader.holds(1)
            message = reader.messages.pop(0)
            for _ in range(handler_steps):
                await checkpoint()
            handled.append(number_of(message))
            reader.held -= 1
            if reader.held <= capacity // 4:
                layer.resume(reader.name)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as members:
            for index in range(20):
                members.start_soon(member, 2 + index % 2)
            await until(lambda: len(received) == 20)
            await say(layer, group, *range(sends))
            await until(lambda: all(handled and handled[-1] == sends - 1 for handled in received.values()))
            members.cancel_scope.cancel()
    assert list(received.values()) == [list(range(sends))] * 20


@needs("memory")  # a round trip takes as many turns as it takes
async def test_senders_are_not_held_up_for_long_by_one_that_never_reads(layer: Layer) -> None:
    never, (_, fast, _) = Reader(layer, 1), await join(layer, "room")
    await layer.group_add("room", never.name)
    await say(layer, "room", *range(50))
    await anyio.sleep(1.1)
    turns = await count_turns(layer)
    assert turns < 200
    await fast.holds(100)


@needs("memory")
async def test_a_replay_holds_no_sender_up(layer: Layer) -> None:
    await say(layer, "long", *range(1000))
    readers = [Reader(layer, 50) for _ in range(3)]
    for reader in readers:
        await layer.group_add("long", reader.name, last=1000)
    assert await count_turns(layer, "long") < 200


async def count_turns(layer: Layer, group: str = "room") -> int:
    """Return how many turns of the event loop 50 messages take to send, at 1 or 2 each if nobody is waited for."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await say(layer, group, *range(50))
        tasks.cancel_scope.cancel()
    return turns


async def test_no_busy_group_takes_all_the_room_of_a_member(layer: Layer) -> None:
    reader = Reader(layer, 2)
    for group in ("long.a", "long.b"):
        await layer.group_add(group, reader.name)
    for _ in range(50):
        await layer.group_send("long.a", {"type": "test", "number": "a"})
    await layer.group_send("long.b", {"type": "test", "number": "b"})
    _, other, _ = await join(layer, "long.b", last=1)
    await other.holds(1)
    for held in range(4, 12, 2):
        await reader.holds(held - 2)
        reader.read()
    assert "b" in numbers(await reader.holds(10))


@pytest.mark.slow
@needs("memory")
async def test_a_long_replay_lets_others_run(make_layer: MakeLayer) -> None:
    layer = make_layer(history={"*": {"size": 20_000, "ttl": 60}})
    await say(layer, "room", *range(10_000))
    mailbox = Mailbox()
    name = layer.attach(mailbox.deliver)
    seen: list[int] = []

    async def look() -> None:
        while len(mailbox.messages) < 10_000:
            seen.append(len(mailbox.messages))
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(layer.group_add, "room", name, None, 10_000)
        tasks.start_soon(look)
    assert len({count for count in seen if 0 < count < 10_000}) >= 3
    assert numbers(mailbox.messages) == list(range(10_000))


@needs("memory")
async def test_long_replays_take_turns(make_layer: MakeLayer) -> None:
    layer = make_layer(history={"*": {"size": 20_000, "ttl": 60}})
    await say(layer, "room", *range(4000))
    one, other = Mailbox(), Mailbox()
    ahead: list[int] = []

    def deliver(message: Message) -> int:
        ahead.append(len(one.messages) - len(other.messages))
        return other.deliver(message)

    await layer.group_add("room", layer.attach(one.deliver), last=4000)
    await layer.group_add("room", layer.attach(deliver), last=4000)
    await one.holds(4000)
    await other.holds(4000)
    assert min(ahead) >= -1000


# Leaving, and code that comes back


@pytest.mark.parametrize("how", ["leaves", "is detached", "is flushed"])
async def test_who_goes_in_a_replay_gets_no_more_of_it(layer: Layer, how: str) -> None:
    await say(layer, "room", *range(5))
    gone, (_, refusing, _) = Reader(layer, 2), await join(layer, "room", room=1, last=5)
    await layer.group_add("room", gone.name, last=5)
    await gone.holds(2)
    await refusing.holds(1)
    if how == "leaves":
        await layer.group_discard("room", gone.name)
    elif how == "is detached":
        layer.detach(gone.name)
    else:
        await layer.flush()
    gone.read()
    refusing.room = 5
    if how != "is flushed":
        assert numbers(await refusing.holds(5)) == list(range(5))
    await anyio.sleep(0.3)
    assert numbers(gone.messages) == [0, 1]
    assert len(refusing.messages) == (1 if how == "is flushed" else 5)
    if how != "is detached":
        joined = await layer.group_add("room", gone.name, last=2)
        assert joined.missed == (0 if how == "is flushed" else 2)
        await say(layer, "room", 7)
        expected = [0, 1, 7] if how == "is flushed" else [0, 1, 3, 4]
        assert numbers(await gone.holds(len(expected))) == expected


@pytest.mark.parametrize("error", [RuntimeError, KeyError])
async def test_a_member_that_fails_keeps_nothing_from_the_others(layer: Layer, error: type[Exception]) -> None:
    def fail(*arguments: object) -> int:
        raise error("a receiver that always fails")

    _, before, _ = await join(layer, "room")
    await layer.group_add("room", layer.attach(fail))
    await layer.group_add("room", layer.attach(Mailbox().deliver, None, fail))
    _, after, _ = await join(layer, "room")
    await say(layer, "room", 1, 2)
    assert numbers(await before.holds(2)) == [1, 2]
    assert numbers(await after.holds(2)) == [1, 2]
    await layer.group_add("room", layer.attach(fail), last=2)
    await say(layer, "room", 3)
    assert numbers(await after.holds(3)) == [1, 2, 3]


@needs("memory")
async def test_members_go_on_after_what_ends_a_program_has_left_one(layer: Layer) -> None:
    def interrupt(message: Message) -> int:
        if message["number"] == 1:
            raise KeyboardInterrupt
        return 1

    await layer.group_add("room", layer.attach(interrupt))
    _, mailbox, _ = await join(layer, "room")
    with pytest.raises(KeyboardInterrupt):
        await say(layer, "room", 1)
    await say(layer, "room", 2)
    assert 2 in numbers(mailbox.messages)


def at_once(coroutine: Any) -> Any:
    """Run a coroutine that is not to wait for anything, as plain code that knows the layer may do."""
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


@needs("memory")
async def test_a_receiver_may_call_the_layer(layer: Layer) -> None:
    told: list[Any] = []

    def answer(message: Message) -> int:
        told.append(number_of(message))
        if message["number"] < 5:
            sending = layer.group_send("room", {"type": "test", "number": message["number"] + 1})
            sending.send(None)  # as far as it goes without waiting
            sending.close()
        return 1

    name = layer.attach(answer)
    await layer.group_add("room", name)
    _, mailbox, _ = await join(layer, "room")
    await say(layer, "room", 1)
    assert told == [1, 2, 3, 4, 5]
    assert numbers(mailbox.messages) == [1, 2, 3, 4, 5]


@needs("memory")
async def test_one_that_another_takes_out_of_the_group_gets_that_message_no_more(layer: Layer) -> None:
    names: list[str] = []

    def take_out(message: Message) -> int:
        at_once(layer.group_discard("room", names[0]))
        return 1

    await layer.group_add("room", layer.attach(take_out))
    name, mailbox, _ = await join(layer, "room")
    names.append(name)
    await say(layer, "room", 1)
    assert mailbox.messages == []


@needs("memory")
async def test_one_that_leaves_and_comes_back_meanwhile_gets_nothing_twice(layer: Layer) -> None:
    mailbox = Mailbox()
    name = layer.attach(mailbox.deliver)
    joined = await layer.group_add("room", name)

    def move(message: Message) -> int:
        if message["number"] == 1:
            at_once(layer.group_discard("room", name))
            at_once(layer.group_add("room", name, since=joined.position))
        return 1

    first = layer.attach(move)
    await layer.group_discard("room", name)
    await layer.group_add("room", first)
    await layer.group_add("room", name)
    await say(layer, "room", 1, 2)
    assert numbers(mailbox.messages) == [1, 2]
