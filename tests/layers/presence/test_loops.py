"""Presence whose members, and whose changes, are on several event loops and in several threads."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import anyio.to_thread
import pytest

from consumers import InMemoryChannelLayer
from consumers.layers import _presence_feed
from consumers.layers.base import Layer

from ...support.contract import Mailbox, MakeLayer, needs
from ...support.history import until
from ...support.presence import SHORT, Watcher, arrive, nothing_left, settle, shows, watch

pytestmark = pytest.mark.anyio


async def in_thread(main: Callable[..., Awaitable[Any]], *arguments: Any, backend: str = "asyncio") -> Any:
    """Run something on an event loop of its own, which ends with it."""
    return await anyio.to_thread.run_sync(lambda: anyio.run(main, *arguments, backend=backend))


@asynccontextmanager
async def elsewhere(layer: Layer, group: str, backend: str) -> AsyncIterator[Watcher]:
    """Have a member watch a group on an event loop in another thread."""
    found: list[Watcher] = []
    is_over = threading.Event()

    async def main() -> None:
        watcher = await watch(layer, group)
        found.append(watcher)
        while not is_over.is_set():
            await anyio.sleep(0.002)
        layer.detach(watcher.name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(in_thread, main, backend=backend))
        await until(lambda: found)
        try:
            yield found[0]
        finally:
            is_over.set()


async def test_members_on_other_event_loops_are_told_on_these(layer: Layer, anyio_backend: str) -> None:
    here = await watch(layer, "room")
    async with elsewhere(layer, "room", anyio_backend) as there:
        for number in range(20):
            await arrive(layer, "room", f"user.{number}")
        expected: Any = {f"user.{number}": [{}] for number in range(20)}
        await here.knows(expected)
        await until(lambda: there.members == expected)
        assert here.threads == {threading.current_thread()}
        assert there.threads
        assert threading.current_thread() not in there.threads


async def test_changes_from_many_threads_are_told_in_order(make_layer: MakeLayer, anyio_backend: str) -> None:
    layer = make_layer(0)
    here = await watch(layer, "room")

    async def come_and_go(number: int) -> None:
        for turn in range(15):
            name = await arrive(layer, "room", f"user.{turn % 3}", {"of": number})
            await layer.presence_update("room", name, meta={"of": number, "turn": turn})
            await anyio.sleep(0.005)
            layer.detach(name)

    async with elsewhere(layer, "room", anyio_backend) as there:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(partial(in_thread, come_and_go, number))
        await shows(layer, "room", {})
        await settle(layer, here)
        await here.knows({})
        await until(lambda: there.members == {})
        assert not here.client.went_back
        assert not there.client.went_back


async def test_what_a_short_event_loop_changes_is_told(layer: Layer) -> None:
    """As `async_to_sync()` makes one for each call; nobody does anything afterwards."""
    here = await watch(layer, "room")
    name = layer.attach(Mailbox().deliver)
    await in_thread(partial(layer.presence_track, "room", name, key="ann"))
    await here.knows({"ann": [{}]})
    await in_thread(partial(layer.presence_update, "room", name, meta={"a": 1}))
    await here.knows({"ann": [{"a": 1}]})


async def test_who_is_untracked_by_a_short_event_loop_leaves(make_layer: MakeLayer) -> None:
    layer = make_layer(SHORT)
    here = await watch(layer, "room")
    name = await arrive(layer, "room", "ann")
    await here.knows({"ann": [{}]})
    await in_thread(partial(layer.presence_untrack, "room", name))
    await here.knows({})


@needs("memory")
async def test_the_end_of_an_event_loop_takes_no_leave_along(make_layer: MakeLayer, anyio_backend: str) -> None:
    """The loop on which the grace began ends before it is over; members here are told."""
    layer = make_layer(SHORT)
    here = await watch(layer, "room")

    async def come_and_go() -> None:
        layer.detach(await arrive(layer, "room", "ann"))

    await in_thread(come_and_go, backend=anyio_backend)
    await here.knows({"ann": [{}]})
    await here.knows({})


@needs("memory")
async def test_a_grace_that_began_when_nobody_else_was_there_ends_on_a_later_event_loop(
    make_layer: MakeLayer, anyio_backend: str
) -> None:
    layer = make_layer(2 * SHORT)

    async def come_and_go() -> None:
        layer.detach(await arrive(layer, "room", "ann"))

    await in_thread(come_and_go, backend=anyio_backend)
    here = await watch(layer, "room")
    assert here.members == {"ann": []}
    await here.knows({})


@needs("memory")
def test_a_channel_may_end_when_no_event_loop_runs_any_more(make: MakeLayer, anyio_backend: str) -> None:
    now = 0.0
    layer = make(presence={"grace": 5}, clock=lambda: now)
    names = []

    async def come() -> None:
        for key in ("ann", "bob"):
            names.append(await arrive(layer, "room", key))

    async def look() -> Any:
        return dict(await layer.presence("room"))

    anyio.run(come, backend=anyio_backend)
    for name in names:
        layer.detach(name)
    assert anyio.run(look, backend=anyio_backend) == {"ann": [], "bob": []}
    now = 5.0
    assert anyio.run(look, backend=anyio_backend) == {}


@needs("memory")
def test_a_full_channel_does_no_harm_when_no_event_loop_runs_any_more(make: MakeLayer, anyio_backend: str) -> None:
    layer = make(capacity=1, presence={"grace": 0})

    async def come() -> tuple[str, str]:
        stored = await layer.new_channel()
        await layer.group_add("room", stored)
        await layer.send(stored, {"type": "test"})
        return stored, await arrive(layer, "room", "ann")

    async def look() -> Any:
        await layer.receive(stored)
        members = dict(await layer.presence("room"))
        return members, await layer.receive(stored)

    stored, name = anyio.run(come, backend=anyio_backend)
    layer.detach(name)
    members, message = anyio.run(look, backend=anyio_backend)
    assert members == {}
    assert message["type"] in ("presence.diff", "presence.state")


@needs("memory")
async def test_the_last_keys_of_a_room_leave_though_nobody_is_connected_any_more(make_layer: MakeLayer) -> None:
    """No event loop is known by then but the one that makes the call."""
    layer: Any = make_layer(SHORT)
    for number in range(3):
        layer.detach(await arrive(layer, "room", f"user.{number}"))
        await anyio.sleep(SHORT / 5)
    await until(lambda: not layer._presence._tables)
    await until(lambda: nothing_left(layer))


@needs("memory")
async def test_who_was_on_an_event_loop_that_has_ended_leaves_when_that_is_found_out(
    make_layer: MakeLayer, anyio_backend: str
) -> None:
    layer = make_layer(0)
    here = await watch(layer, "room")

    async def stay() -> None:
        await watch(layer, "room")
        await arrive(layer, "room", "ghost")
        await arrive(layer, "elsewhere", "member")  # it is in no way found out there

    await in_thread(stay, backend=anyio_backend)
    await arrive(layer, "room", "ann")
    await here.knows({"ann": [{}]})
    await shows(layer, "room", {"ann": [{}]})
    assert await layer.group_channels("room") == {here.name}


@needs("memory")
async def test_a_full_member_on_another_event_loop_is_tried_less_and_less_often(
    layer: Layer, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_presence_feed, "RETRY", 0.02)
    monkeypatch.setattr(_presence_feed, "LONGEST_RETRY", 10.0)
    tries: list[float] = []

    def full(message: object) -> int:
        tries.append(time.monotonic())
        return 0

    await layer.group_add("room", layer.attach(full))
    await arrive(layer, "room", "ann")
    await until(lambda: len(tries) == 6)
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert [wait >= 0.9 * 0.02 * 2**number for number, wait in enumerate(waits)] == [True] * 5


@needs("memory")
async def test_messages_reach_a_member_in_the_order_in_which_they_were_told(layer: InMemoryChannelLayer) -> None:
    """Even if one is told by another thread, and one by the member's own event loop before that gets to the first."""
    watcher = await watch(layer, "room")

    def tell(number: int) -> None:
        layer._local.tell({"type": "test", "number": number}, "room", (), None, lambda _: None)

    thread = threading.Thread(target=tell, args=[1])
    thread.start()
    thread.join()
    tell(2)
    assert [message["number"] for message in await watcher.holds(2)] == [1, 2]


@needs("memory")
async def test_a_stopped_event_loop_holds_nobody_up(make_layer: MakeLayer) -> None:
    """It is not closed, so nothing tells that it will not run; its timers are made up for by others."""
    layer = make_layer(SHORT)
    other = asyncio.new_event_loop()
    try:
        await anyio.to_thread.run_sync(lambda: other.run_until_complete(arrive(layer, "room", "ann")))
        here = await watch(layer, "room")
        name = await arrive(layer, "room", "bob")
        await here.knows({"ann": [{}], "bob": [{}]})
        layer.detach(name)
        await here.knows({"ann": [{}]})
    finally:
        other.close()
