"""Says in the log, while the client still waits, that `connect()` has returned and has decided nothing."""

from collections.abc import Callable

from anyio.abc import TaskGroup

from .._aio.loops import Alarm, running_loop, set_alarm
from .sender import Sender, State

UNDECIDED = 5.0
"""Seconds after which a handshake that `connect()` has left unanswered is worth a warning."""


class Undecided:
    """One handshake that `connect()` has left unanswered.

    Args:
        sender: the connection's.
        warn: says it, and gets the seconds that have passed.
        tasks: the connection's.

    Attributes:
        was_warned_of: whether the log has told of it.
    """

    def __init__(self, sender: Sender, warn: Callable[[float], None], tasks: TaskGroup) -> None:
        self.was_warned_of = False
        self._sender = sender
        self._warn = warn
        self._alarm: Alarm | None = set_alarm(UNDECIDED, self._ring, tasks, running_loop())

    def stop(self) -> None:
        """Warn no more: the connection ends."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self) -> None:
        self._alarm = None
        if self._sender.state is State.CONNECTING:
            self.was_warned_of = True
            self._warn(UNDECIDED)
