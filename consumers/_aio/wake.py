"""Wakes the one task that waits for something, many times over.

`anyio.Event` does it too, once each, and at twice the cost of a whole message. On asyncio a future stands in for it:
a bare one, or, where a thousand workers are woken by one message, one that is used again and again and shares its
turn of the event loop with the others.
"""

import asyncio
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, Protocol

import anyio

from .loops import running_loop
from .turns import Steps, TurnWaker


class Waker(Protocol):
    """Awaited, by one task at a time, waits for another's `wake()`; cancelling that does no harm."""

    def __await__(self) -> Generator[Any, Any, Any]: ...

    def wake(self) -> None:
        """End a wait that has begun; does nothing if there is none. To be called on the same event loop."""


class CrowdWaker(Waker, Protocol):
    """A waker of which there are thousands, many of them woken at once."""

    @property
    def waits(self) -> bool:
        """Whether a wait has begun that nothing has ended by `wake()`; a cancelled one may count until the next."""

    def go_on(self, as_task: bool = False) -> None:
        """As `wake()`; if the loop allows it, the woken task takes its next step before this returns.

        Args:
            as_task: what is driven will end, or wait for something else, which goes better by the task at once.
        """

    def drive(self, steps: Steps) -> Awaitable[None]:
        """Return what a task is to await to run a generator, which yields this waker wherever it waits for that.

        If the loop allows it, a step from one such wait to the next is taken without the task, although as the task
        and in its context. Everything else goes through it: what the generator awaits, as `types.coroutine` lets it,
        its end, and cancellations.
        """


def make_waker() -> Waker:
    """Return a waker for the running event loop."""
    loop = running_loop()
    return FutureWaker(loop) if isinstance(loop, asyncio.AbstractEventLoop) else EventWaker()


def make_crowd_waker() -> CrowdWaker:
    """Return one of those that are best when many of them are woken at once."""
    loop = running_loop()
    return TurnWaker(loop) if isinstance(loop, asyncio.AbstractEventLoop) else EventWaker()


class EventWaker:
    """For any event loop that anyio knows."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    @property
    def waits(self) -> bool:
        return self._event is not None

    def __await__(self) -> Generator[Any, Any, Any]:
        self._event = anyio.Event()
        return self._event.wait().__await__()

    def wake(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event.set()

    def go_on(self, as_task: bool = False) -> None:
        self.wake()

    @coroutine
    def drive(self, steps: Steps) -> Steps:
        step: Any = steps.send
        result: Any = None
        while True:
            try:
                waits_for = step(result)
            except StopIteration:
                return
            finally:
                result = None  # an error's traceback refers to this frame
            step = steps.send
            try:
                result = (yield from self.__await__()) if waits_for is self else (yield waits_for)
            except BaseException as error:
                step, result = steps.throw, error


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
