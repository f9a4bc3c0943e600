"""Starts a coroutine at once on behalf of a task that waits, so that no switch to that task is needed.

Most sends of a frame end without suspending: the server writes into its buffer. Such a one is over when `start`
returns. One that suspends is finished by the task itself: whatever it has opened, such as a cancel scope or a
timeout, it has opened as that task, because that is the current one meanwhile. Needs asyncio, whose functions for
this are documented under "Extending asyncio".
"""

import asyncio
import contextvars
import sys
from collections.abc import Coroutine, Generator
from typing import Any

from .layers.loops import running_loop

if sys.version_info >= (3, 12):
    from asyncio.tasks import _swap_current_task

    def _context_of(task: "asyncio.Task[Any]") -> contextvars.Context:
        return task.get_context()

else:
    from asyncio.tasks import _enter_task, _leave_task

    def _swap_current_task(
        loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any] | None"
    ) -> "asyncio.Task[Any] | None":
        current = asyncio.current_task(loop)
        if current is not None:
            _leave_task(loop, current)
        if task is not None:
            _enter_task(loop, task)
        return current

    def _context_of(task: "asyncio.Task[Any]") -> contextvars.Context:
        return contextvars.copy_context()


class Starter:
    """Starts coroutines on behalf of one task, the one that makes this object.

    Args:
        task: the task; `start` may be called only while it waits.
    """

    __slots__ = ("_loop", "_run", "_task")

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self._task = task
        self._loop = task.get_loop()
        self._run = _context_of(task).run

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "Rest | None":
        """Run a coroutine until it ends or suspends, from another task or a callback of the same event loop.

        Returns:
            None if it has ended; else what the task has to await.
        """
        current = _swap_current_task(self._loop, self._task)
        try:
            return Rest(coroutine, self._run(coroutine.send, None))
        except StopIteration:
            return None
        except BaseException as error:
            return Rest(coroutine, None, error)
        finally:
            _swap_current_task(self._loop, current)


def make_starter() -> Starter | None:
    """Return what starts coroutines on behalf of the current task; None where the event loop is not asyncio's."""
    if not isinstance(running_loop(), asyncio.AbstractEventLoop):
        return None
    task = asyncio.current_task()
    return None if task is None else Starter(task)


class Rest:
    """What is left of a coroutine that has been started; awaited, it goes on, or raises what was raised.

    Args:
        coroutine: the coroutine.
        waits_for: what it has yielded to the event loop.
        error: what it has raised instead.
    """

    __slots__ = ("_coroutine", "_error", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any, error: BaseException | None = None) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._error = error

    def close(self) -> None:
        """Give the coroutine up."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._error is not None:
            raise self._error
        waits_for = self._waits_for
        while True:
            error = None
            try:
                sent = yield waits_for
            except BaseException as thrown:
                error = thrown
            try:
                waits_for = self._coroutine.send(sent) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
