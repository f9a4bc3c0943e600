"""The pub/sub layer's ear at one shard: one pattern for all of the process' channels, and a subscription per group.

Redis refuses the pattern to a user whose ACL allows channels by a pattern other than this very one. Then there is a
subscription for each of the process' channels, as channels_redis has.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ConnectionError, NoPermissionError

from ..._aio.loops import yield_to_loop
from .hosts import Host
from .listener import Listener
from .pipelined import PipelinedConnection

logger = logging.getLogger("consumers.layers")

QUIET = 5.0
"""Seconds without a message after which Redis is asked for a sign of life."""

THE_END = b"the end"
"""What the last PING of a connection says, by which its answer is known."""

AT_ONCE = 500
"""Names in one command, so that no command keeps Redis from its other clients for long."""


@dataclass(slots=True)
class _Order:
    """A command that Redis has not answered yet.

    Attributes:
        command: its name.
        names: its arguments.
        left: how many answers are due: one for each name, or one error for all.
        is_first: whether it must be answered before everything arrives.
    """

    command: str
    names: list[str]
    left: int
    is_first: bool


class Subscriber(Listener):
    """Keeps the shard's subscriptions equal to what is wanted.

    The difference is worked out when a command is written, never remembered as an order, so that joining and
    leaving cannot overtake each other. All of it runs on one event loop.

    Args:
        host: the shard.
        timeout: see `Listener`.
        on_change: see `Listener`.
        pattern: the pattern of the process' own channels.
        wanted: returns the names to be subscribed to.
        own: returns those to be subscribed to besides where Redis refuses the pattern.
        is_wanted: whether a name is one of them.
        does_without: told a name that Redis refuses; returns whether that is no reason to give the connection up.
        on_message: takes a channel and a payload; returns as `LocalChannels.send`.

    Attributes:
        is_by_name: whether Redis refuses the pattern.
    """

    def __init__(
        self,
        host: Host,
        timeout: float,
        on_change: Callable[[bool], object],
        pattern: str,
        wanted: Callable[[], Iterable[str]],
        own: Callable[[], Iterable[str]],
        is_wanted: Callable[[str], bool],
        does_without: Callable[[str], bool],
        on_message: Callable[[str, bytes], int],
    ) -> None:
        super().__init__(host, timeout, on_change)
        self._pattern = pattern
        self._wanted = wanted
        self._own = own
        self._is_wanted = is_wanted
        self._does_without = does_without
        self._on_message = on_message
        self._asked: set[str] = set()  # names whose latest command was to subscribe
        self._unanswered: Counter[str] = Counter()  # commands per name
        self._orders: deque[_Order] = deque()  # the commands that are not answered yet, oldest first
        self._awaited: Counter[str] = Counter()  # calls of `until_subscribed()` per name
        self._refusals: dict[str, NoPermissionError] = {}  # of names that are awaited
        self.is_by_name = False
        self._waiters: dict[str, asyncio.Event] = {}
        self._heard = 0.0
        self._pinged_at: float | None = None

    def is_subscribed(self, name: str) -> bool:
        """Whether messages for a name arrive, without the pattern; from any thread."""
        return self._up.is_set() and name in self._asked and name not in self._unanswered

    def update(self, name: str) -> None:
        """Subscribe to a name, or unsubscribe from it, if that is not done yet."""
        if self._link is None or not self._link.is_open:
            return  # all that is wanted is asked for at the next connection
        if self._is_wanted(name):
            if name not in self._asked:
                self._write("SUBSCRIBE", [name])
                self._asked.add(name)
        elif name in self._asked:
            self._asked.discard(name)
            self._write("UNSUBSCRIBE", [name])

    def update_all(self) -> None:
        """Unsubscribe from what is not wanted any more."""
        for name in list(self._asked):
            self.update(name)

    async def until_subscribed(self, name: str) -> None:
        """Wait until messages for a name that is wanted arrive.

        Raises:
            redis.exceptions.NoPermissionError: if Redis refuses them to the layer's user.
            redis.exceptions.ConnectionError: if they do not within `timeout`.
        """
        self._awaited[name] += 1
        try:
            async with asyncio.timeout(self.timeout):
                self.update(name)
                while not self._up.is_set() or self._unanswered[name]:
                    if self._is_over:
                        raise TimeoutError
                    await self._waiters.setdefault(name, asyncio.Event()).wait()
            if name in self._refusals:
                raise NoPermissionError(f"Redis at {self.host} refuses channel {name!r:.200}: {self._refusals[name]}")
        except TimeoutError:
            raise ConnectionError(f"No connection to Redis at {self.host}: {self.reason}") from None
        finally:
            self._awaited[name] -= 1
            if not self._awaited[name]:
                del self._awaited[name]
                self._refusals.pop(name, None)

    async def listen(self, link: PipelinedConnection) -> None:
        self._asked.clear()
        self._unanswered.clear()
        self._orders.clear()
        self._refusals.clear()
        self.is_by_name = False
        self._heard, self._pinged_at = time.monotonic(), None
        self._write("PSUBSCRIBE", [self._pattern], is_first=True)
        self._subscribe_first(self._wanted())
        watch = asyncio.create_task(link.watch(self.timeout, self._sign_of_life))
        try:
            while True:
                waiting = self._on_reply(await link.read())
                self._heard, self._pinged_at = time.monotonic(), None
                if waiting is not None:
                    await yield_to_loop(waiting)
        finally:
            watch.cancel()
            self._wake_all()

    def note_up(self) -> None:
        super().note_up()
        self._wake_all()

    def end(self) -> None:
        super().end()
        self._wake_all()

    def _wake_all(self) -> None:
        """Have every call of `until_subscribed()` look again."""
        for waiter in self._waiters.values():
            waiter.set()
        self._waiters.clear()

    async def take_the_rest(self, link: PipelinedConnection) -> None:
        link.write(("PING", THE_END))  # what this process has published before comes before its answer
        while True:
            reply = await link.read()
            if reply == THE_END or (isinstance(reply, list) and reply[-1] == THE_END and reply[0] == b"pong"):
                return
            self._on_reply(reply)

    def _subscribe_first(self, names: Iterable[str]) -> None:
        """Subscribe to names whose answers are waited for before it listens."""
        new = sorted(set(names) - self._asked)
        self._asked.update(new)
        for part in _in_parts(new):
            self._write("SUBSCRIBE", part, is_first=True)

    def _write(self, command: str, names: list[str], is_first: bool = False) -> None:
        assert self._link is not None
        self._link.write((command, *names))
        self._orders.append(_Order(command, names, len(names) or 1, is_first))
        self._unanswered.update(names)

    def _on_reply(self, reply: Any) -> int | None:
        if isinstance(reply, Exception):
            self._on_error(reply)
            return None
        kind = reply[0]
        if kind == b"message":
            return self._on_message(_name(reply[1]), reply[2])
        if kind == b"pmessage":
            # A group whose name has the process' own in it is covered by the pattern too.
            return self._on_message(name, reply[3]) if (name := _name(reply[2])) not in self._asked else None
        if kind in (b"subscribe", b"psubscribe", b"unsubscribe"):
            self._on_answer(reply[1].decode())
        elif reply == b"PONG" or kind == b"pong":  # without any subscription, and with one
            self._orders.popleft()
        return None

    def _on_answer(self, name: str) -> None:
        order = self._orders[0]
        order.left -= 1
        if not order.left:
            self._orders.popleft()
        self._note_answered([name])
        if not order.left:
            self._note_done(order)

    def _note_answered(self, names: Iterable[str]) -> None:
        for name in names:
            self._unanswered[name] -= 1
            if self._unanswered[name] <= 0:
                del self._unanswered[name]
                if name in self._waiters:
                    self._waiters.pop(name).set()

    def _note_done(self, order: _Order) -> None:
        if order.is_first and not any(other.is_first for other in self._orders):
            self.note_up()

    def _on_error(self, error: Exception) -> None:
        """Do without what Redis refuses to the layer's user, if that can be.

        Raises:
            Exception: if it cannot.
        """
        if not self._orders or not isinstance(error, NoPermissionError):
            raise error
        order = self._orders.popleft()
        if order.command == "PSUBSCRIBE":
            self.is_by_name = True
            self._subscribe_first(self._own())
        elif order.command == "SUBSCRIBE" and len(order.names) > 1:  # one of them is reason enough to refuse all
            for name in filter(self._asked.__contains__, order.names):
                self._write("SUBSCRIBE", [name], order.is_first)
        elif order.command == "SUBSCRIBE":
            self._on_refused(order.names[0], error)
        elif order.command != "PING":  # which is a sign of life all the same
            raise error
        self._note_answered(order.names)
        self._note_done(order)

    def _on_refused(self, name: str, error: NoPermissionError) -> None:
        self._asked.discard(name)
        does_without = self._does_without(name)
        if name in self._awaited:
            self._refusals[name] = error
        elif does_without:
            logger.warning("Redis at %s refuses channel %.200r: %s", self.host, name, error)
        else:
            raise error

    def _sign_of_life(self) -> float | None:
        """Ask for a sign of life when it has been quiet; return what is due, for `PipelinedConnection.watch()`."""
        if self._pinged_at is None and time.monotonic() - self._heard > QUIET and self._link is not None:
            self._write("PING", [])
            self._pinged_at = time.monotonic()
        return self._pinged_at


def _in_parts(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]


def _name(channel: bytes) -> str:
    return channel.decode(errors="replace")  # anybody may publish to a name that is no UTF-8
