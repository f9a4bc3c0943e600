"""Calls after some time, for parts of a layer that have no event loop of their own."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from threading import Lock

from .._aio.loops import call_later, call_soon, running_loop

LATE = 1.0
"""Seconds after which a call is overdue: the event loop that was to make it has ended, or hangs."""


class Timers:
    """Has functions called by the event loop that is running, or by another. From any thread.

    Args:
        loops: returns event loops that may run.
    """

    def __init__(self, loops: Callable[[], Iterable[object]]) -> None:
        self._loops = loops
        self._lock = Lock()
        self._numbers = count()
        self._waiting: dict[int, tuple[float, Callable[[], object]]] = {}

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Have a function called after some seconds; at once if there is no event loop.

        A loop may end before that. Then `run_overdue()` calls it.
        """
        number = next(self._numbers)
        with self._lock:
            self._waiting[number] = time.monotonic() + seconds, function
        call = partial(self._call, number)
        here = running_loop()
        if here is not None:
            call_later(here, seconds, call)
            return
        for loop in self._loops():
            try:
                call_soon(loop, partial(call_later, loop, seconds, call))
                return
            except RuntimeError:  # it is closed
                continue
        call()

    def run_overdue(self) -> None:
        """Call what no event loop has called in time."""
        if not self._waiting:
            return
        until = time.monotonic() - LATE
        with self._lock:
            overdue = [number for number, (due, _) in self._waiting.items() if due < until]
        for number in overdue:
            self._call(number)

    def _call(self, number: int) -> None:
        with self._lock:
            waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting[1]()
