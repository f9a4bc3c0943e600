"""Whether a connection still works: who hears nothing for a while asks, and gives it up without an answer."""

from collections.abc import Callable
from typing import Protocol

from .timers import Timer, Timers

ANSWER_TO_PING = 10.0
"""Seconds."""


class Heard(Protocol):
    """A connection.

    Attributes:
        received: how often something has come, be it a WebSocket's ping.
    """

    received: int


class Heartbeat:
    """Watches one connection at a time.

    It looks now and then whether something has come, so that nothing is to be done for a message.

    Args:
        timers: the client's.
        interval: seconds of silence after which it asks; None: it does not watch.
        ask: sends a ping.
        give_up: called with a reason when there is no answer.
    """

    def __init__(
        self, timers: Timers, interval: float | None, ask: Callable[[], object], give_up: Callable[[str], object]
    ) -> None:
        self._timers = timers
        self._interval = interval
        self._ask = ask
        self._give_up = give_up
        self._timer: Timer | None = None
        self._connection: Heard | None = None
        self._received = 0

    def start(self, connection: Heard) -> None:
        """Watch a connection from now on."""
        self.stop()
        self._connection = connection
        self._rest()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rest(self) -> None:
        if self._interval is not None and self._connection is not None:
            self._received = self._connection.received
            self._timer = self._timers.set(self._interval, self._look)

    def _look(self) -> None:
        assert self._connection is not None
        if self._connection.received != self._received:
            self._rest()
            return
        self._ask()
        self._timer = self._timers.set(ANSWER_TO_PING, self._judge)

    def _judge(self) -> None:
        assert self._connection is not None
        if self._connection.received != self._received:
            self._rest()
        else:
            self._give_up("no answer to a ping")
