"""How long groups in memory remember: messages, ids, and positions, by a clock that the tests set."""

import gc
import weakref
from typing import Any

import pytest

from consumers import InMemoryChannelLayer, Joined
from consumers.layers import _memory_history

from ...support.contract import receive
from ...support.history import GAP, Reader, join, numbers, say

pytestmark = pytest.mark.anyio

DAY = 24 * 3600


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(clock: Clock, size: int = 100, ttl: float = 60, **options: Any) -> InMemoryChannelLayer:
    return InMemoryChannelLayer(history={"room*": {"size": size, "ttl": ttl}}, clock=clock, **options)


def logs_of(layer: InMemoryChannelLayer) -> dict[str, Any]:
    return layer._logs._logs


async def test_messages_are_kept_for_some_time_after_the_newest(clock: Clock) -> None:
    layer = make(clock)
    first = await layer.position("room")
    await say(layer, "room", 1)
    clock.now = 59
    [newest] = await say(layer, "room", 2)
    clock.now = 59 + 59.9
    assert numbers((await layer.history("room")).messages) == [1, 2]
    clock.now = 59 + 60
    assert (await layer.history("room")) == ([], newest, True)
    _, mailbox, joined = await join(layer, "room", since=first)
    assert joined == Joined(newest, False, 0)
    _, other, joined = await join(layer, "room", since=newest, last=5)
    assert joined == Joined(newest, True, 0)
    [position] = await say(layer, "room", 3)
    assert position.endswith(".3")
    assert numbers(mailbox.messages) == numbers(other.messages) == [3]


@pytest.mark.parametrize(("ttl", "lasts"), [(60, DAY), (3 * DAY, 3 * DAY)])
async def test_a_quiet_groups_positions_count_for_a_day_or_as_long_as_its_messages(
    clock: Clock, ttl: float, lasts: float
) -> None:
    layer = make(clock, ttl=ttl)
    [position] = await say(layer, "room", 1)
    clock.now = lasts - 1
    name, _, joined = await join(layer, "room", since=position)  # which counts as a sign of life
    assert joined == Joined(position, True, 0)
    layer.detach(name)
    clock.now = 2 * lasts - 2
    name, _, joined = await join(layer, "room", since=position)
    assert joined.recovered
    layer.detach(name)
    clock.now = 3 * lasts - 2
    _, _, joined = await join(layer, "room", since=position)
    assert not joined.recovered
    assert joined.position is not None
    assert joined.position.endswith(".0")


async def test_a_group_with_members_keeps_its_positions(clock: Clock) -> None:
    layer = make(clock)
    name, mailbox, joined = await join(layer, "room")
    clock.now = 10 * DAY
    assert await layer.position("room.other")  # has the layer look at all
    assert await layer.position("room") == joined.position
    [position] = await say(layer, "room", 1)
    assert position.endswith(".1")
    assert numbers(mailbox.messages) == [1]
    layer.detach(name)
    clock.now = 11 * DAY
    assert await layer.position("room") != position


@pytest.mark.parametrize(("ttl", "lasts"), [(60, 60), (3600, 300)])
async def test_an_id_is_known_for_five_minutes_or_as_long_as_messages(clock: Clock, ttl: float, lasts: float) -> None:
    layer = make(clock, ttl=ttl)
    [first] = await say(layer, "room", 1, id="one")
    clock.now = lasts / 2
    [other] = await say(layer, "room", 2, id="two")
    clock.now = lasts - 1
    assert await say(layer, "room", 3, id="one") == [first]
    clock.now = lasts
    [again] = await say(layer, "room", 4, id="one")
    assert again != first
    assert await say(layer, "room", 5, id="one") == [again]
    assert await say(layer, "room", 6, id="two") == [other]
    clock.now = lasts * 3
    await layer.position("room")
    assert logs_of(layer)["room"]._ids == {}


async def test_one_that_lags_is_told_of_what_has_expired(clock: Clock) -> None:
    layer = make(clock)
    slow = Reader(layer, 1)
    await layer.group_add("room", slow.name)
    await say(layer, "room", 1, 2, 3)
    clock.now = 60
    await say(layer, "room", 4)
    for _ in range(4):
        slow.read()
    assert numbers(slow.messages) == [1, GAP, 4]


async def test_logs_that_have_expired_are_forgotten_a_few_at_a_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_memory_history, "SWEPT_AT_ONCE", 3)
    layer = make(clock)
    for number in range(9):
        await say(layer, f"room.{number}", 1)
    clock.now = 60
    await layer.position("room.now")
    assert sum(len(log.entries) > 1 for log in logs_of(layer).values()) == 9 - 3
    clock.now = DAY
    left = []
    for _ in range(6):
        await layer.position("room.now")
        left.append(len(logs_of(layer)))
    assert left[-1] == 1
    assert left[0] > left[1] > left[2]


async def test_a_stored_channel_that_joins_again_when_its_time_is_over_goes_on(clock: Clock) -> None:
    layer = make(clock, ttl=DAY, group_expiry=100)
    await layer.group_add("room", "worker")
    [position] = await say(layer, "room", 1)
    assert numbers([await receive(layer, "worker")]) == [1]
    clock.now = 101
    assert await layer.group_add("room", "worker", last=1) == Joined(position, True, 1)
    await say(layer, "room", 2)
    assert numbers([await receive(layer, "worker") for _ in range(2)]) == [1, 2]
    clock.now = 202
    await layer.group_add("room", "worker")
    await say(layer, "room", 3)
    assert numbers([await receive(layer, "worker")]) == [3]


async def test_nothing_keeps_who_has_left(clock: Clock) -> None:
    layer = make(clock)
    await say(layer, "room", *range(5))
    await join(layer, "room")
    gone = []
    for last in (0, 5):
        for capacity in (1, 10):
            reader = Reader(layer, capacity)
            await layer.group_add("room", reader.name, last=last)
            await say(layer, "room", 7)
            layer.detach(reader.name)
            gone.append(weakref.ref(reader))
            del reader
    gc.collect()
    assert [reader() for reader in gone] == [None] * 4


async def test_a_message_is_kept_once_for_all(clock: Clock) -> None:
    layer = make(clock)
    slow = [Reader(layer, 1) for _ in range(5)]
    for reader in slow:
        await layer.group_add("room", reader.name)
    text = "x" * 1000
    for _ in range(3):
        await layer.group_send("room", {"type": "test", "text": text})
    for reader in slow:
        reader.read()
    assert {id(message["text"]) for reader in slow for message in reader.messages} == {id(text)}
    [page] = (await layer.history("room", limit=1)).messages
    assert page["text"] is text
