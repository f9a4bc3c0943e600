"""What receivers miss because their mailboxes are full: it is counted, and the log is told at most once an interval."""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("consumers.layers")

WARNING_INTERVAL = 60.0
"""Seconds between two warnings that one channel is full."""


class Missed:
    """How many messages one receiver has missed.

    Attributes:
        count: how many in all.
        unreported: how many since the last warning.
        silent_until: no warning comes before this time.
    """

    __slots__ = ("count", "silent_until", "unreported")

    def __init__(self) -> None:
        self.count = self.unreported = 0
        self.silent_until = float("-inf")


class FullMailboxes:
    """Counts for all receivers of a layer. May be called from any thread.

    Args:
        clock: returns the time in seconds.
        level: the level at which the log is told.

    Attributes:
        dropped: how many messages receivers have missed.
    """

    def __init__(self, clock: Callable[[], float], level: int) -> None:
        self.dropped = 0
        self._clock = clock
        self._level = level
        self._lock = threading.Lock()

    def note(self, missed: Missed, name: str, capacity: int) -> None:
        """Count a message that a receiver has missed.

        Args:
            missed: the receiver's count.
            name: its channel's name.
            capacity: how many messages it holds.
        """
        now = self._clock()
        with self._lock:
            self.dropped += 1
            missed.count += 1
            missed.unreported += 1
            if now < missed.silent_until:
                return
            missed.silent_until = now + WARNING_INTERVAL
            unreported, missed.unreported = missed.unreported, 0
        logger.log(
            self._level,
            "Channel %.200r is full (capacity %d): %d message(s) dropped since the last warning, %d in all",
            name,
            capacity,
            unreported,
            missed.count,
        )
