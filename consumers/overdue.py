"""Ends by force, on asyncio, what ignores that its connection ends.

A shield of anyio's does not stop asyncio's own `Task.cancel()`, and code that swallows one cancellation may not swallow
the next. trio has nothing of the kind: there, what cannot be cancelled is waited for.
"""

import asyncio
import os
from contextvars import Context
from typing import Any, NamedTuple, Protocol

import anyio

from .layers.loops import PerLoop, running_loop

PATIENCE = 0.5
"""Seconds, at most, that a task has to end after its cancellation, before force is used, and used again."""

INTERVAL = 0.05
"""Seconds, at least, between two looks at all endings."""

OUR_FOLDERS = (os.path.dirname(__file__), os.path.dirname(anyio.__file__))

Task = asyncio.Task[Any]


class Overstayer(Protocol):
    """A connection, which may end too late."""

    def _on_force(self, places: list[str]) -> None:
        """Hear that its tasks get their first native cancellation, and where each of them waits."""


def current_task() -> Task | None:
    """Return the running task; None on trio."""
    return asyncio.current_task() if isinstance(running_loop(), asyncio.AbstractEventLoop) else None


def where(task: Task) -> str:
    """Return the function of the application's in which a task waits, with file and line."""
    coroutine: Any = task.get_coro()
    found = ""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        found = f"{coroutine.__qualname__}() ({frame.f_code.co_filename}:{frame.f_lineno})"
        if not frame.f_code.co_filename.startswith(OUR_FOLDERS):
            break
        coroutine = coroutine.cr_await
    return found


def cancel_children(parent: Task) -> list[Task]:
    """Cancel natively, but for the current one, the tasks of the groups that a task has opened; return them."""
    # Public functions of anyio's tell which they are, at the cost of a look at every task.
    children = {info.id for info in anyio.get_running_tasks() if info.parent_id == id(parent)}
    found = [task for task in asyncio.all_tasks() if id(task) in children and task is not asyncio.current_task()]
    for task in found:
        task.cancel()
    return found


class _Ending(NamedTuple):
    due: float  # by the loop's clock
    parent: Task
    scope: anyio.CancelScope | None
    patience: float
    was_forced: bool


class Overdue:
    """The endings that are under way on one event loop; nearly all are over long before their time is.

    One alarm serves them all: an ending costs little more than two entries in a dict. A timer for each would cost more
    than that, and keep the context of its task from being freed for a while.
    """

    def __init__(self) -> None:
        self._endings: dict[Overstayer, _Ending] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._using_force: Task  # kept, as the event loop keeps no task

    def expect(self, owner: Overstayer, parent: Task, seconds: float, scope: anyio.CancelScope | None = None) -> None:
        """Use force if the ending takes too long, and again and again until `forget()`.

        Args:
            owner: the connection.
            parent: the task that has opened the groups whose tasks are meant.
            seconds: the time that there is, or, once force had to be used, twice that.
            scope: what to cancel first, when the time is over; what force waits for then is short.
        """
        before = self._endings.get(owner)
        was_forced = before is not None and before.was_forced
        loop = parent.get_loop()
        due = loop.time() + (seconds / 2 if was_forced else seconds)
        self._endings[owner] = _Ending(due, parent, scope, min(PATIENCE, seconds / 8), was_forced)
        if self._alarm is None or self._alarm.when() > due:
            self._ring_at(due, loop)

    def force(self, owner: Overstayer) -> None:
        """Use force now."""
        ending = self._endings[owner]
        self._endings[owner] = ending._replace(was_forced=True)
        tasks = cancel_children(ending.parent)
        if tasks and not ending.was_forced:
            owner._on_force([where(task) for task in tasks])

    def forget(self, owner: Overstayer) -> None:
        """Note that an ending is over."""
        self._endings.pop(owner, None)

    def _ring_at(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(due, self._ring, loop, context=Context())  # not the ending's, to be kept so long

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        if self._endings:
            self._using_force = loop.create_task(self._use_force(loop))  # anyio answers only what a task asks

    async def _use_force(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for owner, ending in list(self._endings.items()):
            if ending.due > now:
                continue
            if ending.scope is not None and not ending.scope.cancel_called:
                ending.scope.cancel()
            else:
                self.force(owner)
            self._endings[owner] = self._endings[owner]._replace(due=now + ending.patience)
        if self._endings:
            self._ring_at(max(now + INTERVAL, min(ending.due for ending in self._endings.values())), loop)


_overdues = PerLoop(lambda _: Overdue())


def of_loop(loop: asyncio.AbstractEventLoop) -> Overdue:
    """Return an event loop's endings."""
    return _overdues.get(loop)
