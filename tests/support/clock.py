"""A clock that a test sets."""

import anyio

from consumers.client import Clock


class ManualClock(Clock):
    """Stands still until it is advanced."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def time(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        sleeper = self._now + seconds, anyio.Event()
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        for due, event in self._sleepers:
            if due <= self._now:
                event.set()
