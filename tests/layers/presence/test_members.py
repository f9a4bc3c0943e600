"""How many channels are in a group, and which."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest

from consumers.layers.base import Layer

from ...support.contract import Mailbox, MakeLayer, needs

pytestmark = pytest.mark.anyio


async def test_an_unknown_group_has_no_channels(layer: Layer) -> None:
    assert await layer.group_count("room") == 0
    channels = await layer.group_channels("room")
    assert channels == frozenset()
    assert isinstance(channels, frozenset)


async def test_the_channels_of_a_group_are_those_that_are_in_it(layer: Layer) -> None:
    names = [layer.attach(Mailbox().deliver) for _ in range(3)]
    stored = await layer.new_channel()
    for name in (*names, stored):
        await layer.group_add("room", name)
        await layer.group_add("room", name)
    await layer.group_add("elsewhere", names[0])
    assert await layer.group_channels("room") == {*names, stored}
    assert await layer.group_count("room") == 4
    assert await layer.group_channels("elsewhere") == {names[0]}
    await layer.group_discard("room", names[0])
    await layer.group_discard("room", stored)
    assert await layer.group_channels("room") == set(names[1:])
    layer.detach(names[1])
    assert await layer.group_channels("room") == {names[2]}
    assert await layer.group_count("room") == 1
    await layer.group_discard("room", names[2])
    assert await layer.group_count("room") == 0


async def test_nobody_is_in_a_group_after_a_flush(layer: Layer) -> None:
    name = layer.attach(Mailbox().deliver)
    await layer.group_add("room", name)
    await layer.flush()
    assert await layer.group_count("room") == 0
    assert await layer.group_channels("room") == frozenset()


async def test_counting_sends_nobody_anything(layer: Layer) -> None:
    mailbox = Mailbox()
    await layer.group_add("room", layer.attach(mailbox.deliver))
    for _ in range(3):
        assert await layer.group_count("room") == 1
    await layer.group_send("room", {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]


@needs("history")
async def test_groups_with_history_are_counted_too(make_layer: MakeLayer) -> None:
    layer = make_layer(history={"room": {"size": 10, "ttl": 60}})
    name = layer.attach(Mailbox().deliver)
    await layer.group_add("room", name)
    assert await layer.group_channels("room") == {name}


@needs("memory")
async def test_a_member_whose_time_has_come_does_not_count(make_layer: MakeLayer) -> None:
    now = 0.0
    layer = make_layer(group_expiry=10, clock=lambda: now)
    await layer.group_add("room", await layer.new_channel())
    assert await layer.group_count("room") == 1
    now = 10.0
    assert await layer.group_count("room") == 0


async def test_each_call_lets_other_tasks_run(layer: Layer) -> None:
    name = layer.attach(Mailbox().deliver)
    calls: list[Callable[[], Awaitable[object]]] = [
        partial(layer.group_count, "room"),
        partial(layer.group_channels, "room"),
        partial(layer.presence_track, "room", name, key="ann"),
        partial(layer.presence_update, "room", name, meta={}),
        partial(layer.presence_untrack, "room", name),
        partial(layer.presence, "room"),
        partial(layer.presence_count, "room"),
    ]
    for call in calls:
        ran: list[bool] = []

        async def other(ran: list[bool] = ran) -> None:
            ran.append(True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            for _ in range(2):  # trio lets tasks run in any order, so this one may have been first once
                await call()
            assert ran
