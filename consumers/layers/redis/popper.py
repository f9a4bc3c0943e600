"""The queue layer's ear at one shard: one blocking pop for all the queues that the process takes messages from."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..loops import let_others_run
from .commands import Commands
from .hosts import Host
from .link import FAILURES, Command, Link
from .listener import Listener

BLOCK = 5
"""Seconds that a pop waits in Redis before it is asked again."""

AT_ONCE = 64
"""Messages taken together from the process' own queue."""

Entry = tuple[bytes, bytes, float]
"""A key, a payload and the time it was sent at."""


class Popper(Listener):
    """Takes what arrives in the process' own queue, and in the queues of named channels that somebody waits for.

    Args:
        host: the shard.
        timeout: see `Listener`.
        on_change: see `Listener`.
        commands: the shard's.
        own: the key of the queue for attached receivers.
        others: returns the keys of the other queues to take from.
        on_entry: takes an entry; returns as `LocalChannels.send`.
        predecessor: the one of an event loop that runs no more, and may not have ended its connection.
    """

    def __init__(
        self,
        host: Host,
        timeout: float,
        on_change: Callable[[bool], object],
        commands: Commands,
        own: str,
        others: Callable[[], Iterable[str]],
        on_entry: Callable[[Entry], int],
        predecessor: "Popper | None" = None,
    ) -> None:
        super().__init__(host, timeout, on_change)
        self._commands = commands
        self._own = own
        self._others = others
        self._on_entry = on_entry
        self._asked: set[str] = set()
        self._turn = 0
        self._client_id: int | None = None
        self._last: tuple[Any, ...] = () if predecessor is None else predecessor._last
        self._asked_at = float("inf")

    async def update(self) -> None:
        """Have the pop that waits in Redis, if there is one, include all of `others()`."""
        turn = self._turn
        while turn == self._turn and self._up.is_set() and not self._asked.issuperset(self._others()):
            if self._client_id is None:
                return
            try:
                [unblocked] = await self._commands.run([("CLIENT", "UNBLOCK", self._client_id)])
            except FAILURES:  # the pop will end by itself
                return
            if unblocked:
                return
            await asyncio.sleep(0.005)  # the pop is on its way to Redis

    async def listen(self, link: Link) -> None:
        self._asked_at = float("inf")
        watch = asyncio.create_task(link.watch(self.timeout, self._overdue))
        try:
            for entry in await self._probe(link):
                self._on_entry(entry)
            while True:
                self._ask(link)
                for entry in await self._answer(link):
                    await let_others_run(self._on_entry(entry))
        finally:
            watch.cancel()
            self._asked = set()

    async def _probe(self, link: Link) -> list[Entry]:
        """End what the last connection left, and see that Redis lets this one pop.

        A pop that waits would tell only at its end.
        """
        own: list[Command] = [("CLIENT", "ID"), ("CLIENT", "INFO")]
        probe: list[Command] = [("MULTI",), ("BZPOPMIN", self._own, BLOCK), ("EXEC",)]  # there it does not wait
        if self._last:  # lost without Redis' knowing, it would go on taking messages
            link.write(("CLIENT", "KILL", *self._last))
        link.write(*own, *probe)
        self._asked_at = time.monotonic()
        if self._last:
            await link.read()  # a refusal changes nothing
        client_id, info = await link.read(), await link.read()
        self._client_id = None if isinstance(client_id, Exception) else client_id  # Redis may forbid CLIENT
        self._last = () if self._client_id is None else _kill_filter(self._client_id, info)
        _, _, [first] = [_sound(await link.read()) for _ in probe]
        self._asked_at = float("inf")
        return [(first[0], first[1], float(first[2]))] if first else []

    def _ask(self, link: Link) -> None:
        others = sorted(self._others())
        self._asked = set(others)
        self._turn += 1
        start = self._turn % len(others) if others else 0  # Redis takes from the first key that has something
        keys = [self._own, *others[start:], *others[:start]]
        if self._turn % 2:
            keys = [*keys[1:], keys[0]]
        link.write(("BZPOPMIN", *keys, BLOCK), ("ZPOPMIN", self._own, AT_ONCE))
        self._asked_at = time.monotonic()
        self.note_up()  # what arrives from now on waits in Redis

    async def _answer(self, link: Link) -> list[Entry]:
        first, rest = _sound(await link.read()), _sound(await link.read())
        self._asked_at = float("inf")
        entries = [(first[0], first[1], float(first[2]))] if first else []
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return entries + [(self._own.encode(), payload, float(score)) for payload, score in pairs]

    def _overdue(self) -> int | None:
        """Return the turn whose pop has waited for its whole time, as `Link.watch()` takes it."""
        return self._turn if time.monotonic() - self._asked_at > BLOCK else None


def _kill_filter(client_id: int, info: Any) -> tuple[Any, ...]:
    """Return what CLIENT KILL knows a connection by; by its id alone, another server's might be meant.

    Args:
        client_id: its id.
        info: what Redis replied to CLIENT INFO, which it has from version 6.2.
    """
    found = re.search(rb"(?:^| )addr=(\S+)", info) if isinstance(info, bytes) else None
    return ("ID", client_id, *(("ADDR", found[1]) if found else ()))


def _sound(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply
