"""Whether a connection still works: who hears nothing for a while asks, and gives it up without an answer."""

from collections.abc import Callable

from .timers import Timer, Timers

ANSWER_TO_PING = 10.0
"""Seconds."""


class Heartbeat:
    """Watches one connection at a time.

    For what comes it takes note of the time alone. A timer that rings looks at that, and rings again if it was early.

    Args:
        timers: the client's.
        interval: seconds of silence after which it asks; None: it does not watch.
        ask: sends a ping.
        give_up: called with a reason when there is no answer.

    Attributes:
        is_answered: whether this connection's consumer speaks the protocol. Others would take a ping for a message.
    """

    def __init__(
        self, timers: Timers, interval: float | None, ask: Callable[[], object], give_up: Callable[[str], object]
    ) -> None:
        self._timers = timers
        self._interval = interval
        self._ask = ask
        self._give_up = give_up
        self.is_answered = True
        self._timer: Timer | None = None
        self._heard_at = 0.0
        self._asked_at = 0.0

    def start(self) -> None:
        """Watch a connection from now on."""
        self.stop()
        self.heard()
        if self._interval is not None and self.is_answered:
            self._timer = self._timers.set(self._interval, self._look)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self) -> None:
        """Take note that something has come, be it a WebSocket's ping."""
        self._heard_at = self._timers.now()

    def _look(self) -> None:
        assert self._interval is not None
        left = self._heard_at + self._interval - self._timers.now()
        if left > 0:
            self._timer = self._timers.set(left, self._look)
            return
        self._asked_at = self._timers.now()
        self._ask()
        self._timer = self._timers.set(ANSWER_TO_PING, self._judge)

    def _judge(self) -> None:
        if self._heard_at >= self._asked_at:
            self._look()
        else:
            self._give_up("no answer to a ping")
