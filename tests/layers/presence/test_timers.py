"""Calls after some time, whatever becomes of the event loops that were to make them."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from consumers._aio.loops import call_soon, is_closed, loop_here, running_loop
from consumers.layers._timers import Timers

from ...support.history import until

pytestmark = pytest.mark.anyio


def timers_for(*loops: object) -> Timers:
    return Timers(lambda: loops)


async def test_a_function_is_called_after_its_time(anyio_backend: str) -> None:
    timers, called = timers_for(running_loop()), list[float]()
    begin = anyio.current_time()
    for seconds in (0.1, 0.02):
        timers.later(seconds, partial(called.append, seconds))
    await until(lambda: len(called) == 2)
    assert anyio.current_time() - begin >= 0.09
    assert called == [0.02, 0.1]
    assert not timers._waiting
    assert not timers._of_loop


async def test_without_other_loops_the_one_that_runs_makes_the_call() -> None:
    timers, called = timers_for(), list[object]()
    timers.later(0.01, lambda: called.append(threading.current_thread()))
    await until(lambda: called)
    assert called == [threading.current_thread()]


async def test_a_function_that_is_called_may_have_another_called() -> None:
    """It is called in no task of asyncio's, where the running loop is harder to find."""
    timers, called = timers_for(), list[int]()

    def again() -> None:
        called.append(1)
        if len(called) < 3:
            timers.later(0.01, again)

    begin = anyio.current_time()
    timers.later(0.01, again)
    await until(lambda: len(called) == 3)
    assert anyio.current_time() - begin >= 0.025


async def test_of_several_loops_one_makes_the_call(anyio_backend: str) -> None:
    called: list[int] = []
    threads: list[object] = []
    found: list[Any] = []
    is_over = threading.Event()

    async def elsewhere() -> None:
        found.append(running_loop())
        while not is_over.is_set():
            await anyio.sleep(0.002)

    thread = threading.Thread(target=lambda: anyio.run(elsewhere, backend=anyio_backend))
    thread.start()
    try:
        await until(lambda: found)
        timers = timers_for(running_loop(), found[0])
        for number in range(20):
            timers.later(0.01, partial(called.append, number))
        await until(lambda: len(called) == 20)
        await anyio.sleep(0.05)
        assert sorted(called) == list(range(20))
        only_there = timers_for(found[0])
        only_there.later(0.01, lambda: threads.append(threading.current_thread()))
        await until(lambda: threads)
        assert threads == [thread]
    finally:
        is_over.set()
        await anyio.to_thread.run_sync(thread.join)


def set_and_end(timers: Timers, function: Callable[[], object], backend: str, seconds: float = 0.05) -> None:
    """Have an event loop that ends at once be the one to call a function."""

    async def main() -> None:
        timers.later(seconds, function)

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("first", ["asyncio", "trio"])
async def test_what_a_loop_that_has_ended_was_to_call_another_calls_in_its_time(first: str) -> None:
    timers, called = timers_for(), list[int]()
    begin = anyio.current_time()
    await anyio.to_thread.run_sync(set_and_end, timers, lambda: called.append(1), first, 0.3)
    timers.run_overdue()
    assert called == []
    await until(lambda: called)
    assert anyio.current_time() - begin >= 0.29
    timers.run_overdue()
    assert called == [1]
    assert not timers._of_loop


async def test_what_no_loop_is_to_call_waits_for_one() -> None:
    timers, called = timers_for(), list[int]()
    await anyio.to_thread.run_sync(lambda: timers.later(0.01, lambda: called.append(1)))
    await anyio.to_thread.run_sync(timers.run_overdue)
    await anyio.sleep(0.02)
    assert called == []
    timers.run_overdue()
    await until(lambda: called)


def test_without_any_loop_what_is_overdue_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("consumers.layers._timers.time.monotonic", lambda: now)
    timers, called = timers_for(), list[int]()
    timers.later(5, lambda: called.append(1))
    for seconds, expected in ((4.0, []), (2.5, [1]), (5.0, [1])):
        now += seconds
        timers.run_overdue()
        assert called == expected


def test_what_is_overdue_is_looked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("consumers.layers._timers.time.monotonic", lambda: now)
    timers, called = timers_for(), list[int]()
    timers.later(10, lambda: called.append(10))
    timers.run_overdue()
    timers.later(-5, lambda: called.append(-5))
    now += 0.5
    timers.run_overdue()
    assert called == []
    now += 0.6
    timers.run_overdue()
    assert called == [-5]


async def test_a_closed_loop_is_told_from_one_that_runs(anyio_backend: str) -> None:
    found: list[Any] = []

    async def main() -> None:
        found.append(running_loop())
        assert not is_closed(found[0])

    await anyio.to_thread.run_sync(lambda: anyio.run(main, backend=anyio_backend))
    assert is_closed(found[0])
    assert not is_closed(running_loop())


async def test_the_loop_is_known_in_what_it_calls_by_itself() -> None:
    found: list[object] = []
    call_soon(running_loop(), lambda: found.append(loop_here()))
    await until(lambda: found)
    assert found == [running_loop()]
    assert await anyio.to_thread.run_sync(loop_here) is None
