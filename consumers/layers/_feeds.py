"""The feeds of a layer's groups with history: who follows which log, and who is to go on now."""

from collections.abc import Callable
from threading import Lock

from .._aio.loops import running_loop
from ._feed import Common, Feed, Missing
from ._log import Log
from ._receivers import Receiver


class Feeds:
    """The feeds of all groups with history that have members in this process.

    Args:
        lock: guards the tables.
        missing: see `Missing`.
        drop: hears of a stored member that was full.
        detach: forgets a receiver whose event loop is closed; the lock is not held.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        lock: Lock,
        missing: Missing,
        drop: Callable[[Receiver], object],
        detach: Callable[[str], object],
        clock: Callable[[], float],
    ) -> None:
        self.lock = lock
        self._common = Common(lock, missing, drop, clock)
        self._detach = detach
        self._feeds: dict[str, dict[object, Feed]] = {}

    def joined(self, group: str, log: Log, receiver: Receiver, cursor: int) -> None:
        """Take note of a new member; the lock is held.

        Args:
            group: the group.
            log: its log.
            receiver: the member.
            cursor: the offset of the last message that it does not get.
        """
        feeds = self._feeds.setdefault(group, {})
        feed = feeds.get(receiver.loop)
        if feed is None:
            feed = feeds[receiver.loop] = Feed(group, log, receiver.loop, self._common)
        if receiver not in feed.members:
            feed.add(receiver, cursor)

    def left(self, group: str, receiver: Receiver) -> None:
        """Take note that a member has left; the lock is held."""
        feeds = self._feeds.get(group)
        if feeds is None or (feed := feeds.get(receiver.loop)) is None:
            return
        feed.remove(receiver)
        if not feed.members:
            del feeds[receiver.loop]
            if not feeds:
                del self._feeds[group]

    def flushed(self) -> None:
        """Take note that no group has members any more; the lock is held."""
        for feeds in self._feeds.values():
            for feed in feeds.values():
                feed.clear()  # it may be about to run
        self._feeds.clear()

    def has(self, group: str) -> bool:
        """Whether somebody follows a group's log."""
        return group in self._feeds

    def has_member(self, group: str, receiver: Receiver) -> bool:
        """Whether a receiver follows a group's log; the lock is held."""
        feed = self._feeds.get(group, {}).get(receiver.loop)
        return feed is not None and receiver in feed.members

    def advance(self, group: str) -> int:
        """Hand over what a group's log has, on this event loop now and on others soon; the lock is not held.

        Returns:
            For how many messages a sender should wait, so that those can go on here who have begun to lag, or 0.
        """
        here, longest = running_loop(), 0
        with self.lock:
            feeds = list(self._feeds.get(group, {}).values())
            for feed in feeds:
                feed.entries_came()
        for feed in feeds:
            if not feed.advance(here):
                for receiver in list(feed.members):
                    self._detach(receiver.name)
            elif feed.loop is here and feed.lags:
                with self.lock:
                    longest = feed.longest_lag()
        return longest

    def resume(self, receiver: Receiver) -> None:
        """Go on with a member that has room again; on its event loop."""
        with self.lock:
            feeds = [self._feeds.get(group, {}).get(receiver.loop) for group in receiver.groups]
            lagging = [feed for feed in feeds if feed is not None and feed.try_again(receiver)]
            lagging.sort(key=lambda feed: feed.lags[receiver].last_turn)  # or one busy group would take all the room
        for feed in lagging:
            feed.run()
