"""How members follow the log of their group: each gets its messages in order, without a hole, as fast as it takes them.

    up to date ── has no room for the next message ──▶ lags: has a cursor of its own
        ▲                                                │ has room again, or what it needs is here
        └──────────── has got the newest ────────────────┘

A feed is the members of one group on one event loop. Those that are up to date share one place, the feed's `head`. New
messages, a replay, a refill and a repair are one thing: a cursor that moves on. What has left the log is a gap, of
which each member is told once, at its place in the order.
"""

import logging
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Protocol

from .._aio.loops import call_later, call_soon, running_loop
from ..types import Message
from ._copy import Copier
from ._log import Entry, Log
from ._receivers import ENDED, Lane, Receiver, among

logger = logging.getLogger("consumers.layers")

AT_ONCE = 1000
"""Messages that members who lag get before other work of the event loop has its turn."""

RETRY = 0.25
"""Seconds until a receiver that was full, and cannot say when it has room, is tried again."""

SLOW = 1.0
"""Seconds for which senders wait for a member that lags; one that lags longer is slow by itself."""


def gap(group: str | None) -> Message:
    """Return what tells a member that it has missed messages: of this group, or (None) of any without history."""
    return {"type": "layer.gap", "group": group}


class Lag:
    """How far a member is behind.

    Args:
        cursor: the offset of the last message that it has got.
        replayed_until: messages up to this offset were sent before it joined.
        generation: that of the log which the cursor is for.
        began: when it fell behind.
    """

    __slots__ = ("began", "cursor", "generation", "has_gap", "replayed_until")

    def __init__(self, cursor: int, replayed_until: int, generation: int, began: float) -> None:
        self.cursor = cursor
        self.replayed_until = replayed_until
        self.generation = generation
        self.began = began
        self.has_gap = False


class Missing(Protocol):
    """Gets messages that a log does not have at hand."""

    def __call__(self, group: str, offset: int) -> object:
        """Have the message with this offset, and what follows, added to the log, and `advance()` called then.

        Called with the lock held, from any thread.
        """


def is_complete(group: str, offset: int) -> None:
    """Be the `Missing` of logs that lack nothing."""
    raise AssertionError(f"message {offset} of {group!r} is not in its log")


