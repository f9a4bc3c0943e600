"""A client's timers: one task waits for the next of them, on a clock that can be another one."""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import anyio

MOST_CANCELLED = 100
"""Cancelled timers that are kept until they are due, beside as many as there are others."""


class Clock:
    """Where a client gets the time from. Derive from it to test what happens later without waiting for it."""

    def time(self) -> float:
        """Return the seconds since some moment."""
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        """Wait.

        Args:
            seconds: how long.
        """
        await anyio.sleep(seconds)


class Timer:
    """A call that is due at some time."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Do not call; harmless if that is over."""
        self.call = None


class Timers:
    """All timers of a client.

    Args:
        clock: the clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._most = MOST_CANCELLED
        self._sleep: anyio.CancelScope | None = None

    def now(self) -> float:
        """Return the clock's time."""
        return self._clock.time()

    def set(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call a plain function later. It must not raise."""
        if len(self._due) > self._most:
            self._due = [due for due in self._due if due[2].call is not None]
            heapq.heapify(self._due)
            self._most = 2 * len(self._due) + MOST_CANCELLED
        timer = Timer(call)
        due = (self._clock.time() + seconds, next(self._numbers), timer)
        heapq.heappush(self._due, due)
        if self._due[0] is due and self._sleep is not None:
            self._sleep.cancel()
        return timer

    @contextmanager
    def timeout(self, seconds: float | None) -> Iterator[anyio.CancelScope]:
        """Cancel a block after some seconds; None: never."""
        with anyio.CancelScope() as scope:
            timer = None if seconds is None else self.set(seconds, scope.cancel)
            try:
                yield scope
            finally:
                if timer is not None:
                    timer.cancel()

    async def run(self) -> None:
        """Call what is due, for ever."""
        while True:
            self._call_due()
            with anyio.CancelScope() as self._sleep:
                if self._due:
                    await self._clock.sleep(max(0.0, self._due[0][0] - self._clock.time()))
                else:
                    await anyio.sleep_forever()

    def _call_due(self) -> None:
        while self._due and (self._due[0][2].call is None or self._due[0][0] <= self._clock.time()):
            call = heapq.heappop(self._due)[2].call
            if call is not None:
                call()
