"""Wakes the one task that waits for something, many times over.

`anyio.Event` does it too, once each, and at twice the cost of a whole message. On asyncio a future stands in for it:
a bare one, or, where a thousand workers are woken by one message, one that is used again and again and shares its
turn of the event loop with the others.
"""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from itertools import repeat
from typing import Any, Protocol
from weakref import ref

import anyio

from .inline import swap_current_task
from .layers.loops import PerLoop, running_loop

Callback = Callable[[Any], object]


class Waker(Protocol):
    """Awaited, by one task at a time, waits for another's `wake()`; cancelling that does no harm."""

    def __await__(self) -> Generator[Any, Any, Any]: ...

    def wake(self) -> None:
        """End a wait that has begun; does nothing if there is none. To be called on the same event loop."""

    def go_on(self) -> None:
        """As `wake()`; if the loop allows it, the woken task takes its next step before this returns."""


def make_waker() -> Waker:
    """Return a waker for the running event loop."""
    loop = running_loop()
    return FutureWaker(loop) if isinstance(loop, asyncio.AbstractEventLoop) else EventWaker()


def make_crowd_waker() -> Waker:
    """Return one of those that are best when many of them are woken at once."""
    loop = running_loop()
    return TurnWaker(loop) if isinstance(loop, asyncio.AbstractEventLoop) else EventWaker()


class EventWaker:
    """For any event loop that anyio knows."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        self._event = anyio.Event()
        return self._event.wait().__await__()

    def wake(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event.set()

    go_on = wake


class FutureWaker:
    """For asyncio."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        self._future = self._loop.create_future()
        return self._future.__await__()

    def wake(self) -> None:
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_result(None)

    go_on = wake


class TurnWaker:
    """For asyncio: it is itself what the task waits for, again and again.

    A future costs its own making, a handle and a callback's arguments with each wake. For a crowd these are thousands
    of objects at once, which the garbage collector walks through and the processor's cache has no room for. A task
    takes any object with `_asyncio_future_blocking` for a future (documented with `asyncio.isfuture()`).
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_turn", "_waits", "get_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._turn = _turns.get(loop)
        self.get_loop = self._turn.get_loop  # a task calls it with each wait
        self._waits = False
        self._cancelled: asyncio.CancelledError | None = None

    def wake(self) -> None:
        if self._waits:
            self._waits = False
            turn = self._turn
            if not turn.woken:
                turn.schedule()
            turn.woken.append(self)

    def go_on(self) -> None:
        if not self._waits:
            return
        self._waits = False
        loop = self.get_loop()
        current = swap_current_task(loop, None)
        try:
            self._context.run(self._callback, self)  # the task's next step
        except (KeyboardInterrupt, SystemExit) as error:  # are the loop's, not the task's whose step this is within
            loop.call_soon(_reraise, error)
        finally:
            swap_current_task(loop, current)

    # What a task, and anyio, ask of a future

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        return repeat(self, 1)  # type: ignore[return-value]  # a generator would be larger and slower

    def add_done_callback(self, callback: Callback, *, context: Context) -> None:
        self._callback, self._context = callback, context
        self._waits = True

    def done(self) -> bool:
        return not self._waits

    def cancel(self, msg: object = None) -> bool:
        if not self._waits:
            return False
        self._cancelled = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.wake()
        return True

    def result(self) -> None:
        if self._cancelled is not None:
            cancelled, self._cancelled = self._cancelled, None
            raise cancelled


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
        remaining = iter(woken)
        try:
            for waker in remaining:
                waker._context.run(waker._callback, waker)
        finally:  # KeyboardInterrupt and SystemExit leave a task's step, and the loop may be run again
            if left := list(remaining):
                if not self.woken:
                    self.schedule()
                self.woken[:0] = left


def _reraise(error: BaseException) -> None:
    raise error


_NO_VARIABLES = Context()

_turns = PerLoop(_Turn)
