"""The queue layer's ear at one shard: one blocking pop for all the queues that the process takes messages from."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..loops import let_others_run
from .commands import Commands
from .hosts import Host
from .link import Link
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
    ) -> None:
        super().__init__(host, timeout, on_change)
        self._commands = commands
        self._own = own
        self._others = others
        self._on_entry = on_entry
        self._asked: set[str] = set()
        self._turn = 0
        self._client_id = 0
        self._asked_at = float("inf")

    async def update(self) -> None:
        """Have the pop that waits in Redis, if there is one, include all of `others()`."""
        turn = self._turn
        while turn == self._turn and self._up.is_set() and not self._asked.issuperset(self._others()):
            [unblocked] = await self._commands.run([("CLIENT", "UNBLOCK", self._client_id)])
            if unblocked:
                return
            await asyncio.sleep(0.005)  # the pop is on its way to Redis

    async def listen(self, link: Link) -> None:
        self._asked_at = float("inf")
        watch = asyncio.create_task(link.watch(self.timeout, self._is_dead))
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
        """See that Redis lets this connection pop, which a pop that waits would not tell until it ends."""
        link.write(("CLIENT", "ID"), ("MULTI",), ("BZPOPMIN", self._own, BLOCK), ("EXEC",))  # there it does not wait
        self._asked_at = time.monotonic()
        self._client_id, _, _, [first] = [_sound(await link.read()) for _ in range(4)]
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

    def _is_dead(self) -> bool:
        return time.monotonic() - self._asked_at > BLOCK + self.timeout


def _sound(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply
