"""Calls after some time, for parts of a layer that have no event loop of their own."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from threading import Lock

from .._aio.loops import call_later, call_soon, is_closed, loop_here

LATE = 1.0
"""Seconds after which a call is overdue: the event loops that were to make it hang. Also between two looks for such."""


class Timers:
    """Has functions called by event loops, each by the first that has the time. From any thread.

    Args:
        loops: returns the event loops that live long enough: those of receivers, say. If there is none, the one that
            is running is to make the call.
    """

    def __init__(self, loops: Callable[[], Iterable[object]]) -> None:
        self._loops = loops
        self._lock = Lock()
        self._numbers = count()
        self._waiting: dict[int, tuple[float, Callable[[], object]]] = {}
        self._of_loop: dict[object | None, set[int]] = {}  # what each is to call; None: what no loop is to
        self._next_look = 0.0

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Have a function called after some seconds.

        All loops may end before that, or there is none. Then `run_overdue()` sees to it.
        """
        number = next(self._numbers)
        with self._lock:
            self._waiting[number] = time.monotonic() + seconds, function
        self._set(number, seconds)

    def run_overdue(self) -> None:
        """Call what is overdue, and have loops that run call what others were to that have ended."""
        if not self._waiting:
            return
        now = time.monotonic()
        here = loop_here()
        is_new = here is not None and here not in self._of_loop and here in self._loops()
        with self._lock:
            numbers = [number for loop in self._ended_loops(here) for number in self._of_loop.pop(loop, ())]
            if is_new:  # others may hang, or never run again
                numbers = list(self._waiting)
            orphans = [(number, self._waiting[number][0]) for number in numbers if number in self._waiting]
            overdue = []
            if now >= self._next_look:
                self._next_look = now + LATE
                overdue = [number for number, (due, _) in self._waiting.items() if due < now - LATE]
        for number, due in orphans:
            self._set(number, max(0.0, due - now))
        for number in overdue:
            self._call(number)

    def _ended_loops(self, here: object | None) -> list[object | None]:
        return [loop for loop in self._of_loop if loop is None or (loop is not here and is_closed(loop))]

    def _set(self, number: int, seconds: float) -> None:
        call = partial(self._call, number)
        here = loop_here()
        loops: list[object | None] = []
        for loop in self._loops():
            if loop is here:
                call_later(loop, seconds, call)
            else:
                try:
                    call_soon(loop, partial(call_later, loop, seconds, call))
                except RuntimeError:  # it is closed
                    continue
            loops.append(loop)
        if not loops:
            loops.append(here)
            if here is not None:
                call_later(here, seconds, call)
        with self._lock:
            if number in self._waiting:
                for loop in loops:
                    self._of_loop.setdefault(loop, set()).add(number)

    def _call(self, number: int) -> None:
        with self._lock:
            waiting = self._waiting.pop(number, None)
            for loop in [loop for loop, numbers in self._of_loop.items() if number in numbers]:
                self._of_loop[loop].discard(number)
                if not self._of_loop[loop]:
                    del self._of_loop[loop]
        if waiting is not None:
            waiting[1]()
