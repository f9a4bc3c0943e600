"""Reads, for one shard, who is in groups of which something may have been lost: some at a time, however many wait."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice

AT_ONCE = 50
"""Groups that are read together: thousands would keep the event loop, and what others ask of Redis, waiting."""


class Truths:
    """Reads one part of the groups after the other. On the owner loop.

    Args:
        read: reads a group; it handles its own errors.
    """

    def __init__(self, read: Callable[[str], Awaitable[None]]) -> None:
        self._read = read
        self._wanted: dict[str, None] = {}  # in order
        self._has_some: asyncio.Event | None = None

    def want(self, group: str) -> None:
        """Have a group read soon."""
        self._wanted[group] = None
        if self._has_some is not None:
            self._has_some.set()

    def forget(self) -> None:
        """Forget what is wanted."""
        self._wanted.clear()

    async def read_forever(self) -> None:
        """Read what is wanted."""
        has_some = self._has_some = asyncio.Event()
        try:
            while True:
                part = list(islice(self._wanted, AT_ONCE))
                for group in part:
                    del self._wanted[group]
                if part:
                    await asyncio.gather(*map(self._read, part))
                else:
                    has_some.clear()
                    await has_some.wait()
        finally:
            if self._has_some is has_some:  # it refers to this event loop, which ends
                self._has_some = None
