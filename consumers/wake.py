"""Wakes the one task that waits for something, many times over.

`anyio.Event` does it too, once each, and at twice the cost of a whole message: on asyncio a bare future stands in
for it.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

import anyio

from .layers.loops import running_loop


class Waker(Protocol):
    """Lets one task wait for another's `wake()`."""

    def wait(self) -> Awaitable[Any]:
        """Return what to await at once, by one task at a time; `wake()` ends it. Cancelling it does no harm."""

    def wake(self) -> None:
        """End a wait that has begun; does nothing if there is none. To be called on the same event loop."""


def make_waker() -> Waker:
    """Return the cheapest waker for the running event loop."""
    loop = running_loop()
    return FutureWaker(loop) if isinstance(loop, asyncio.AbstractEventLoop) else EventWaker()


class EventWaker:
    """For any event loop that anyio knows."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def wait(self) -> Awaitable[Any]:
        self._event = anyio.Event()
        return self._event.wait()

    def wake(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event.set()


class FutureWaker:
    """For asyncio."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None

    def wait(self) -> Awaitable[Any]:
        self._future = self._loop.create_future()
        return self._future

    def wake(self) -> None:
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_result(None)
