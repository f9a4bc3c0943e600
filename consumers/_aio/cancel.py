"""Ends by force, on asyncio, what ignores that its connection ends.

A shield of anyio's does not stop asyncio's own `Task.cancel()`, and code that swallows one cancellation may not swallow
the next. trio has nothing of the kind: there, what cannot be cancelled is waited for.
"""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, NamedTuple, Protocol

import anyio

from .loops import PerLoop

PATIENCE = 0.5
"""Seconds, at most, that a task has to end after its cancellation, before force is used, and used again."""

INTERVAL = 0.05
"""Seconds, at least, between two looks at all endings."""

OUR_FOLDERS = (
    os.path.dirname(os.path.dirname(__file__)),
    os.path.dirname(anyio.__file__),
    os.path.dirname(asyncio.__file__),
)

Task = asyncio.Task[Any]


class Owner(Protocol):
    """A connection, which may end too late.

    Attributes:
        own_tasks: the tasks that it has started and that run; those of their task groups need not be named.
    """

    own_tasks: set[Task]

    def _on_force(self, places: list[str]) -> None:
        """Hear that its tasks get their first native cancellation, and where each of them waits."""


def current_task() -> Task | None:
    """Return the running task; None on trio."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def note_current_task(tasks: set[Task]) -> None:
    """Put the running task among these for good; do nothing on trio."""
    task = current_task()
    if task is not None:
        tasks.add(task)


@contextmanager
def noted(tasks: set[Task]) -> Iterator[None]:
    """Have the running task among these within the block; do nothing on trio."""
    task = current_task()
    if task is None:
        yield
        return
    tasks.add(task)
    try:
        yield
    finally:
        tasks.discard(task)


async def run_noted(tasks: set[Task], function: Callable[[], Awaitable[None]]) -> None:
    """Run a task that is among these while it runs."""
    with noted(tasks):
        await function()


def is_stray(error: BaseException, server: Task | None) -> bool:
    """Tell whether a cancellation is one that nobody asked for, in a child task; never on trio.

    Args:
        error: what was raised.
        server: the connection's task, whose native cancellation becomes that of its children.
    """
    is_cancelled = anyio.current_effective_deadline() == -math.inf or (server is not None and server.cancelling())
    return server is not None and isinstance(error, asyncio.CancelledError) and not is_cancelled


def _calls(task: Task) -> Iterator[tuple[Any, Any]]:
    """Yield the coroutines that a task is in, with their frames, outermost first."""
    coroutine: Any = task.get_coro()
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield coroutine, frame
        coroutine = coroutine.cr_await


def where(task: Task) -> str:
    """Return the function of the application's in which a task waits, with file and line; "" if it is in none."""
    for coroutine, frame in _calls(task):
        if not frame.f_code.co_filename.startswith(OUR_FOLDERS):
            return f"{coroutine.__qualname__}() ({frame.f_code.co_filename}:{frame.f_lineno})"
    return ""


class Descendants:
    """Which tasks are in which one's task groups, at one moment; functions of anyio's tell, by a look at every task."""

    def __init__(self) -> None:
        parents = {info.id: info.parent_id for info in anyio.get_running_tasks()}
        self._children: dict[int | None, list[Task]] = {}
        for task in asyncio.all_tasks():
            self._children.setdefault(parents.get(id(task)), []).append(task)

    def of(self, tasks: Iterable[Task]) -> list[Task]:
        """Return these tasks, but for the current one, with those in their task groups, and in theirs."""
        current = asyncio.current_task()
        found = [task for task in tasks if task is not current]
        for task in found:  # which grows
            found += self._children.get(id(task), ())
        return [task for task in found if not task.done()]


class _Ending(NamedTuple):
    owner: Owner
    due: float  # by the loop's clock
    scope: anyio.CancelScope | None
    patience: float
    was_forced: bool
    was_late: bool = False


class ForcedCancellations:
    """The endings that are under way on one event loop; nearly all are over long before their time is.

    One alarm serves them all: an ending costs little more than two entries in a dict. A timer for each would cost more
    than that, and keep the context of its task from being freed for a while.
    """

    def __init__(self) -> None:
        self._endings: dict[int, _Ending] = {}  # by the id of their owner, whose class may not be hashable
        self._rings_at = math.inf  # not the handle, which keeps the loop, nor is it one on uvloop if that is at once
        self._descendants: Descendants | None = None  # until the next turn of the loop

    def expect(self, owner: Owner, seconds: float, scope: anyio.CancelScope | None = None) -> None:
        """Use force if the ending takes too long, and again and again until `forget()`.

        Args:
            owner: the connection.
            seconds: the time that there is, or, once force had to be used, twice that.
            scope: what to cancel first, when the time is over; what force waits for then is short.
        """
        before = self._endings.get(id(owner))
        was_forced = before is not None and before.was_forced
        loop = asyncio.get_running_loop()
        due = loop.time() + (seconds / 2 if was_forced else seconds)
        self._endings[id(owner)] = _Ending(owner, due, scope, min(PATIENCE, seconds / 8), was_forced)
        self._ring_at(due, loop)

    def force(self, owner: Owner) -> None:
        """Use force now."""
        ending = self._endings[id(owner)]
        self._endings[id(owner)] = ending._replace(was_forced=True)
        if self._descendants is None:
            self._descendants = Descendants()  # one look for a thousand of them that end at once
            asyncio.get_running_loop().call_soon(self._forget_descendants)
        tasks = self._descendants.of(owner.own_tasks)
        places = {task: where(task) for task in tasks}
        if any(places.values()) and not ending.was_forced:  # what only waits for others goes on, for now
            tasks = [task for task in tasks if places[task]]
            owner._on_force([places[task] for task in tasks])
        for task in tasks:
            task.cancel()

    def forget(self, owner: Owner) -> None:
        """Note that an ending is over."""
        self._endings.pop(id(owner), None)

    def _forget_descendants(self) -> None:
        self._descendants = None

    def _ring_at(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        if due < self._rings_at:
            self._rings_at = due
            loop.call_at(due, self._ring, loop, due, context=Context())  # not the ending's, to be kept so long

    def _ring(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if due != self._rings_at:  # an earlier one has been set meanwhile, and has set the next
            return
        self._rings_at = math.inf
        if self._endings:
            task = loop.create_task(self._use_force(loop))  # anyio answers only what a task asks
            del task  # nothing keeps it but the loop, which it awaits nothing of

    async def _use_force(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for key, ending in list(self._endings.items()):
            if ending.due > now:
                continue
            if now - ending.due > PATIENCE and not ending.was_late:  # the loop was blocked, and nobody could go on
                self._endings[key] = ending._replace(due=now + ending.patience, was_late=True)
                continue
            if ending.scope is not None and not ending.scope.cancel_called:
                ending.scope.cancel()
            else:
                self.force(ending.owner)
            self._endings[key] = self._endings[key]._replace(due=now + ending.patience)
        if self._endings:
            self._ring_at(max(now + INTERVAL, min(ending.due for ending in self._endings.values())), loop)


_of_loops = PerLoop(lambda _: ForcedCancellations())


def of_loop(loop: asyncio.AbstractEventLoop) -> ForcedCancellations:
    """Return an event loop's endings."""
    return _of_loops.get(loop)


def forget(connection: Any, server: Task | None) -> None:
    """Note that a connection has ended, whose server's task on asyncio was this one."""
    if server is not None:
        of_loop(server.get_loop()).forget(connection)
