"""The logs of groups with history in one process' memory; nothing of them survives it."""

from collections.abc import Callable
from typing import Any

from ..types import Message
from ._copy import choose_copier
from ._history import Joined, Page, Position, Retention, new_tag
from ._local import EMPTY_GROUP, LocalChannels, note_unheard
from ._log import Entry, Log
from ._options import require_new

SWEEP = 10.0
"""Seconds between two looks for logs that have expired."""

SWEPT_AT_ONCE = 100
"""Logs that one operation looks at."""


class ExpiringLog(Log):
    """A group's log, and until when it is kept.

    Args:
        retention: how much is kept.
        now: the time.

    Attributes:
        messages_until: when its messages expire.
        until: when it is forgotten, and its positions with it.
    """

    __slots__ = ("_ids", "_retention", "messages_until", "until")

    def __init__(self, retention: Retention, now: float) -> None:
        super().__init__(Position(new_tag(), new_tag(), 0))
        self._retention = retention
        self._ids: dict[str, tuple[float, Position]] = {}  # oldest first
        self.messages_until = now
        self.touch(now)

    def touch(self, now: float) -> None:
        """Take note that a channel joined, or a message was added."""
        self.until = now + self._retention.epoch_seconds

    def add(self, message: Message, excluded: frozenset[str], id: str | None, now: float) -> bool:
        """Add a message; return False if it is there already, by its id."""
        if id is not None and id in self._ids:
            return False
        self.append(Entry(self.place.following(new_tag()), message, excluded))
        self.trim(self._retention.size)
        self.messages_until = now + self._retention.ttl
        self.touch(now)
        if id is not None:
            self._ids[id] = now + self._retention.id_seconds, self.place
        return True

    def place_of(self, id: str | None) -> Position:
        """Return the place of the message with this id; None: the newest."""
        return self.place if id is None else self._ids[id][1]

    def expire(self, now: float) -> None:
        """Drop what has expired."""
        while self._ids and (oldest := next(iter(self._ids.items())))[1][0] <= now:
            del self._ids[oldest[0]]
        if self.messages_until <= now:
            self.trim(0)


class MemoryHistory:
    """The logs of a layer in memory.

    Args:
        local: the layer's channels and groups.
        clock: returns the time in seconds.
    """

    def __init__(self, local: LocalChannels, clock: Callable[[], float]) -> None:
        self._local = local
        self._clock = clock
        self._logs: dict[str, ExpiringLog] = {}
        self._next_sweep = clock() + SWEEP
        self._to_sweep: list[str] = []

    def join(self, group: str, retention: Retention, channel: str, since: str | None, last: int) -> Joined:
        """Add a channel to a group.

        Raises:
            ValueError: `since` or `last` for a member.
        """
        with self._local.lock:
            log = self._log(group, retention)
            log.touch(self._clock())
            if self._local.is_member(group, channel):
                require_new(group, channel, since, last)
                self._local.renew(group, channel)
                return Joined(str(log.place), True, 0)
            cursor, joined = log.plan(since, last, channel)
            self._local.renew(group, channel)
            self._local.follow(group, channel, log, cursor)
        self._local.feeds.advance(group)
        return joined

    def publish(
        self, group: str, retention: Retention, message: Message, id: str | None, excluded: frozenset[str]
    ) -> tuple[str, int]:
        """Add a message to a group's log, and hand it over.

        Returns:
            The message's position, and how many messages wait; see `Feeds.advance()`.
        """
        copy, original = choose_copier(message)
        kept = copy(original)
        with self._local.lock:
            log = self._log(group, retention)
            is_new = log.add(kept, excluded, id, self._clock())
            position = log.place_of(id)
            is_unheard = not self._local.has_group(group)
        if is_unheard:
            note_unheard(message, EMPTY_GROUP, group)
        return str(position), self._local.feeds.advance(group) if is_new else 0

    def page(self, group: str, retention: Retention, since: str | None, limit: int) -> Page:
        """Return messages of a group; see `Layer.history()`."""
        with self._local.lock:
            log = self._log(group, retention)
            position = Position.parse(since)
            is_proven = position is not None and bool(log.proves(position))
            if since is not None and not is_proven:
                return Page([], str(log.place), False)
            newest = log.place.offset
            before = max(newest - limit, log.first - 1) if position is None else position.offset
            entries = [log.entries[offset] for offset in range(before + 1, min(newest, before + limit) + 1)]
            place = entries[-1].place if entries else log.place
        messages: list[dict[str, Any]] = []
        for entry in entries:
            event, copy = entry.event(group, replayed=True)
            messages.append(copy(event))
        return Page(messages, str(place), True)

    def position(self, group: str, retention: Retention) -> str:
        """Return a group's newest place."""
        with self._local.lock:
            return str(self._log(group, retention).place)

    def flush(self) -> None:
        """Forget all logs."""
        with self._local.lock:
            self._logs.clear()

    def _log(self, group: str, retention: Retention) -> ExpiringLog:
        """Return a group's log, without what has expired; the lock is held."""
        now = self._clock()
        self._sweep(now)
        log = self._logs.get(group)
        if log is None or (log.until <= now and not self._local.has_group(group)):
            log = self._logs[group] = ExpiringLog(retention, now)
        log.expire(now)
        return log

    def _sweep(self, now: float) -> None:
        """Look at some of the logs; at all in one go would take long, with the lock held."""
        if not self._to_sweep:
            if now < self._next_sweep:
                return
            self._next_sweep = now + SWEEP
            self._to_sweep = list(self._logs)
        for _ in range(min(SWEPT_AT_ONCE, len(self._to_sweep))):
            group = self._to_sweep.pop()
            log = self._logs.get(group)
            if log is not None:
                log.expire(now)
                if log.until <= now and not self._local.has_group(group):
                    del self._logs[group]
