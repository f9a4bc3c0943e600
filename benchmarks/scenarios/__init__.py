"""What is measured inside one process, one file for each group of scenarios.

A scenario is an async context manager that sets things up for one peer and yields a function. That function does
the work `count` times and returns the seconds of CPU time that one operation took. Nothing in here waits for
anything but the processor, so CPU time is what a clock would show on an otherwise idle machine.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Self

from ..peers import Peer

Measure = Callable[[int], Awaitable[float]]
Scenario = Callable[[Peer, int], AbstractAsyncContextManager[Measure]]


class Stopwatch:
    """Measures the CPU time of a `with` block."""

    seconds: float

    def __enter__(self) -> Self:
        self.seconds = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.process_time() - self.seconds
