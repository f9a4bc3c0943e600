"""Numbers that connections add to, and that a meter reads when a reader asks for them.

An addition to an int costs a tenth of what an instrument's does. Each thread has tallies of its own, so that two event
loops never add to one number at once.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from ..types import Scope
from . import table
from .table import OTHER

PROTOCOLS = frozenset({"websocket", "http", "channel"})

Value = tuple[int, dict[str, str]]
"""A number, and the attributes that it has."""


class HasMailbox(Protocol):
    """A connection whose mailbox is looked at."""

    @property
    def waiting(self) -> int:
        """How many messages wait in it; asked for in any thread."""


class Key(NamedTuple):
    """Whose numbers a tally has."""

    consumer: str
    protocol: str
    thread: int


class Tally:
    """The numbers of one consumer class' connections of one protocol in one thread.

    Args:
        key: whose they are.
    """

    __slots__ = ("attributes", "closed", "dropped", "opened", "received", "sent")

    def __init__(self, key: Key) -> None:
        self.attributes = {table.CONSUMER: key.consumer, table.PROTOCOL: key.protocol}
        self.opened = 0
        self.closed: Counter[str] = Counter()
        self.received = {table.CLIENT: 0, table.FROM_LAYER: 0}
        self.sent = 0
        self.dropped = dict.fromkeys(table.REASONS, 0)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that were dropped."""
        self.dropped[reason] += count


class Tallies:
    """All tallies, and the connections whose mailboxes are looked at.

    Attributes:
        told_apart: close codes of an application's own that are counted one by one.
    """

    def __init__(self) -> None:
        self.told_apart: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._tallies: dict[Key, Tally] = {}
        self._connections: dict[HasMailbox, Tally] = {}

    def tally_for(self, owner: type, scope: Scope) -> Tally:
        """Return what a new connection, which runs in this thread, adds to."""
        protocol = scope["type"] if scope["type"] in PROTOCOLS else OTHER
        key = Key(owner.__name__, protocol, threading.get_ident())
        with self._lock:
            tally = self._tallies.get(key)
            if tally is None:
                tally = self._tallies[key] = Tally(key)
            return tally

    def opened(self, tally: Tally, connection: HasMailbox | None = None) -> None:
        """Count a connection that begins, and look at its mailbox until it ends."""
        tally.opened += 1
        if connection is not None:
            with self._lock:
                self._connections[connection] = tally

    def closed(self, tally: Tally, code: object, connection: HasMailbox | None = None) -> None:
        """Count a connection that has ended.

        Args:
            tally: what it adds to.
            code: its close code, or what stands for one: REJECTED; "" for a protocol that has none.
            connection: what `opened()` got.
        """
        label = code if isinstance(code, str) else table.close_label(code, self.told_apart)
        with self._lock:
            tally.closed[label] += 1
            if connection is not None:
                self._connections.pop(connection, None)

    # What a meter reads

    def readers(self) -> dict[str, Callable[[], list[Value]]]:
        """Return what reads each instrument, by its name."""
        sums, mailboxes = self._sums, self._mailboxes
        return {
            "consumers.connection.active": lambda: sums(lambda tally: {"": tally.opened - tally.closed.total()}),
            "consumers.connection.opened": lambda: sums(lambda tally: {"": tally.opened}),
            "consumers.connection.closed": lambda: sums(lambda tally: tally.closed, table.CLOSE_CODE),
            "consumers.message.received": lambda: sums(lambda tally: tally.received, table.SOURCE),
            "consumers.message.sent": lambda: sums(lambda tally: {"": tally.sent}),
            "consumers.message.dropped": lambda: sums(lambda tally: tally.dropped, table.REASON),
            "consumers.mailbox.messages": lambda: mailboxes(sum),
            "consumers.mailbox.depth": lambda: mailboxes(max),
        }

    def _sums(self, counts: Callable[[Tally], Mapping[str, int]], attribute: str = "") -> list[Value]:
        """Return the sums of what the threads have counted, by the values of one more attribute; "" is none."""
        sums: Counter[tuple[tuple[str, str], ...]] = Counter()
        with self._lock:
            for tally in self._tallies.values():
                for value, count in counts(tally).items():
                    more = {attribute: value} if value else {}
                    sums[tuple({**tally.attributes, **more}.items())] += count
        return [(count, dict(attributes)) for attributes, count in sums.items()]

    def _mailboxes(self, combine: Callable[[list[int]], int]) -> list[Value]:
        depths: dict[tuple[tuple[str, str], ...], list[int]] = {}
        with self._lock:
            for tally in self._tallies.values():  # those without connections too: a gauge would keep its last value
                depths[tuple(tally.attributes.items())] = [0]
            for connection, tally in self._connections.items():
                depths[tuple(tally.attributes.items())].append(connection.waiting)
        return [(combine(values), dict(attributes)) for attributes, values in depths.items()]
