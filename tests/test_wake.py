"""Waking the one task that waits, on every event loop."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers.wake import EventWaker, FutureWaker, Waker, make_waker

pytestmark = pytest.mark.anyio


async def wait_and_count(waker: Waker, woken: list[int]) -> None:
    await waker.wait()
    woken.append(1)


async def test_asyncio_has_a_cheaper_one(anyio_backend: str) -> None:
    assert isinstance(make_waker(), FutureWaker if anyio_backend == "asyncio" else EventWaker)


async def test_the_portable_one_works_on_every_event_loop() -> None:
    waker, woken = EventWaker(), list[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_and_count, waker, woken)
        await anyio.wait_all_tasks_blocked()
        waker.wake()
    assert woken == [1]


async def test_a_wait_ends_when_it_is_woken_and_not_before() -> None:
    waker, woken = make_waker(), list[int]()
    for round_ in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_and_count, waker, woken)
            await anyio.wait_all_tasks_blocked()
            assert len(woken) == round_
            waker.wake()


async def test_waking_nobody_is_not_kept_for_the_next_wait() -> None:
    waker = make_waker()
    waker.wake()
    with anyio.move_on_after(0.05) as scope:
        await waker.wait()
    assert scope.cancelled_caught


async def test_waking_a_cancelled_wait_does_nothing() -> None:
    waker, woken = make_waker(), list[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_and_count, waker, woken)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        waker.wake()
    await checkpoint()
    waker.wake()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_and_count, waker, woken)
        await anyio.wait_all_tasks_blocked()
        waker.wake()
    assert woken[-1:] == [1]
