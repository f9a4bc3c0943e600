"""Numbers that connections add to, and that a meter reads when a reader asks for them.

An addition to an int costs a tenth of what an instrument's does. Each thread has counts of its own, so that two event
loops never add to one number at once.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from ..types import Scope
from . import semconv
from .semconv import OTHER

PROTOCOLS = frozenset({"websocket", "http", "channel"})

Value = tuple[int, dict[str, str]]
"""A number, and the attributes that it has."""


class HasMailbox(Protocol):
    """A connection whose mailbox is looked at."""

    waiting: Callable[[], int]
    """Returns how many messages wait in it; called in any thread."""


class Key(NamedTuple):
    """What the numbers of a `Counts` belong to."""

    consumer: str
    protocol: str
    thread: int


class Counts:
    """The numbers of one consumer class' connections of one protocol in one thread.

    Args:
        key: whose they are.
    """

    __slots__ = ("attributes", "closed", "dropped", "opened", "received", "sent")

    def __init__(self, key: Key) -> None:
        self.attributes = {semconv.CONSUMER: key.consumer, semconv.PROTOCOL: key.protocol}
        self.opened = 0
        self.closed: Counter[str] = Counter()
        self.received: dict[str, int] = dict.fromkeys(semconv.SOURCES, 0)
        self.sent = 0
        self.dropped: dict[str, int] = dict.fromkeys(semconv.REASONS, 0)


class Counters:
    """All counts, and the connections whose mailboxes are looked at.

    Attributes:
        told_apart: close codes of an application's own that are counted one by one.
    """

    def __init__(self) -> None:
        self.told_apart: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._by_key: dict[Key, Counts] = {}
        self._connections: dict[HasMailbox, Counts] = {}

    def counts_for(self, owner: type, scope: Scope) -> Counts:
        """Return what a new connection, which runs in this thread, adds to."""
        protocol = scope["type"] if scope["type"] in PROTOCOLS else OTHER
        key = Key(owner.__name__, protocol, threading.get_ident())
        with self._lock:
            counts = self._by_key.get(key)
            if counts is None:
                counts = self._by_key[key] = Counts(key)
            return counts

    def opened(self, counts: Counts, connection: HasMailbox) -> None:
        """Count a connection that begins, and look at its mailbox until it ends."""
        counts.opened += 1
        with self._lock:
            self._connections[connection] = counts

    def closed(self, counts: Counts, label: str, connection: HasMailbox) -> None:
        """Count a connection that has ended.

        Args:
            counts: what it adds to.
            label: what its close code is called; "" for a protocol that has none.
            connection: what `opened()` got.
        """
        with self._lock:
            counts.closed[label] += 1
            self._connections.pop(connection, None)

    # What a meter reads

    def readers(self) -> dict[str, Callable[[], list[Value]]]:
        """Return what reads each instrument, by its name."""
        sums, mailboxes = self._sums, self._mailboxes
        return {
            "consumers.connection.active": lambda: sums(lambda counts: {"": counts.opened - counts.closed.total()}),
            "consumers.connection.opened": lambda: sums(lambda counts: {"": counts.opened}),
            "consumers.connection.closed": lambda: sums(lambda counts: counts.closed, semconv.CLOSE_CODE),
            "consumers.message.received": lambda: sums(lambda counts: counts.received, semconv.SOURCE),
            "consumers.message.sent": lambda: sums(lambda counts: {"": counts.sent}),
            "consumers.message.dropped": lambda: sums(lambda counts: counts.dropped, semconv.REASON),
            "consumers.mailbox.messages": lambda: mailboxes(sum),
            "consumers.mailbox.depth": lambda: mailboxes(max),
        }

    def _sums(self, numbers: Callable[[Counts], Mapping[str, int]], attribute: str = "") -> list[Value]:
        """Return the sums of what the threads have counted, by the values of one more attribute; "" is none."""
        sums: Counter[tuple[tuple[str, str], ...]] = Counter()
        with self._lock:
            for counts in self._by_key.values():
                for value, count in numbers(counts).items():
                    more = {attribute: value} if value else {}
                    sums[tuple({**counts.attributes, **more}.items())] += count
        return [(count, dict(attributes)) for attributes, count in sums.items()]

    def _mailboxes(self, combine: Callable[[list[int]], int]) -> list[Value]:
        depths: dict[tuple[tuple[str, str], ...], list[int]] = {}
        with self._lock:
            for counts in self._by_key.values():  # those without connections too: a gauge would keep its last value
                depths[tuple(counts.attributes.items())] = [0]
            for connection, counts in self._connections.items():
                depths[tuple(counts.attributes.items())].append(connection.waiting())
        return [(combine(values), dict(attributes)) for attributes, values in depths.items()]
