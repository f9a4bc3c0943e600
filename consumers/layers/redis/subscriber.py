"""The pub/sub layer's ear at one shard: one pattern for all of the process' channels, and a subscription per group."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redis.exceptions import ConnectionError

from ..loops import let_others_run
from .hosts import Host
from .link import Link
from .listener import Listener

QUIET = 5.0
"""Seconds without a message after which Redis is asked for a sign of life."""

THE_END = b"the end"
"""What the last PING of a connection says, by which its answer is known."""

AT_ONCE = 500
"""Names in one command, so that no command keeps Redis from its other clients for long."""


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
        is_wanted: whether a name is one of them.
        on_message: takes a channel and a payload; returns as `LocalChannels.send`.
    """

    def __init__(
        self,
        host: Host,
        timeout: float,
        on_change: Callable[[bool], object],
        pattern: str,
        wanted: Callable[[], Iterable[str]],
        is_wanted: Callable[[str], bool],
        on_message: Callable[[str, bytes], int],
    ) -> None:
        super().__init__(host, timeout, on_change)
        self._pattern = pattern
        self._wanted = wanted
        self._is_wanted = is_wanted
        self._on_message = on_message
        self._asked: set[str] = set()  # names whose latest command was to subscribe
        self._unanswered: Counter[str] = Counter()  # commands per name
        self._waiters: dict[str, asyncio.Event] = {}
        self._first_answers = 0
        self._heard = 0.0
        self._pinged_at: float | None = None

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
            redis.exceptions.ConnectionError: if they do not within `timeout`.
        """
        try:
            async with asyncio.timeout(self.timeout):
                self.update(name)
                while not self._up.is_set() or self._unanswered[name]:
                    waiting = self._unanswered[name]
                    await (self._waiters.setdefault(name, asyncio.Event()) if waiting else self._up).wait()
        except TimeoutError:
            raise ConnectionError(f"No connection to Redis at {self.host}: {self.reason}") from None

    async def listen(self, link: Link) -> None:
        self._asked = set(self._wanted())
        self._first_answers = len(self._asked) + 1
        self._unanswered.clear()
        self._heard, self._pinged_at = time.monotonic(), None
        self._unanswered[self._pattern] += 1
        link.write(("PSUBSCRIBE", self._pattern))
        for names in _in_parts(sorted(self._asked)):
            self._write("SUBSCRIBE", names)
        watch = asyncio.create_task(link.watch(self.timeout, self._sign_of_life))
        try:
            while True:
                waiting = self._on_reply(await link.read())
                self._heard, self._pinged_at = time.monotonic(), None
                if waiting is not None:
                    await let_others_run(waiting)
        finally:
            watch.cancel()
            for waiter in self._waiters.values():
                waiter.set()
            self._waiters.clear()

    async def take_the_rest(self, link: Link) -> None:
        link.write(("PING", THE_END))  # what this process has published before comes before its answer
        while True:
            reply = await link.read()
            if reply == THE_END or (isinstance(reply, list) and reply[-1] == THE_END and reply[0] == b"pong"):
                return
            self._on_reply(reply)

    def _write(self, command: str, names: list[str]) -> None:
        assert self._link is not None
        self._link.write((command, *names))
        self._unanswered.update(names)

    def _on_reply(self, reply: Any) -> int | None:
        if isinstance(reply, Exception):
            raise reply
        kind = reply[0]
        if kind == b"message":
            return self._on_message(_name(reply[1]), reply[2])
        if kind == b"pmessage":
            # A group whose name has the process' own in it is covered by the pattern too.
            return self._on_message(name, reply[3]) if (name := _name(reply[2])) not in self._asked else None
        if kind in (b"subscribe", b"psubscribe", b"unsubscribe"):
            self._on_answer(reply[1].decode())
        return None

    def _on_answer(self, name: str) -> None:
        self._unanswered[name] -= 1
        if self._unanswered[name] <= 0:
            del self._unanswered[name]
            if name in self._waiters:
                self._waiters.pop(name).set()
        self._first_answers -= 1
        if self._first_answers == 0:
            self.note_up()

    def _sign_of_life(self) -> float | None:
        """Ask for a sign of life when it has been quiet; return what is due, as `Link.watch()` takes it."""
        if self._pinged_at is None and time.monotonic() - self._heard > QUIET and self._link is not None:
            self._link.write(("PING",))
            self._pinged_at = time.monotonic()
        return self._pinged_at


def _in_parts(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]


def _name(channel: bytes) -> str:
    return channel.decode(errors="replace")  # anybody may publish to a name that is no UTF-8
