"""Which channels of a process stand for which keys, and what Redis is yet to be told of that."""

import threading
from collections.abc import Callable, Iterable

from .._local import HAS_ENDED, LocalChannels

Pair = tuple[str, str]
"""A group and a channel."""

Tracking = tuple[str, str]
"""A key, and the meta as JSON."""


class Tracked:
    """What one process tracks. From any thread.

    Args:
        local: the channels and groups of the process.
    """

    def __init__(self, local: LocalChannels) -> None:
        self._local = local
        self._lock = threading.Lock()
        self._by_group: dict[str, dict[str, Tracking]] = {}
        self._groups_of: dict[str, set[str]] = {}
        self._to_untrack: set[Pair] = set()  # that Redis is yet to untrack
        self._unsure: set[Pair] = set()  # that Redis may not know as they are

    def track(self, group: str, channel: str, tracking: Tracking) -> Tracking | None:
        """Have a channel stand for a key; return what it stood for before.

        Raises:
            RuntimeError: if the channel has ended.
        """
        with self._lock:
            if self._local.is_attached_name(channel) and not self._local.has_receiver(channel):
                raise RuntimeError(f"{HAS_ENDED} {channel!r:.200}: nobody is there by it")
            before = self._by_group.get(group, {}).get(channel)
            self._by_group.setdefault(group, {})[channel] = tracking
            self._groups_of.setdefault(channel, set()).add(group)
            self._to_untrack.discard((group, channel))
            return before

    def restore(self, group: str, channel: str, tracking: Tracking, before: Tracking | None) -> None:
        """Undo `track()`, unless something else has followed it; Redis may or may not have been told of it."""
        with self._lock:
            present = self._by_group.get(group, {}).get(channel)
            if present is tracking and before is not None:
                self._by_group[group][channel] = before
            elif present is tracking:
                self._forget(group, channel)
            is_tracked = channel in self._by_group.get(group, ())
            (self._unsure if is_tracked else self._to_untrack).add((group, channel))

    def untrack(self, group: str, channel: str) -> bool:
        """Have a channel stand for nobody any more; return whether it stood for somebody."""
        with self._lock:
            if not self._forget(group, channel):
                return False
            self._to_untrack.add((group, channel))
            return True

    def end(self, channel: str) -> list[str]:
        """Do so in all groups; return those in which it stood for somebody."""
        with self._lock:
            groups = list(self._groups_of.get(channel, ()))
            for group in groups:
                self._forget(group, channel)
                self._to_untrack.add((group, channel))
            return groups

    def get(self, group: str, channel: str) -> Tracking | None:
        """Return what a channel stands for, or None."""
        with self._lock:
            return self._by_group.get(group, {}).get(channel)

    def channels(self, group: str) -> list[str]:
        """Return the channels that are tracked in a group."""
        with self._lock:
            return list(self._by_group.get(group, ()))

    def has(self, group: str) -> bool:
        """Whether a channel is tracked in a group."""
        return group in self._by_group

    def has_any(self) -> bool:
        """Whether anything is tracked."""
        return bool(self._by_group)

    def groups(self) -> list[str]:
        """Return the groups in which channels are tracked."""
        with self._lock:
            return list(self._by_group)

    def of(self, is_wanted: Callable[[str], bool]) -> list[Pair]:
        """Return what is tracked in the groups that are wanted."""
        with self._lock:
            return [(group, name) for group, names in self._by_group.items() if is_wanted(group) for name in names]

    def groups_to_untrack(self) -> set[str]:
        """Return the groups in which Redis is yet to untrack channels."""
        with self._lock:
            return {group for group, _ in self._to_untrack}

    def take_to_untrack(self, is_wanted: Callable[[str], bool]) -> list[Pair]:
        """Take what Redis is yet to untrack in the groups that are wanted."""
        with self._lock:
            taken = [pair for pair in self._to_untrack if is_wanted(pair[0])]
            self._to_untrack.difference_update(taken)
            return taken

    def take_unsure(self, is_wanted: Callable[[str], bool]) -> list[Pair]:
        """Take what Redis may not know as it is."""
        with self._lock:
            taken = [pair for pair in self._unsure if is_wanted(pair[0])]
            self._unsure.difference_update(taken)
            return taken

    def put_back(self, pairs: Iterable[Pair]) -> None:
        """Have Redis be told later of these, as they are then."""
        with self._lock:
            for group, channel in pairs:
                is_tracked = channel in self._by_group.get(group, ())
                (self._unsure if is_tracked else self._to_untrack).add((group, channel))

    def flush(self) -> None:
        """Forget all."""
        with self._lock:
            for table in (self._by_group, self._groups_of, self._to_untrack, self._unsure):
                table.clear()

    def _forget(self, group: str, channel: str) -> bool:
        """Forget a channel; return whether it was tracked. The lock is held."""
        channels = self._by_group.get(group, {})
        if channels.pop(channel, None) is None:
            return False
        if not channels:
            del self._by_group[group]
        groups = self._groups_of[channel]
        groups.discard(group)
        if not groups:
            del self._groups_of[channel]
        return True
