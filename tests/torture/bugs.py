"""Bugs to put into a server, each of which the torture has to find: `python -m tests.torture --bug twice`."""

from collections.abc import Callable
from itertools import count
from typing import Any

from consumers.layers._feed import Answer, Feed
from consumers.layers._history import Position
from consumers.layers._lag import Lag
from consumers.layers._log import Entry, Log
from consumers.layers._presence_feed import PresenceFeeds
from consumers.layers._receivers import Receiver
from consumers.layers.redis.known_log import FOLLOWS, KnownLog, Told
from consumers.layers.redis.lease import Lease

EVERY = 50
"""Of so many times, a bug shows once."""


def none() -> None:
    """All is as it is."""


def twice() -> None:
    """Those who are up to date get a message twice."""
    hand_over, times = Feed._hand_over, count(1)

    def handed(self: Feed, receivers: list[Receiver], entry: Entry) -> None:
        hand_over(self, receivers, entry)
        if next(times) % EVERY == 0:
            hand_over(self, receivers, entry)

    Feed._hand_over = handed  # type: ignore[method-assign]


def skips() -> None:
    """Those who are up to date miss a message."""
    next_entry, times = Feed._next_entry, count(1)

    def skipping(self: Feed) -> Entry | None:
        entry = next_entry(self)
        return next_entry(self) if entry is not None and next(times) % EVERY == 0 else entry

    Feed._next_entry = skipping  # type: ignore[method-assign]


def skips_in_replay() -> None:
    """Those who lag miss a message."""
    took, times = Lag.took, count(1)

    def skipping(self: Lag, entry: Entry | None, newest: int, turn: int) -> None:
        took(self, entry, newest, turn)
        if entry is not None and self.cursor < newest and next(times) % EVERY == 0:
            self.cursor += 1

    Lag.took = skipping  # type: ignore[method-assign]


def swaps() -> None:
    """Those who lag get a message before the one that comes before it."""
    give, times = Feed._give, count(1)
    kept: dict[Receiver, Any] = {}

    def swapping(self: Feed, receiver: Receiver, event: Any, copy: Any) -> Answer:
        if receiver not in kept and receiver in self.lags and next(times) % EVERY == 0:
            kept[receiver] = event
            return Answer.TAKES
        answer = give(self, receiver, event, copy)
        if answer is Answer.TAKES and receiver in kept:
            give(self, receiver, kept.pop(receiver), copy)
        return answer

    Feed._give = swapping  # type: ignore[method-assign]


def no_tags() -> None:
    """A message whose offset follows is taken for the next one, whatever came before it."""
    hear = KnownLog.hear

    def heard(self: KnownLog, told: Told, message: Any, excluded: Any) -> int | None:
        return hear(self, told._replace(previous=FOLLOWS), message, excluded)

    KnownLog.hear = heard  # type: ignore[method-assign]


def no_proof() -> None:
    """A client's position counts, whatever it has seen there."""

    def proves(self: Log, position: Position) -> bool:
        return position.epoch == self.place.epoch and self.first - 1 <= position.offset <= self.place.offset

    Log.proves = proves  # type: ignore[method-assign]


def silent() -> None:
    """A log that begins again tells nobody."""

    def restarted(self: Log, place: Any) -> None:
        self.restart(place)

    Log.reset = restarted  # type: ignore[method-assign]


def includes() -> None:
    """Whoever is excluded gets a message all the same."""

    def is_for(self: Entry, channel: str) -> bool:
        self.excluded = frozenset()
        return bool(self.message)

    Entry.is_for = is_for  # type: ignore[method-assign]


def ghosts() -> None:
    """The channels of a process that was killed stay."""

    async def reaped(self: Lease, expired: str) -> None:
        pass

    Lease._reap = reaped  # type: ignore[method-assign]


def deaf() -> None:
    """Nobody reads who is there after changes were lost."""

    def lost(self: PresenceFeeds, group: str) -> None:
        pass

    PresenceFeeds.lose = lost  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "none": none,
    "twice": twice,
    "skips": skips,
    "skips-in-replay": skips_in_replay,
    "swaps": swaps,
    "no-tags": no_tags,
    "no-proof": no_proof,
    "silent": silent,
    "includes": includes,
    "ghosts": ghosts,
    "deaf": deaf,
}
