"""What a layer has in one operating system process; a fork starts with none of it."""

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from .._local import LocalChannels
from .exchange import Exchange
from .owners import Owners
from .round_trips import RoundTrips
from .settings import Settings

ATTACHED = "!c."
"""What the names of consumers' channels have after their process."""

ExchangeT = TypeVar("ExchangeT", bound=Exchange)


class Process(Generic[ExchangeT]):
    """One process of a layer, and the parts that it is made of.

    Args:
        settings: the layer's.
        head: returns what the names of a process' channels begin with, given its id.
        make_exchange: makes its exchange.

    Attributes:
        id: tells it from others.
        head: what the names of its channels begin with.
        attached_prefix: what the names of its consumers' channels begin with.
        local: its channels and groups.
        tasks: what runs beside, and ends with its event loop.
        owners: which event loop owns its connections.
        trips: what it asks of Redis.
        exchange: what it hears from Redis by.
        has_channels: whether `new_channel()` has made some: they belong to no loop, and outlive all.
    """

    def __init__(
        self,
        settings: Settings,
        head: Callable[[str], str],
        make_exchange: Callable[["Process[ExchangeT]"], ExchangeT],
    ) -> None:
        self.id = secrets.token_hex(16)
        self.head = head(self.id)
        self.attached_prefix = self.head.removesuffix("!") + ATTACHED
        self.has_channels = False
        self.tasks: set[asyncio.Future[Any]] = set()
        self._clock_lock = threading.Lock()
        self._latest = 0.0
        self.local = LocalChannels(
            settings.capacity_of,
            settings.expiry,
            settings.group_expiry,
            self.attached_prefix,
            time.monotonic,
            self._on_empty,
            settings.full_level,
            self._on_missing,
            self._on_end,
        )
        self.owners = Owners(self, settings)
        self.trips = RoundTrips(settings, self.owners)
        self.exchange = make_exchange(self)

    def now(self) -> float:
        """Return the time; always a later one, as it is the order of this process' messages in a queue."""
        with self._clock_lock:
            self._latest = max(time.time(), self._latest + 1e-6)
            return self._latest

    def is_own(self, channel: str) -> bool:
        """Whether this is the name of one of this process' own channels."""
        return channel.partition("!")[0].endswith(self.id)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something beside, on the owner loop, whose errors it handles itself."""
        self.note(asyncio.ensure_future(work))

    def note(self, task: "asyncio.Future[Any]") -> None:
        """Take note of something that runs on the owner loop, and ends with it."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _on_empty(self, group: str) -> None:
        self.exchange.on_empty(group)

    def _on_missing(self, group: str, offset: int) -> None:
        self.exchange.on_missing(group, offset)

    def _on_end(self, channel: str) -> None:
        self.exchange.presence.end(channel)
