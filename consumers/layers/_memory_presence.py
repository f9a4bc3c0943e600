"""Who is there, in a layer in memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import RLock

from ._local import HAS_ENDED, LocalChannels
from ._presence import Change, Presence, PresenceOptions, not_tracked
from ._presence_feed import PresenceFeeds, Truth
from ._presence_table import PresenceTable
from ._timers import Timers

SOON = 0.01
"""Seconds between two looks, at least, for who leaves."""


class MemoryPresence:
    """The keys of all groups of a layer. From any thread and event loop.

    Args:
        local: the layer's channels and groups.
        options: the layer's.
        clock: returns the time in seconds.
    """

    def __init__(self, local: LocalChannels, options: PresenceOptions, clock: Callable[[], float]) -> None:
        self._local = local
        self._options = options
        self._clock = clock
        self._lock = RLock()  # what is to be told is heard in the order of its versions
        self._tables: dict[str, PresenceTable] = {}
        self._groups_of: dict[str, set[str]] = {}  # of channels that are tracked
        self._leaving: set[str] = set()  # groups for which a timer runs
        self._version = 0
        self._timers = Timers(local.loops)
        self._feeds = PresenceFeeds(local, options.max_list, self._trackers, self._read, self._timers.later)

    def track(self, group: str, channel: str, key: str, meta: str) -> int:
        """Have a channel stand for a key; return the version.

        Raises:
            PresenceFull: if the key has as many channels as it may.
            RuntimeError: if the channel has ended.
        """
        with self._settled(group):
            if self._local.is_attached_name(channel) and not self._local.has_receiver(channel):
                raise RuntimeError(f"{HAS_ENDED} {channel!r:.200}: nobody is there by it")
            table = self._tables.get(group)
            if table is None:
                table = PresenceTable(self._options.grace)
            changes = table.track(channel, key, meta, self._clock())
            self._tables[group] = table
            self._groups_of.setdefault(channel, set()).add(group)
            version = self._publish(group, changes)
            self._watch(group)  # the key that it stood for before may be in grace
            return version

    def update(self, group: str, channel: str, meta: str) -> int:
        """Give a channel another meta; return the version.

        Raises:
            ValueError: if it is not tracked in the group.
        """
        with self._settled(group):
            if group not in self._groups_of.get(channel, ()):
                raise not_tracked(group, channel)
            return self._publish(group, self._tables[group].update(channel, meta))

    def untrack(self, group: str, channel: str) -> None:
        """Have a channel stand for nobody any more."""
        with self._settled(group):
            groups = self._groups_of.get(channel, set())
            if group in groups:
                groups.remove(group)
                if not groups:
                    del self._groups_of[channel]
                self._publish(group, self._tables[group].untrack(channel, self._clock()))
                self._watch(group)

    def end(self, channel: str) -> None:
        """Take note that a channel has ended."""
        with self._lock:
            groups = list(self._groups_of.get(channel, ()))
        for group in groups:
            self.untrack(group, channel)

    def read(self, group: str) -> Presence:
        """Return who is in a group."""
        with self._settled(group):
            table = self._tables.get(group)
            return Presence({} if table is None else table.read(), self._version_of(group))

    def count(self, group: str) -> int:
        """Return how many keys are in a group."""
        with self._settled(group):
            return len(self._tables.get(group, ()))

    def forget(self, group: str) -> None:
        """Take note that a group has no members any more; the lock of `local` is held."""
        self._feeds.forget(group)

    def flush(self) -> None:
        """Forget all."""
        with self._lock:
            self._tables.clear()
            self._groups_of.clear()
            self._feeds.flush()

    @contextmanager
    def _settled(self, group: str) -> Iterator[None]:
        """Hold the lock, when those have left whose grace is over, and it is told what no event loop has told."""
        self._timers.run_overdue()  # first: it hands messages over
        with self._lock:
            self._settle(group)
            yield

    def _settle(self, group: str) -> None:
        """Let those leave whose grace is over."""
        table = self._tables.get(group)
        if table is not None:
            self._publish(group, table.settle(self._clock()))

    def _publish(self, group: str, changes: list[Change]) -> int:
        """Have the members told; return the version."""
        if changes:
            self._version = max(self._version + 1, time.time_ns() // 1000)  # greater than in an earlier process, too
            table = self._tables[group]
            if not len(table):
                del self._tables[group]
            table.version = self._version
            self._feeds.hear(group, self._version, None, len(table), changes)
        return self._version_of(group)

    def _version_of(self, group: str) -> int:
        """Return the version of the last change of a group, or, if nobody is there, of all groups."""
        table = self._tables.get(group)
        return self._version if table is None else table.version

    def _watch(self, group: str) -> None:
        """Look again when the next key leaves."""
        table = self._tables.get(group)
        if table is not None and table.next_leave is not None and group not in self._leaving:
            self._leaving.add(group)
            self._timers.later(max(SOON, table.next_leave - self._clock()), partial(self._look, group))

    def _look(self, group: str) -> None:
        with self._lock:
            self._leaving.discard(group)
            self._settle(group)
            self._watch(group)

    def _trackers(self, group: str) -> list[str]:
        with self._lock:
            table = self._tables.get(group)
            return [] if table is None else table.channels()

    def _read(self, group: str) -> None:
        with self._lock:
            table = self._tables.get(group)
            members = {} if table is None else table.read()
            truth = Truth(self._version_of(group), len(members), members)
        self._feeds.tell_truth(group, truth)
