"""Wakes thousands of tasks at little more than the cost of what they do then: asyncio only.

A future costs its own making, a handle and a callback's arguments with each wake. For a crowd these are thousands of
objects at once, which the garbage collector walks through and the processor's cache has no room for. And a step of a
task goes through every coroutine that the task is in, down to the one that waits. Here one object is waited for again
and again, it shares its turn of the event loop with the others, and the coroutine that waits is stepped by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextvars import Context
from types import FrameType
from typing import Any
from weakref import ref

from .inline import swap_current_task
from .loops import PerLoop

Callback = Callable[[Any], object]
Steps = Generator[Any, Any, Any]


class TurnWaker:
    """Is itself what a task waits for, and what a task steps that awaits `drive()`.

    A task takes any object with `_asyncio_future_blocking` for a future (documented with `asyncio.isfuture()`).

    Args:
        loop: the event loop.

    Attributes:
        task: which task waits, if it has been noted, as by `drive()`.
        context: that of the task, once it has waited.
        waits: whether it waits for `wake()`.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_cancelled",
        "_left",
        "_needs_task",
        "_steps",
        "_turn",
        "context",
        "task",
        "waits",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._turn = _turns.get(loop)
        self.waits = False
        self._cancelled: asyncio.CancelledError | None = None
        self._steps: Any = None  # what is driven
        self.task: asyncio.Task[Any] | None = None
        self._needs_task = True  # for the next step
        self._left: tuple[Any] | BaseException | None = None  # what the task has not heard of the last step yet

    def wake(self) -> None:
        if self.waits:
            self.waits = False
            turn = self._turn
            if not turn.woken:
                turn.schedule()
            turn.woken.append(self)

    def go_on(self, as_task: bool = False) -> None:
        if not self.waits:
            return
        self.waits = False
        if as_task:
            self._needs_task = True
        loop: Any = self._turn.get_loop()
        before = swap_current_task(loop, self.task)
        try:
            if not self._needs_task:  # as in _step(), whose call would cost a message of a client's 1 %
                try:
                    waits_for = self.context.run(next, self._steps, _ENDED)
                except BaseException as error:
                    self._left = error
                else:
                    if waits_for is self and not self._needs_task:
                        self.waits = True
                        return
                    self._left = StopIteration() if waits_for is _ENDED else (waits_for,)
            swap_current_task(loop, None)
            self.context.run(self._callback, self)
        except (KeyboardInterrupt, SystemExit) as error:  # are the loop's, not the task's whose step this is within
            loop.call_soon(_reraise, error)
        finally:
            swap_current_task(loop, before)

    def drive(self, steps: Steps) -> Awaitable[None]:
        self.task, self._steps = asyncio.current_task(), steps
        return _Driven(self)

    # What a task, and anyio, ask of a future

    def __await__(self) -> Generator[Any, Any, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> Any:
        return self._turn.get_loop()

    def add_done_callback(self, callback: Callback, *, context: Context) -> None:
        self._callback, self.context = callback, context
        self.waits = True
        self._needs_task = not getattr(self._steps, "gi_suspended", False)  # nothing is driven, or it has ended

    def done(self) -> bool:
        return not self.waits

    def cancel(self, msg: object = None) -> bool:
        self._needs_task = True  # which throws it in, also where that is not waiting
        if not self.waits:
            return False
        self._cancelled = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.wake()
        return True

    def result(self) -> None:
        if self._cancelled is not None:
            cancelled, self._cancelled = self._cancelled, None
            raise cancelled

    # What a task, and those who want to know where it waits, ask of a coroutine

    def __next__(self) -> Any:
        left, self._left = self._left, None
        if left is None:
            return self._noted(self._steps.send(None))
        if isinstance(left, tuple):
            return self._noted(left[0])
        try:
            raise left
        finally:
            del left  # its traceback refers to this frame

    def throw(self, error: BaseException) -> Any:
        left, self._left = self._left, None
        if left is not None and self.task is not None:  # the task has been cancelled in the very step it hears of now
            try:
                if isinstance(left, BaseException):
                    self.task.cancel(*error.args)  # where it waits next: the coroutine has ended
                    self.task.uncancel()
                    raise left
                waits_for = left[0]
                if waits_for is not self and asyncio.isfuture(waits_for):
                    if waits_for.cancel(*error.args):  # as a task does with what it is about to wait for
                        return waits_for
                    waits_for._asyncio_future_blocking = False
            finally:
                del left
        return self._noted(self._steps.throw(error))

    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()

    @property
    def cr_frame(self) -> FrameType | None:
        return getattr(self._steps, "gi_frame", None)

    @property
    def cr_await(self) -> Any:
        return getattr(self._steps, "gi_yieldfrom", None)

    def _noted(self, waits_for: object) -> object:
        if waits_for is self:
            self._asyncio_future_blocking = True
        return waits_for


class _Driven:
    """Awaited, makes a task step what a waker drives."""

    __slots__ = ("_waker",)

    def __init__(self, waker: TurnWaker) -> None:
        self._waker = waker

    def __await__(self) -> Any:
        return self._waker


class _Turn:
    """Those who go on in the next turn of one event loop."""

    __slots__ = ("get_loop", "woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.get_loop: Callable[[], Any] = ref(loop)  # a loop that has ended must not be kept
        self.woken: list[TurnWaker] = []

    def schedule(self) -> None:
        self.get_loop().call_soon(self._run, context=_NO_VARIABLES)

    def _run(self) -> None:
        woken, self.woken = self.woken, []  # whom these wake has the turn after this one
        remaining, loop = iter(woken), self.get_loop()
        try:
            _step(remaining, loop)
        finally:  # KeyboardInterrupt and SystemExit leave a task's step, and the loop may be run again
            swap_current_task(loop, None)
            if left := list(remaining):
                if not self.woken:
                    self.schedule()
                self.woken[:0] = left


def _step(wakers: Iterable[TurnWaker], loop: Any) -> None:
    """Take the next step of each woken task, or only that of what it drives, if that waits for its waker again.

    Whoever calls this makes another task the current one afterwards.
    """
    for waker in wakers:
        swap_current_task(loop, waker.task)
        if not waker._needs_task:
            try:
                waits_for = waker.context.run(next, waker._steps, _ENDED)
            except BaseException as error:
                waker._left = error
            else:
                if waits_for is waker and not waker._needs_task:
                    waker.waits = True
                    continue
                waker._left = StopIteration() if waits_for is _ENDED else (waits_for,)
        swap_current_task(loop, None)
        waker.context.run(waker._callback, waker)


def _reraise(error: BaseException) -> None:
    raise error


_NO_VARIABLES = Context()
_ENDED = object()

_turns = PerLoop(_Turn)
