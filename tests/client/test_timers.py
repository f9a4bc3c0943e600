"""A client's timers: which of them ring, in which order, and what they leave."""

import anyio
import pytest

from consumers.client.timers import MOST_CANCELLED, Timers

from ..support.clock import ManualClock

pytestmark = pytest.mark.anyio


async def test_what_is_due_is_called_in_order_and_what_is_cancelled_is_not() -> None:
    clock = ManualClock()
    timers, called = Timers(clock), list[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        for seconds in (3, 1, 2, 4):
            timers.set(seconds, lambda seconds=seconds: called.append(seconds))  # type: ignore[misc]
        timers.set(2, called.clear).cancel()
        await anyio.wait_all_tasks_blocked()
        clock.advance(3)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert called == [1, 2, 3]


async def test_cancelled_timers_do_not_pile_up() -> None:
    timers, called = Timers(ManualClock()), list[int]()
    for number in range(20):
        timers.set(number, lambda number=number: called.append(number))  # type: ignore[misc]
    for _ in range(10 * MOST_CANCELLED):
        with timers.timeout(3600):
            pass
        assert len(timers._due) <= 2 * 20 + MOST_CANCELLED + 1
    assert [due[0] for due in sorted(timers._due) if due[2].call is not None] == [*range(20)]
