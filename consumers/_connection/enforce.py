"""Holds one connection to its limits: its client's messages as they come, and the times by an alarm that seldom rings.

No message and no send touches a timer. They note when they were; an alarm that is due looks at what was noted, and is
set again for the time that is left.
"""

import math
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, NamedTuple

from anyio.abc import TaskGroup

from .._aio.loops import Alarm, running_loop, set_alarm
from ..limits import Limits
from ..types import CloseCode, ConnectionObserver, Message, Send
from .sender import Owner, Sender

BURST_SECONDS = 5
"""Seconds' worth of messages that may come at once unless `rate_burst` says how many."""

TOO_LATE = 0.5
"""Seconds. An alarm later than this judges nobody: the event loop was blocked, and has not seen yet what came."""


class LimitHit(NamedTuple):
    """What happens to a connection that went beyond a limit.

    Args:
        code: the close code.
        limit: which limit, for the log.
        reason: what was wrong, for the client.
    """

    code: int
    limit: str
    reason: str


_NO_LIMITS = Limits()


def _ignore(hit: LimitHit) -> None:
    pass


class Enforcer:
    """Holds one connection to its limits.

    Args:
        limits: the limits.
        on_hit: called with what the connection is to end with; not again after `stop()`.
        send: the server's ASGI `send`.
    """

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_began",
        "_blocked",
        "_full_at",
        "_heard",
        "_interval",
        "_is_paused",
        "_is_stopped",
        "_limits",
        "_loop",
        "_max_size",
        "_on_hit",
        "_send",
        "_slack",
        "_tasks",
    )

    def __init__(self, limits: Limits, on_hit: Callable[[LimitHit], None], send: Send) -> None:
        self._limits = limits
        self._on_hit = on_hit
        self._send: Any = send
        self._interval = self._slack = 0.0
        if limits.rate_limit is not None:
            self._interval = 1 / limits.rate_limit
            burst = limits.rate_burst or max(1, math.ceil(BURST_SECONDS * limits.rate_limit))
            self._slack = (burst - 0.5) * self._interval  # the half absorbs rounding
        self._full_at = 0.0  # when the bucket of tokens is full again
        self._max_size = math.inf if limits.max_message_size is None else limits.max_message_size
        self._began: float | None = None  # while the handshake is pending
        self._heard: float | None = None  # of the client, since it is accepted
        self._blocked: dict[object, float] = {}  # since when each send that waits does, oldest first
        self._alarm: Alarm | None = None
        self._alarm_at = math.inf
        self._is_stopped = False
        self._loop: object
        self._tasks: TaskGroup
        self._is_paused = False

    def start(self, tasks: TaskGroup, is_handshake: bool = True) -> None:
        """Begin.

        Args:
            tasks: the connection's, for the alarm where the event loop has none of its own.
            is_handshake: whether it begins with a handshake.
        """
        self._loop, self._tasks = running_loop(), tasks
        if is_handshake:
            self._began = monotonic()
            self._set_alarm()

    def opened(self) -> None:
        """Note that the handshake was accepted."""
        self._began, self._heard = None, monotonic()
        self._set_alarm()

    def pause(self) -> None:
        """Note that what the client sends is not read for now: it is not idle then."""
        self._is_paused = True

    def resume(self) -> None:
        """Note that it is read again, if it was not."""
        if self._is_paused and self._heard is not None:
            self._heard = monotonic()
        self._is_paused = False

    def stop(self) -> None:
        """Look at nothing more."""
        self._is_stopped = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def release(self) -> None:
        """Forget the connection, which has ended; its sender may still refer to this."""
        self._limits, self._on_hit = _NO_LIMITS, _ignore

    def refuses(self, message: Message) -> bool:
        """Tell whether an event of the client's goes beyond a limit, and end the connection if it does."""
        if message.get("type") != "websocket.receive":
            return False
        self._heard = now = monotonic()
        hit = None
        if self._interval:
            self._full_at = max(self._full_at, now)
            if self._full_at - now > self._slack:
                limit = f"more than rate_limit ({self._limits.rate_limit:g} messages/s)"
                hit = LimitHit(CloseCode.POLICY_VIOLATION, limit, "too many messages")
            self._full_at += self._interval
        if _size(message, self._max_size) > self._max_size:
            limit = f"a message is larger than max_message_size ({self._max_size} bytes)"
            hit = LimitHit(CloseCode.MESSAGE_TOO_BIG, limit, f"messages have {self._max_size} bytes at most")
        if hit is None or self._is_stopped:
            return False
        self._on_hit(hit)
        return True

    async def send(self, event: Message) -> None:
        """Send an ASGI event, and note since when it waits."""
        key = object()
        began = self._blocked[key] = monotonic()
        try:
            if self._alarm is None or self._alarm_at > began + (self._limits.send_timeout or 0):
                self._set_alarm()
            await self._send(event)
        finally:
            del self._blocked[key]

    # The alarm

    def _times(self, now: float) -> Iterator[tuple[float, LimitHit]]:
        """Yield what would end the connection, and when."""
        limits = self._limits
        if limits.handshake_timeout is not None and self._began is not None:
            limit = f"the handshake was not answered within handshake_timeout ({limits.handshake_timeout:g} s)"
            hit = LimitHit(CloseCode.TRY_AGAIN_LATER, limit, "the handshake took too long")
            yield self._began + limits.handshake_timeout, hit
        if limits.idle_timeout is not None and self._heard is not None:
            limit = f"no message came within idle_timeout ({limits.idle_timeout:g} s)"
            hit = LimitHit(CloseCode.GOING_AWAY, limit, f"no message within {limits.idle_timeout:g} s")
            yield (now if self._is_paused else self._heard) + limits.idle_timeout, hit
        if limits.send_timeout is not None and self._blocked:
            limit = f"the client did not read for send_timeout ({limits.send_timeout:g} s)"
            hit = LimitHit(CloseCode.TRY_AGAIN_LATER, limit, "you read too slowly")
            yield next(iter(self._blocked.values())) + limits.send_timeout, hit

    def _set_alarm(self) -> None:
        """Let the alarm ring at the next of those times, or leave it, if it rings before."""
        now = monotonic()
        due = min((time for time, _ in self._times(now)), default=math.inf)
        if due == math.inf or self._is_stopped:
            return
        if self._alarm is not None:
            if self._alarm_at <= due:
                return
            self._alarm.cancel()
        self._ring_at(due, now)

    def _ring_at(self, due: float, now: float) -> None:
        self._alarm_at = due
        self._alarm = set_alarm(due - now, self._ring, self._tasks, self._loop)

    def _ring(self) -> None:
        self._alarm = None
        now = monotonic()
        if now - self._alarm_at > TOO_LATE:
            self._ring_at(now + TOO_LATE / 2, now)
            return
        for time, hit in self._times(now):
            if time <= now:
                self._on_hit(hit)
                return
        self._set_alarm()


def make_enforcer(limits: Limits, on_hit: Callable[[LimitHit], None], send: Send) -> Enforcer | None:
    """Return a new connection's enforcer, or None if it has no limit that needs one."""
    if (
        limits.rate_limit is None
        and limits.max_message_size is None
        and limits.handshake_timeout is None
        and limits.idle_timeout is None
        and limits.send_timeout is None
    ):
        return None
    return Enforcer(limits, on_hit, send)


def make_sender(
    send: Send,
    enforcer: Enforcer | None,
    limits: Limits,
    owner: Owner,
    close_timeout: float,
    can_deny: bool,
    observer: ConnectionObserver | None,
) -> Sender:
    """Return a new connection's sender; what its limits do not ask for costs its sends nothing."""
    if enforcer is not None and limits.send_timeout is not None:
        send = enforcer.send
    return Sender(send, owner, close_timeout, can_deny, observer)


def _size(message: Message, most: float) -> int:
    """Return the bytes of a message, exactly only where that decides whether they are more than `most`."""
    text = message.get("text")
    if text is None:
        return len(message.get("bytes") or b"")
    if text.isascii() or len(text) > most or 4 * len(text) <= most:
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))
