"""What is dropped: said in the log, and a flood of it once per interval."""

import logging
import math
import time

from .._full_mailboxes import WARNING_INTERVAL

logger = logging.getLogger("consumers.layers")


class DroppedLog:
    """Logs what has come from Redis, where anybody may write, and makes no sense; or had no room there."""

    def __init__(self) -> None:
        self._silent_until = -math.inf
        self._unreported = 0

    def note(self, what: str) -> int:
        """Log a line, or count it for the next one.

        Returns:
            0, as `LocalChannels.send` returns for a message that nobody got.
        """
        self._unreported += 1
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + WARNING_INTERVAL
            count, self._unreported = self._unreported, 0
            logger.warning("Redis: %d message(s) dropped since the last such warning, the latest: %s", count, what)
        return 0

    def note_not_copied(self, error: Exception) -> int:
        """Log what a foreign value made of a copy for each receiver; return 0."""
        return self.note(f"it cannot be copied for its receivers ({type(error).__name__}: {error})")
