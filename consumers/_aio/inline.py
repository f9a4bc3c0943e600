"""Runs a part of one task within another one's step, where that saves a turn of the event loop.

Most sends of a frame end without suspending: the server writes into its buffer. And most handlers have nothing else
to await. Whoever hands such work to a task that waits for it can do it on that task's behalf: what the work opens, such
as a cancel scope or a timeout, it opens as that task, because that is the current one meanwhile. Needs asyncio, whose
functions for this are documented under "Extending asyncio".
"""

import asyncio
import sys
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator, Sized
from typing import Any, Protocol


def _leave_and_enter(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any] | None") -> "asyncio.Task[Any] | None":
    current = asyncio.current_task(loop)
    if current is not None:
        _leave_task(loop, current)
    if task is not None:
        _enter_task(loop, task)
    return current


swap_current_task: Any = _leave_and_enter
"""Makes another task, or none, the current one; returns which was. Python has a quicker one, not documented."""

if sys.version_info >= (3, 13):  # 3.12's raises KeyError where there is no current task
    swap_current_task = getattr(asyncio.tasks, "_swap_current_task", _leave_and_enter)


class Rest:
    """What is left of an awaitable that has been started; awaited, it goes on, or raises what was raised.

    Args:
        steps: what its `__await__` has returned, if it has.
        waits_for: what it has yielded to the event loop.
        error: what it has raised instead.
    """

    __slots__ = ("_error", "_steps", "_waits_for")

    def __init__(self, steps: Any, waits_for: Any, error: BaseException | None = None) -> None:
        self._steps = steps
        self._waits_for = waits_for
        self._error = error

    def close(self) -> None:
        """Give it up."""
        if self._steps is not None:
            self._steps.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._error is not None:
            raise self._error
        return _proceed(self._steps, self._waits_for)


class Worker(Protocol):
    """Works when it is told to."""

    def go_on(self) -> object: ...


class Feeding:
    """Awaited, runs a coroutine that leaves work for another, who is told to go on with it before the coroutine waits.

    Args:
        coroutine: the coroutine; any event loop may run it.
        work: what it adds to.
        worker: who is told, if there is any work.
    """

    __slots__ = ("_coroutine", "_work", "_worker")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], work: Sized, worker: Worker) -> None:
        self._coroutine = coroutine
        self._work = work
        self._worker = worker  # a bound method would be one more object for each idle connection

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            waits_for = self._coroutine.send(None)
        except StopIteration as stop:
            return _end(stop.value)
        if self._work:
            self._worker.go_on()
        return _proceed(self._coroutine, waits_for, self._work, self._worker)


def _end(value: Any) -> Generator[Any, Any, Any]:
    return value
    yield


def _proceed(steps: Any, waits_for: Any, work: Sized = (), worker: Any = None) -> Generator[Any, Any, Any]:
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as error:
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(sent)
        except StopIteration as stop:
            return stop.value
        if work:
            worker.go_on()