class Feed:
    """The members of one group on one event loop.

    Args:
        group: the group's name.
        log: the group's.
        loop: the event loop; None: of stored members, which belong to none.
        feeds: what this is one of.

    Attributes:
        members: the members.
        head: the offset of the last message that those have got who do not lag.
        lags: those who lag.
    """

    def __init__(self, group: str, log: Log, loop: object, feeds: "Feeds") -> None:
        self.loop = loop
        self.members: dict[Receiver, None] = {}
        self.head = log.place.offset
        self.lags: dict[Receiver, Lag] = {}
        self._group = group
        self._log = log
        self._feeds = feeds
        self._lock = feeds.lock
        self._generation = log.generation
        self._ready: dict[Receiver, None] = {}  # of those who lag, those to be tried now
        self._waits_for_entry: dict[Receiver, None] = {}
        self._is_running = False
        self._is_scheduled = False

    # The caller holds the lock

    def add(self, receiver: Receiver, cursor: int) -> None:
        """Take note of a new member, which has got, or does not want, what is before `cursor` and at it."""
        newest = self._log.place.offset
        if not self.members:
            self.head, self._generation = newest, self._log.generation
        self.members[receiver] = None
        if cursor != self.head or self._generation != self._log.generation:
            self._fall_behind(receiver, cursor, newest)
            self.lags[receiver].generation = self._log.generation  # the others may not have noticed that yet

    def remove(self, receiver: Receiver) -> None:
        """Take note that a member has left."""
        for table in (self.members, self.lags, self._ready, self._waits_for_entry):
            table.pop(receiver, None)

    def try_again(self, receiver: Receiver) -> bool:
        """Take note that a member may have room; return whether it lags."""
        if receiver not in self.lags:
            return False
        self._ready[receiver] = None
        return True

    def entries_came(self) -> None:
        """Take note that the log has more of what is missing."""
        self._ready.update(self._waits_for_entry)
        self._waits_for_entry.clear()

    def longest_lag(self) -> int:
        """Return how many messages wait for the slowest of those who lag, but not for long."""
        if not self.lags:
            return 0
        newest, recent = self._log.place.offset, self._feeds.clock() - SLOW
        waiting = (
            newest - lag.cursor + receiver.capacity // 2 for receiver, lag in self.lags.items() if lag.began > recent
        )
        return max(waiting, default=0)

    def _fall_behind(self, receiver: Receiver, cursor: int, replayed_until: int = 0) -> None:
        self.lags[receiver] = Lag(cursor, replayed_until, self._generation, self._feeds.clock())
        self._ready[receiver] = None

    # On the members' event loop

    def run(self) -> None:
        """Hand over what there is, to those who have room."""
        with self._lock:
            self._is_scheduled = False
            if self._is_running:  # further up this very stack, or, for stored members, in another thread: it goes on
                return
            self._is_running = True
        given = 0
        while True:
            with self._lock:
                self._notice_reset()
                entry = self._next_entry()
                receivers = [] if entry is None else self._up_to_date(entry)
                lagging = None if entry is not None or not self._ready else self._ready.popitem()[0]
                if entry is None and lagging is None:
                    self._is_running = False
                    return
                if given >= AT_ONCE and self.loop is not None and lagging is not None:
                    self._ready[lagging] = None
                    self._is_running = False
                    self._schedule()
                    return
            if entry is not None:
                self._hand_over(receivers, entry)
            elif lagging is not None:
                given += self._refill(lagging)

    def _schedule(self) -> None:
        """Have `run()` called on the members' event loop soon; the lock is held."""
        if not self._is_scheduled:
            self._is_scheduled = True
            call_soon(self.loop, self.run)

    def advance(self, here: object | None) -> bool:
        """Have `run()` called: now, if `here` is the members' event loop. Return False if that is closed."""
        if self.loop is None or self.loop is here:
            self.run()
            return True
        try:
            with self._lock:
                self._schedule()
        except RuntimeError:
            return False
        return True

    def _notice_reset(self) -> None:
        """Tell those who followed the log when it began again; the lock is held."""
        if self._generation == self._log.generation:
            return
        for receiver in self.members:
            if receiver not in self.lags:
                self._fall_behind(receiver, self.head)
        self._generation = self._log.generation
        self.head = self._log.place.offset

    def _next_entry(self) -> Entry | None:
        """Return the next message for those who are up to date; the lock is held."""
        following = self.head + 1
        if following > self._log.place.offset:
            return None
        entry = self._log.entries.get(following)
        if entry is not None and entry.message is not None:
            self.head = following
            return entry
        if following >= self._log.first:
            self._feeds.missing(self._group, following)
            return None
        for receiver in self.members:  # it was trimmed before their event loop had a turn
            if receiver not in self.lags:
                self._fall_behind(receiver, self.head)
        self.head = self._log.place.offset
        return None

    def _up_to_date(self, entry: Entry) -> list[Receiver]:
        """Return who is to get a message now; the lock is held."""
        receivers = [receiver for receiver in self.members if receiver not in self.lags]
        if entry.excluded:
            receivers = [receiver for receiver in receivers if receiver.name not in entry.excluded]
        return receivers

    def _hand_over(self, receivers: list[Receiver], entry: Entry) -> None:
        """Have those who have room take a message; the others fall behind."""
        if not (receivers and entry.message):
            return
        event, copy = entry.event(self._group, replayed=False)
        lanes: set[Lane] = {receiver.lane for receiver in receivers}
        for lane in lanes:
            members = receivers if len(lanes) == 1 else [each for each in receivers if each.lane is lane]
            if lane.deliver_many is not None and copy is dict.copy:
                others = lane.deliver_many([receiver.deliver for receiver in members], event)
                members = among(members, others) if others else []
            for receiver in members:
                if receiver.lane is not ENDED and not self._give(receiver, event, copy):
                    with self._lock:
                        if receiver in self.members:
                            self._fall_behind(receiver, entry.place.offset - 1)
                            del self._ready[receiver]  # it has just refused

    def _give(self, receiver: Receiver, event: Message, copy: Copier) -> bool:
        """Have a member take a message; return False if it has no room, and will be tried again."""
        if receiver.room is not None and receiver.room() <= 0:
            return False
        try:
            took = receiver.deliver(copy(event))
        except Exception:
            logger.exception("Channel %.200r could not take a message", receiver.name)
            return True
        if took:
            return True
        if receiver.loop is None:  # what is stored is bounded by capacity, as ever
            self._feeds.drop(receiver)
            return True
        call_later(self.loop, RETRY, partial(self._retry, receiver))
        return False

    def _retry(self, receiver: Receiver) -> None:
        with self._lock:
            lags = self.try_again(receiver)
        if lags:
            self.run()

    def _refill(self, receiver: Receiver) -> int:
        """Hand over to one who lags what it has room for; return how many messages it took."""
        given = 0
        while True:
            with self._lock:
                found = self._next_for(receiver)
            if found is None:
                return given
            lag, event, copy, cursor = found
            if not self._give(receiver, event, copy):
                return given
            given += 1
            with self._lock:
                if self.lags.get(receiver) is lag:
                    lag.cursor, lag.has_gap = cursor, False

    def _next_for(self, receiver: Receiver) -> tuple[Lag, Message, Copier, int] | None:
        """Return what one who lags is to get next, and its cursor then; the lock is held.

        None if it lags no more, or what it needs is not here yet.
        """
        lag, log = self.lags.get(receiver), self._log
        if lag is None:
            return None
        if lag.generation != log.generation:
            lag.generation, lag.replayed_until = log.generation, 0
            lag.has_gap, lag.cursor = True, log.start
        if lag.cursor + 1 < log.first:
            lag.has_gap, lag.cursor = True, log.first - 1
        if lag.has_gap:
            return lag, gap(self._group), dict.copy, lag.cursor
        while lag.cursor < log.place.offset:
            entry = log.entries.get(lag.cursor + 1)
            if entry is None or entry.message is None:
                self._waits_for_entry[receiver] = None
                self._feeds.missing(self._group, lag.cursor + 1)
                return None
            if entry.message and receiver.name not in entry.excluded:
                event, copy = entry.event(self._group, entry.place.offset <= lag.replayed_until)
                return lag, event, copy, entry.place.offset
            lag.cursor = entry.place.offset
        if lag.cursor == self.head:
            del self.lags[receiver]
        else:  # the others wait for what comes before
            self._waits_for_entry[receiver] = None
        return None


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
        self.missing = missing
        self.drop = drop
        self.clock = clock
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
            feed = feeds[receiver.loop] = Feed(group, log, receiver.loop, self)
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
        self._feeds.clear()

    def has(self, group: str) -> bool:
        """Whether somebody follows a group's log."""
        return group in self._feeds

    def advance(self, group: str) -> int:
        """Hand over what a group's log has, on this event loop now and on others soon; the lock is not held.

        Returns:
            How many messages wait for the slowest member here that has begun to lag a moment ago, or 0.
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
            elif feed.loop is here:
                with self.lock:
                    longest = feed.longest_lag()
        return longest

    def resume(self, receiver: Receiver) -> None:
        """Go on with a member that has room again; on its event loop."""
        with self.lock:
            feeds = [self._feeds.get(group, {}).get(receiver.loop) for group in receiver.groups]
            lagging = [feed for feed in feeds if feed is not None and feed.try_again(receiver)]
        for feed in lagging:
            feed.run()
