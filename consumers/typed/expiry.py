"""When a connection's token expires: its client is told before, and the connection is closed.

One alarm for each connection that has such a time. It looks at the clock when it rings: an alarm that rings early does
no harm.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .._aio.loops import Alarm
from .._connection.connection import Connection

EXPIRED = 4401
"""The close code."""

LONGEST_ALARM = 60.0
"""Seconds. Later times are looked at again: a clock may be set, and a machine may sleep, as its alarms do."""

UNTIL_OPEN = 1.0
"""Seconds after which a handshake that is still pending is looked at again: only an open socket can be told."""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def checked_time(value: object) -> datetime | None:
    """Return what `expires_at` was set to.

    Raises:
        TypeError: it is no datetime.
        ValueError: it has no time zone.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"expires_at must be a datetime, not {value!r:.80}: write datetime.fromtimestamp(value, UTC)")
    if value.utcoffset() is None:
        raise ValueError(
            f"expires_at must have a time zone, {value} has none: write datetime.fromtimestamp(value, UTC)"
        )
    return value


class Expiry:
    """The time at which one connection's token expires.

    Args:
        connection: the connection.
        notice: seconds before that at which the client is told.
        tell: tells it.
    """

    def __init__(self, connection: Connection, notice: float, tell: Callable[[int], Any]) -> None:
        self._connection = connection
        self._notice = notice
        self._tell = tell
        self._at: datetime | None = None
        self._is_told = False
        self._alarm: Alarm | None = None

    def set(self, at: datetime | None) -> None:
        """Set the time, or another; None: the token does not expire."""
        self.stop()
        self._at = at
        self._is_told = False
        if at is not None and not self._connection.is_ending:
            self._look()

    def opened(self) -> None:
        """Look at the clock: before `connect()` had returned, the client could perhaps not be told."""
        if self._alarm is not None and not self._is_told:
            self.set(self._at)

    def stop(self) -> None:
        """Look at the clock no more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        assert self._at is not None
        left = (self._at - utc_now()).total_seconds()
        if left <= 0:
            self._connection.end(EXPIRED, "the token has expired")
            return
        wait = left
        if not self._is_told:
            wait = left - self._notice
            if wait <= 0 and self._connection.is_open:
                self._is_told = True
                self._tell(round(left))
                wait = left
            elif wait <= 0:
                wait = min(left, UNTIL_OPEN)
        self._alarm = self._connection.set_alarm(min(wait, LONGEST_ALARM), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if not self._connection.is_ending:
            self._look()
