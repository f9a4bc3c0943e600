"""How members are told who comes and goes: changes are gathered, and what was lost is made good by the whole list.

up to date ──a change is heard──▶ has changes to tell ──GATHER──▶ told ──▶ up to date
    │                                                               │
    │ a change was lost, for all                                    │ somebody had no room for it
    ▼                                                               ▼
the truth is being read: what is heard meanwhile waits ──▶ told to those who need it ──▶ up to date
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import NamedTuple

from ..types import Message
from ._local import LocalChannels
from ._presence import GATHER, Change, Kind, counted, diff, state
from ._presence_table import Metas
from ._receivers import Receiver

RETRY = 1.0
"""Seconds until a member that had no room for a message about presence is sent the whole list."""

LONGEST_RETRY = 8.0
"""Seconds, doubled with each try, until one is tried again that has no room for that either."""

Later = Callable[[float, Callable[[], object]], object]
"""Has a function called after some seconds."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Who is in a group.

    Attributes:
        version: which changes it has in it, at least.
        count: how many keys.
        members: the metas of each key; None if they are too many to be told.
    """

    version: int
    count: int
    members: dict[str, Metas] | None


class _Untold(NamedTuple):
    """What members are to be told of one key.

    Attributes:
        first: the first of its changes that they have not been told.
        last: the last one.
        version: that of the last one.
    """

    first: Kind
    last: Change
    version: int

    def merged(self) -> Change:
        """Return all its changes as one.

        Who has come and gone is told to have left: somebody may have read the list meanwhile.
        """
        if self.last.kind == "leaves":
            return self.last
        return self.last._replace(kind="joins" if self.first == "joins" else "updates")


class _Feed:
    """What the members of one group know and are to know.

    Attributes:
        version: that of the last change that was heard, or of the truth; None: none was.
        count: how many keys there were then.
        untold: changes, by key.
        is_timed: whether `untold` will be told soon.
        is_read: whether the truth is being read.
        is_outdated: whether it has to be read again, as something may have been lost meanwhile.
        all_behind: whether all members need it.
        behind: the channels that need it beside.
        retry: seconds until those are tried again.
        is_counted: whether members have only been told how many there are.
    """

    __slots__ = (
        "all_behind",
        "behind",
        "count",
        "is_counted",
        "is_outdated",
        "is_read",
        "is_timed",
        "retry",
        "untold",
        "version",
    )

    def __init__(self) -> None:
        self.version: int | None = None
        self.count = 0
        self.untold: dict[str, _Untold] = {}
        self.is_timed = False
        self.is_read = False
        self.is_outdated = False
        self.all_behind = False
        self.behind: set[str] = set()
        self.retry = RETRY
        self.is_counted = False


class PresenceFeeds:
    """Tells the members of one process' groups, and those who track themselves there. From any thread.

    Args:
        local: the channels and groups of the process.
        max_list: see `PresenceOptions`.
        trackers: returns the channels of this process that are tracked in a group.
        read: has the truth of a group read; `tell_truth()` is to be called then.
        later: see `Later`.
    """

    def __init__(
        self,
        local: LocalChannels,
        max_list: int,
        trackers: Callable[[str], Iterable[str]],
        read: Callable[[str], object],
        later: Later,
    ) -> None:
        self._local = local
        self._max_list = max_list
        self._trackers = trackers
        self._read = read
        self._later = later
        self._lock = Lock()
        self._feeds: dict[str, _Feed] = {}

    def groups(self) -> dict[str, int | None]:
        """Return the groups whose members have been told something, and the version that they know."""
        with self._lock:
            return {group: feed.version for group, feed in self._feeds.items()}

    def version_of(self, group: str) -> int:
        """Return the version that the members of a group know, or 0."""
        feed = self._feeds.get(group)
        return 0 if feed is None else feed.version or 0

    def restart(self) -> list[str]:
        """Take note that nothing runs any more that was to be called later; return all groups."""
        with self._lock:
            for feed in self._feeds.values():
                feed.is_timed = feed.is_read = feed.is_outdated = False
            return list(self._feeds)

    def hear(self, group: str, version: int, previous: int | None, count: int, changes: Collection[Change]) -> None:
        """Take changes of a group.

        Args:
            group: the group.
            version: the group's, with these changes.
            previous: the group's, before them; None: nothing can have been lost.
            count: how many keys it has now.
            changes: the changes.
        """
        with self._lock:
            feed = self._feeds.setdefault(group, _Feed())
            if feed.version is not None and version <= feed.version:
                return
            expected = (feed.version, 0 if feed.count == 0 else feed.version)  # an empty group may have no version
            is_hole = feed.version is not None and previous is not None and previous not in expected
            if feed.version is None:  # then members may have been told what an earlier feed of the group no longer says
                feed.is_counted = _count_before(count, changes) > self._max_list
            feed.version, feed.count = version, count
            for change in changes:
                earlier = feed.untold.get(change.key)
                feed.untold[change.key] = _Untold(earlier.first if earlier else change.kind, change, version)
            is_new, feed.is_timed = not feed.is_timed, True
        if is_hole:
            self.lose(group)
        if is_new:
            self._later(GATHER, partial(self._tell_changes, group))

    def lose(self, group: str) -> None:
        """Take note that changes of a group may have been lost."""
        with self._lock:
            feed = self._feeds.setdefault(group, _Feed())
            feed.all_behind = True
            is_new, feed.is_read = not feed.is_read, True
            feed.is_outdated = not is_new
        if is_new:
            self._read(group)

    def tell_truth(self, group: str, truth: Truth) -> None:
        """Tell those who need it who is in a group, and then what has been heard since."""
        with self._lock:
            feed = self._feeds.get(group)
            if feed is None or not feed.is_read:
                return
            is_outdated, feed.is_outdated = feed.is_outdated, False
            if not is_outdated:
                message, to_all, behind = self._take(feed, group, truth)
                is_new = bool(feed.untold) and not feed.is_timed
                feed.is_timed |= is_new
        if is_outdated:
            self._read(group)
            return
        self._tell(group, message, None if to_all else behind)
        if is_new:
            self._later(GATHER, partial(self._tell_changes, group))

    def forget(self, group: str) -> None:
        """Take note that a group has no members any more, unless somebody else is to be told something of it."""
        with self._lock:
            feed = self._feeds.get(group)
            if feed is not None and not (feed.untold or feed.is_read or feed.behind):
                del self._feeds[group]

    def flush(self) -> None:
        """Forget all groups."""
        with self._lock:
            self._feeds.clear()

    def _take(self, feed: _Feed, group: str, truth: Truth) -> tuple[Message, bool, set[str]]:
        """Take the truth that was read; return what says so, whether all members get it, or which; the lock is held."""
        feed.is_read = False
        to_all, feed.all_behind = feed.all_behind, False
        behind, feed.behind = feed.behind, set()
        members = truth.members if truth.count <= self._max_list else None
        feed.is_counted = members is None or (feed.is_counted and not to_all)
        if to_all:
            self._start_from(feed, truth)
        if members is None:
            return counted(group, truth.count, truth.version), to_all, behind
        return state(group, members, truth.version), to_all, behind

    def _start_from(self, feed: _Feed, truth: Truth) -> None:
        """Have the truth be what all members know; the lock is held."""
        if feed.version is None or truth.version >= feed.version:
            feed.version, feed.count = truth.version, truth.count
        known = truth.members or {}
        feed.untold = {
            key: untold._replace(first="updates" if key in known else "joins")
            for key, untold in feed.untold.items()
            if untold.version > truth.version
        }

    def _tell_changes(self, group: str) -> None:
        with self._lock:
            feed = self._feeds.get(group)
            if feed is None:
                return
            feed.is_timed = False
            if not feed.behind:
                feed.retry = RETRY
            if feed.is_read or not feed.untold:
                return  # they are told after the truth
            if feed.count <= self._max_list and feed.is_counted:
                message = None  # they do not know the others
            else:
                changes = [untold.merged() for untold in feed.untold.values()]
                feed.untold = {}
                feed.is_counted = feed.count > self._max_list
                version = feed.version or 0
                message = counted(group, feed.count, version) if feed.is_counted else diff(group, changes, version)
        if message is None:
            self.lose(group)
        else:
            self._tell(group, message)

    def _tell(self, group: str, message: Message, only: Iterable[str] | None = None) -> None:
        """Send members and trackers a message; those that have no room for it get the whole list later."""
        trackers = self._trackers(group)
        has_any = self._local.tell(message, group, trackers, only, partial(self._note_full, group))
        if not has_any:
            with self._lock:
                self._feeds.pop(group, None)

    def _note_full(self, group: str, receiver: Receiver) -> None:
        with self._lock:
            feed = self._feeds.setdefault(group, _Feed())
            is_new = not feed.behind
            feed.behind.add(receiver.name)
            seconds = feed.retry
            if is_new:
                feed.retry = min(2 * seconds, LONGEST_RETRY)
        if is_new:
            self._later(seconds, partial(self._help, group))

    def _help(self, group: str) -> None:
        """Have those told the truth who had no room."""
        with self._lock:
            feed = self._feeds.get(group)
            if feed is None or not feed.behind or feed.is_read:
                return
            feed.is_read = True
        self._read(group)


def _count_before(count: int, changes: Iterable[Change]) -> int:
    """Return how many keys there were before changes, given how many there are after them."""
    kinds = [change.kind for change in changes]
    return count - kinds.count("joins") + kinds.count("leaves")
