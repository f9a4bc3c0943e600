"""Bugs to put into a server, each of which the torture has to find: `python -m tests.torture --bug twice`."""

from collections.abc import Callable
from typing import Any

from consumers.layers._feeds import Feed
from consumers.layers._history import Position
from consumers.layers._log import Entry, Log
from consumers.layers.redis.history import RedisHistory
from consumers.layers.redis.known_log import FOLLOWS, KnownLog, Told

EVERY = 50
"""Of so many times, a bug shows once."""


def none() -> None:
    """All is as it is."""


def twice() -> None:
    """A message that is heard gets a second place in the log of its process."""
    hear, times = KnownLog.hear, iter(range(10**9))

    def heard(self: KnownLog, told: Told, message: Any, excluded: Any) -> int | None:
        wanted = hear(self, told, message, excluded)
        if wanted is None and self.log is not None and next(times) % EVERY == 0:
            for feeds in FEEDS:
                feeds(self.log)
        return wanted

    KnownLog.hear = heard  # type: ignore[method-assign]
    _remember_feeds()


FEEDS: list[Callable[[Log], None]] = []


def _remember_feeds() -> None:
    """Have feeds step back by one message."""
    make = Feed.__init__

    def made(self: Feed, group: str, log: Log, *rest: Any) -> None:
        make(self, group, log, *rest)

        def step_back(other: Log) -> None:
            if other is log and self.head == log.place.offset - 1 and self.head in log.entries:
                entry = log.entries[self.head]
                if entry.message:
                    self._hand_over(self._up_to_date(entry), entry)

        FEEDS.append(step_back)

    Feed.__init__ = made  # type: ignore[assignment,method-assign]


def skips() -> None:
    """Those who are up to date miss a message."""
    next_entry, times = Feed._next_entry, iter(range(10**9))

    def skipping(self: Feed) -> Entry | None:
        entry = next_entry(self)
        return next_entry(self) if entry is not None and next(times) % EVERY == 0 else entry

    Feed._next_entry = skipping  # type: ignore[method-assign]


def skips_in_replay() -> None:
    """Those who lag miss a message."""
    next_for, times = Feed._next_for, iter(range(10**9))

    def skipping(self: Feed, receiver: Any) -> Any:
        found = next_for(self, receiver)
        if found is not None and next(times) % EVERY == 0 and receiver in self.lags:
            self.lags[receiver].cursor = found[3]
            return next_for(self, receiver)
        return found

    Feed._next_for = skipping  # type: ignore[method-assign]


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


def no_checks() -> None:
    """Nobody compares places with Redis' after a reconnect."""

    async def check(self: RedisHistory, shard: int) -> None: ...

    RedisHistory.check = check  # type: ignore[method-assign]


def includes() -> None:
    """Whoever is excluded gets a message all the same, when it lags."""
    up_to_date = Feed._up_to_date

    def everybody(self: Feed, entry: Entry) -> Any:
        entry.excluded = frozenset()
        return up_to_date(self, entry)

    Feed._up_to_date = everybody  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "none": none,
    "twice": twice,
    "skips": skips,
    "skips-in-replay": skips_in_replay,
    "no-tags": no_tags,
    "no-proof": no_proof,
    "silent": silent,
    "no-checks": no_checks,
    "includes": includes,
}
