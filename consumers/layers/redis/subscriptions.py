"""The subscriptions of a process at one shard: one pattern for all of its channels, and one subscription per group.

    not asked for ──is wanted: SUBSCRIBE──► asked for ──answered──► subscribed to
          ▲                                     │                        │
          ├───────────────refused───────────────┘                        │
          └──────────is not wanted any more: UNSUBSCRIBE─────────────────┘

Redis refuses the pattern to a user whose ACL allows channels by a pattern other than this very one. Then there is a
subscription for each of the process' channels, as channels_redis has.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from redis.exceptions import ConnectionError, NoPermissionError

from ..._aio.loops import yield_to_loop
from .hosts import Host
from .pipelined import PipelinedConnection
from .reconnect import ReconnectingConnection

logger = logging.getLogger("consumers.layers")

QUIET = 5.0
"""Seconds without a message after which Redis is asked for a sign of life."""

THE_END = b"the end"
"""What the last PING of a connection says, by which its answer is known."""

AT_ONCE = 500
"""Names in one command, so that no command keeps Redis from its other clients for long."""


@dataclass(slots=True)
class _Sent:
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


class Names(Protocol):
    """Which names a process is to hear, and what it does with what comes."""

    def wanted(self, shard: int) -> Iterable[str]:
        """Return the names of a shard to be subscribed to."""

    def own(self, shard: int) -> Iterable[str]:
        """Return those to be subscribed to besides where Redis refuses the pattern."""

    def is_wanted(self, name: str) -> bool:
        """Whether a name is to be subscribed to."""

    def together(self, name: str) -> list[str]:
        """Return the names that one SUBSCRIBE takes: a control channel and this name. Of a control channel: none."""

    def begins(self, shard: int) -> None:
        """Take note of a new connection to a shard."""

    def does_without(self, name: str) -> bool:
        """Take note that Redis refuses a name; return whether that is no reason to give the connection up."""

    def on_message(self, channel: str, payload: bytes) -> int:
        """Take a message; return as `LocalChannels.send`."""


class Subscriptions:
    """Keeps a shard's subscriptions equal to what is wanted.

    The difference is worked out when a command is written, never remembered as an order, so that joining and
    leaving cannot overtake each other. All of it runs on one event loop.

    Args:
        host: the shard.
        timeout: seconds without an answer after which the connection is given up.
        on_change: see `ReconnectingConnection`.
        pattern: the pattern of the process' own channels.
        names: what is wanted.
        shard: the shard's index.

    Attributes:
        connection: what it hears by.
        is_by_name: whether Redis refuses the pattern.
    """

    takes_alone: ClassVar[bool] = False

    def __init__(
        self,
        host: Host,
        timeout: float,
        on_change: Callable[[bool], object],
        pattern: str,
        names: Names,
        shard: int,
    ) -> None:
        self.connection = ReconnectingConnection(host, timeout, on_change)
        self.is_by_name = False
        self._pattern = pattern
        self._names = names
        self._shard = shard
        self._asked: set[str] = set()  # names whose latest command was to subscribe
        self._unanswered: Counter[str] = Counter()  # commands per name
        self._sent: deque[_Sent] = deque()  # the commands that are not answered yet, oldest first
        self._awaited: Counter[str] = Counter()  # calls of `until_subscribed()` per name
        self._refusals: dict[str, NoPermissionError] = {}  # of names that are awaited
        self._waiters: dict[str, asyncio.Event] = {}
        self._heard = 0.0
        self._pinged_at: float | None = None

    def is_subscribed(self, name: str) -> bool:
        """Whether messages for a name arrive, without the pattern; from any thread."""
        return self.connection.is_up and name in self._asked and name not in self._unanswered

    def update(self, name: str) -> None:
        """Subscribe to a name, or unsubscribe from it, if that is not done yet."""
        pipelined = self.connection.pipelined
        if pipelined is None or not pipelined.is_open:
            return  # all that is wanted is asked for at the next connection
        is_wanted = self._names.is_wanted(name)
        if is_wanted == (name in self._asked) or not (names := self._names.together(name)):
            return
        if is_wanted:
            self._write("SUBSCRIBE", names)
            self._asked.update(names)
        else:
            self._asked.difference_update(names)
            self._write("UNSUBSCRIBE", names)

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
            async with asyncio.timeout(self.connection.timeout):
                self.update(name)
                while not self.connection.is_up or self._unanswered[name]:
                    if self.connection.is_over:
                        raise TimeoutError
                    await self._waiters.setdefault(name, asyncio.Event()).wait()
            if name in self._refusals:
                host, why = self.connection.host, self._refusals[name]
                names = " or ".join(f"{each!r:.200}" for each in self._names.together(name))
                raise NoPermissionError(f"Redis at {host} refuses channel {names}: {why}")
        except TimeoutError:
            host, reason = self.connection.host, self.connection.reason
            raise ConnectionError(f"No connection to Redis at {host}: {reason}") from None
        finally:
            self._awaited[name] -= 1
            if not self._awaited[name]:
                del self._awaited[name]
                self._refusals.pop(name, None)

    async def run(self) -> None:
        """Hear from the shard, for ever. Cancelled, it leaves its connection to `take_the_rest()`."""
        while True:
            pipelined = await self.connection.open()
            watch = asyncio.create_task(pipelined.watch(self.connection.timeout, self._sign_of_life))
            try:
                self._begin()
                while True:
                    waiting = self._on_reply(await pipelined.read())
                    self._heard, self._pinged_at = time.monotonic(), None
                    if waiting is not None:
                        await (yield_to_loop(waiting) if waiting else asyncio.sleep(0))
            except Exception as error:
                reason = error
            finally:
                watch.cancel()
            self._wake_all()
            await self.connection.lose(reason)  # not above: it calls functions whose errors have another cause

    def _begin(self) -> None:
        """Subscribe to all that is wanted; a new connection has no subscription."""
        self._asked.clear()
        self._unanswered.clear()
        self._sent.clear()
        self._refusals.clear()
        self.is_by_name = False
        self._heard, self._pinged_at = time.monotonic(), None
        self._names.begins(self._shard)
        self._write("PSUBSCRIBE", [self._pattern], is_first=True)
        self._subscribe_first(self._names.wanted(self._shard))

    def end(self) -> None:
        """Take note that it will not receive again: who waits for it waits in vain."""
        self.connection.end()
        self._wake_all()

    def _wake_all(self) -> None:
        """Have every call of `until_subscribed()` look again."""
        for waiter in self._waiters.values():
            waiter.set()
        self._waiters.clear()

    async def take_the_rest(self, pipelined: PipelinedConnection) -> None:
        """Hand over what this process has published before now, and what has come besides."""
        pipelined.write(("PING", THE_END))  # what this process has published before comes before its answer
        while True:
            reply = await pipelined.read()
            if reply == THE_END or (isinstance(reply, list) and reply[-1] == THE_END and reply[0] == b"pong"):
                return
            self._on_reply(reply)

    def _subscribe_first(self, names: Iterable[str]) -> None:
        """Subscribe to names whose answers are waited for before it is up."""
        new = sorted(set(names) - self._asked)
        for part in _in_parts(new):
            together = [each for name in part for each in self._names.together(name)]
            self._asked.update(together)
            self._write("SUBSCRIBE", together, is_first=True)

    def _write(self, command: str, names: list[str], is_first: bool = False) -> None:
        assert self.connection.pipelined is not None
        self.connection.pipelined.write((command, *names))
        self._sent.append(_Sent(command, names, len(names) or 1, is_first))
        self._unanswered.update(names)

    def _on_reply(self, reply: Any) -> int | None:
        if isinstance(reply, Exception):
            self._on_error(reply)
            return None
        kind = reply[0]
        if kind == b"message":  # anybody may publish to a name that is no UTF-8
            return self._names.on_message(reply[1].decode(errors="replace"), reply[2])
        if kind == b"pmessage":
            name = reply[2].decode(errors="replace")
            # A group whose name has the process' own in it is covered by the pattern too.
            return self._names.on_message(name, reply[3]) if name not in self._asked else None
        if kind in (b"subscribe", b"psubscribe", b"unsubscribe"):
            self._on_answer(reply[1].decode())
        elif reply == b"PONG" or kind == b"pong":  # without any subscription, and with one
            self._sent.popleft()
        return None

    def _on_answer(self, name: str) -> None:
        sent = self._sent[0]
        sent.left -= 1
        if not sent.left:
            self._sent.popleft()
        self._note_answered([name])
        if not sent.left:
            self._note_done(sent)

    def _note_answered(self, names: Iterable[str]) -> None:
        for name in names:
            self._unanswered[name] -= 1
            if self._unanswered[name] <= 0:
                del self._unanswered[name]
                if name in self._waiters:
                    self._waiters.pop(name).set()

    def _note_done(self, sent: _Sent) -> None:
        if sent.is_first and not any(other.is_first for other in self._sent):
            self.connection.note_up()
            self._wake_all()

    def _on_error(self, error: Exception) -> None:
        """Do without what Redis refuses to the layer's user, if that can be.

        Raises:
            Exception: if it cannot.
        """
        if not self._sent or not isinstance(error, NoPermissionError):
            raise error
        sent = self._sent.popleft()
        if sent.command == "PSUBSCRIBE":
            self.is_by_name = True
            self._subscribe_first(self._names.own(self._shard))
        elif sent.command == "SUBSCRIBE" and sent.names != self._names.together(sent.names[-1]):
            for name in filter(self._asked.__contains__, sent.names):  # one of them is reason enough to refuse all
                if names := self._names.together(name):
                    self._write("SUBSCRIBE", names, sent.is_first)
        elif sent.command == "SUBSCRIBE":
            self._asked.difference_update(sent.names)
            self._on_refused(sent.names[-1], error)
        elif sent.command != "PING":  # which is a sign of life all the same
            raise error
        self._note_answered(sent.names)
        self._note_done(sent)

    def _on_refused(self, name: str, error: NoPermissionError) -> None:
        self._asked.discard(name)
        does_without = self._names.does_without(name)
        if name in self._awaited:
            self._refusals[name] = error
        elif does_without:
            logger.warning("Redis at %s refuses channel %.200r: %s", self.connection.host, name, error)
        else:
            raise error

    def _sign_of_life(self) -> float | None:
        """Ask for a sign of life when it has been quiet; return what is due, for `PipelinedConnection.watch()`."""
        if self._pinged_at is None and time.monotonic() - self._heard > QUIET and self.connection.pipelined is not None:
            self._write("PING", [])
            self._pinged_at = time.monotonic()
        return self._pinged_at


def _in_parts(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]
