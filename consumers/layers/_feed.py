"""How members follow the log of their group: each gets its messages in order, without a hole, as fast as it takes them.

    up to date ── has no room for the next message ──▶ lags: has a cursor of its own
        ▲                                                │ has room again, or what it needs is here
        └──────────── has got the newest ────────────────┘

A feed is the members of one group on one event loop. Those that are up to date share one place, the feed's `head`. New
messages, a replay, a refill and a repair are one thing: a cursor that moves on. What has left the log is a gap, of
which each member is told once, at its place in the order.

The lock is held for each look at the tables, and never while foreign code runs: that may call the layer, and so come
back here.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from itertools import count, islice
from threading import Lock
from typing import Any, Protocol

from .._aio.loops import call_later, call_soon
from ..types import Message
from ._copy import Copier
from ._lag import Lag, gap
from ._log import Entry, Log
from ._receivers import Lane, Receiver

logger = logging.getLogger("consumers.layers")

AT_ONCE = 1000
"""Messages that members get before other work of the event loop has its turn."""

RETRY = 0.25
"""Seconds until a receiver that was full, and cannot say when it has room, is tried again."""

SLOW = 1.0
"""Seconds for which senders wait for a member that lags; one that lags longer is slow by itself."""

MOST_ASKED = 100
"""How many members that lag `longest_lag()` looks at."""

CALL_AGAIN = 100
"""After so many new messages another event loop is called again: it may have been closed meanwhile."""


class Missing(Protocol):
    """Gets messages that a log does not have at hand."""

    def __call__(self, group: str, offset: int) -> object:
        """Have the message with this offset, and what follows, added to the log, and `advance()` called then.

        Called with the lock held, from any thread.
        """


def is_complete(group: str, offset: int) -> None:
    """Be the `Missing` of logs that lack nothing."""
    raise AssertionError(f"message {offset} of {group!r} is not in its log")


class Answer(Enum):
    """What a member does with a message."""

    TAKES = auto()
    WILL_RESUME = auto()
    REFUSES = auto()


def _gap(group: str) -> tuple[dict[str, Any], Copier]:
    return dict(gap(group)), dict.copy


@dataclass(frozen=True, slots=True)
class Common:
    """What all feeds of a layer have in common.

    Attributes:
        lock: guards the tables.
        missing: see `Missing`.
        drop: hears of a stored member that was full.
        clock: returns the time in seconds.
        turns: numbers that grow.
    """

    lock: Lock
    missing: Missing
    drop: Callable[[Receiver], object]
    clock: Callable[[], float]
    turns: Iterator[int] = field(default_factory=lambda: count(1))


class Feed:
    """The members of one group on one event loop.

    Args:
        group: the group's name.
        log: the group's.
        loop: the event loop; None: of stored members, which belong to none.
        common: what it has in common with others.

    Attributes:
        members: the members.
        head: the offset of the last message that those have got who do not lag.
        lags: those who lag, the last that fell behind last.
    """

    def __init__(self, group: str, log: Log, loop: object, common: Common) -> None:
        self.loop = loop
        self.members: dict[Receiver, None] = {}
        self.head = log.place.offset
        self.lags: dict[Receiver, Lag] = {}
        self._group = group
        self._log = log
        self._common = common
        self._lock = common.lock
        self._generation = log.generation
        self._ready: OrderedDict[Receiver, None] = OrderedDict()  # of those who lag, those to be tried now
        self._waits_for_entry: dict[Receiver, None] = {}
        self._left: set[Receiver] = set()  # while a message is handed over: those who are not to get it any more
        self._is_running = False
        self._scheduled_at: int | None = None  # the newest message then

    # The caller holds the lock

    def add(self, receiver: Receiver, cursor: int) -> None:
        """Take note of a new member, which has got, or does not want, what is before `cursor` and at it."""
        self.members[receiver] = None
        if cursor != self.head or self._generation != self._log.generation:
            self._fall_behind(receiver, cursor, self._log.place.offset)
            self.lags[receiver].generation = self._log.generation  # the others may not have noticed that yet
            self._ready[receiver] = None

    def remove(self, receiver: Receiver) -> None:
        """Take note that a member has left."""
        if self._is_running:
            self._left.add(receiver)
        for table in (self.members, self.lags, self._ready, self._waits_for_entry):
            table.pop(receiver, None)

    def clear(self) -> None:
        """Take note that all members have left."""
        for receiver in list(self.members):
            self.remove(receiver)

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
        """Return how many messages a sender should wait for. Who has lagged for longer than `SLOW` does not count."""
        newest, recent, longest = self._log.place.offset, self._common.clock() - SLOW, 0
        for receiver, lag in islice(reversed(self.lags.items()), MOST_ASKED):
            if lag.began <= recent:
                break
            if lag.replayed_until <= lag.cursor < newest:  # a replay is nobody's fault
                waiting = newest - lag.cursor + receiver.capacity // 2
                longest = max(longest, min(waiting, receiver.capacity))
        return longest

    def _fall_behind(self, receiver: Receiver, cursor: int, replayed_until: int = 0) -> Lag:
        lag = self.lags[receiver] = Lag(cursor, replayed_until, self._generation, self._common.clock())
        return lag

    def _all_fall_behind(self) -> None:
        """Have all go on with cursors of their own, since what follows the head is not to be had."""
        for receiver in self.members:
            if receiver not in self.lags:
                self._fall_behind(receiver, self.head)
                self._ready[receiver] = None
        self._generation, self.head = self._log.generation, self._log.place.offset

    # On the members' event loop

    def run(self) -> None:
        """Hand over what there is, to those who have room."""
        with self._lock:
            self._scheduled_at = None
            if self._is_running:  # further up this very stack, or, for stored members, in another thread: it goes on
                return
            self._is_running = True
        try:
            self._run()
        except BaseException:
            with self._lock:
                self._stop()
            raise

    def _run(self) -> None:
        given = 0
        while True:
            with self._lock:
                has_more = self._ready or self.head < self._log.place.offset
                if given >= AT_ONCE and self.loop is not None and has_more:
                    self._stop()
                    self._schedule()
                    return
                entry, lagging = self._next_entry(), None
                if entry is not None:
                    receivers = self._up_to_date(entry)
                elif self._ready:
                    lagging, _ = self._ready.popitem(last=False)
                else:
                    self._stop()
                    return
            if lagging is not None:
                given += self._refill(lagging)
            elif entry is not None and receivers:
                given += len(receivers)
                self._hand_over(receivers, entry)

    def _stop(self) -> None:
        self._is_running = False
        self._left.clear()

    def _schedule(self) -> None:
        """Have `run()` called on the members' event loop soon; the lock is held."""
        newest = self._log.place.offset
        if self._scheduled_at is None or newest - self._scheduled_at >= CALL_AGAIN:
            call_soon(self.loop, self.run)
            self._scheduled_at = newest

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

    def _next_entry(self) -> Entry | None:
        """Return the next message for those who are up to date; the lock is held."""
        if self._generation != self._log.generation:
            self._all_fall_behind()
        following = self.head + 1
        if following > self._log.place.offset:
            return None
        entry = self._log.entries.get(following)
        if entry is not None and entry.message is not None:
            self.head = following
            return entry
        if following >= self._log.first:
            self._common.missing(self._group, following)
        else:  # it was trimmed before their event loop had a turn
            self._all_fall_behind()
        return None

    def _up_to_date(self, entry: Entry) -> list[Receiver]:
        """Return who is to get a message now; the lock is held."""
        self._left.clear()
        if not entry.message:  # nobody can read it
            return []
        lags, excluded = self.lags, entry.excluded
        members = [each for each in self.members if each not in lags] if lags else list(self.members)
        return [each for each in members if each.name not in excluded] if excluded else members

    def _hand_over(self, receivers: list[Receiver], entry: Entry) -> None:
        """Have those who have room take a message; the others fall behind."""
        found = self._event(entry, is_replayed=False)
        if found is None:
            return
        event, copy = found
        lanes: dict[Lane, None] = dict.fromkeys([receiver.lane for receiver in receivers])
        for lane in lanes:
            members = receivers if len(lanes) == 1 else [each for each in receivers if each.lane is lane]
            if self._left:
                members = [each for each in members if each not in self._left]
            for receiver in lane.hand_over(members, event, copy):
                if not self._left or receiver not in self._left:
                    answer = self._give(receiver, event, copy)
                    if answer is not Answer.TAKES:
                        self._note_refusal(receiver, entry, answer)

    def _note_refusal(self, receiver: Receiver, entry: Entry, answer: Answer) -> None:
        with self._lock:
            if receiver in self.members and receiver not in self._left:
                lag = self._fall_behind(receiver, entry.place.offset - 1)
                if answer is Answer.REFUSES:
                    self._set_timer(receiver, lag)

    def _event(self, entry: Entry, is_replayed: bool) -> tuple[Message, Copier] | None:
        """Return what members get of a message; None if they get nothing."""
        try:
            return entry.event(self._group, is_replayed)
        except Exception:  # a serializer of the application's has made something odd
            logger.exception("A message to group %.200r could not be copied, and is dropped", self._group)
            entry.message = {}
            return None

    def _give(self, receiver: Receiver, event: Message, copy: Copier) -> Answer:
        """Have a member take a message."""
        try:
            if receiver.room is not None and receiver.room() <= 0:
                return Answer.WILL_RESUME
            took = receiver.deliver(copy(event))
        except Exception:
            logger.exception("Channel %.200r could not take a message", receiver.name)
            return Answer.TAKES
        if took:
            return Answer.TAKES
        if receiver.loop is None:  # what is stored is bounded by capacity, as ever
            self._common.drop(receiver)
            return Answer.TAKES
        return Answer.REFUSES

    def _set_timer(self, receiver: Receiver, lag: Lag) -> None:
        if not lag.is_timed:
            lag.is_timed = True
            call_later(self.loop, RETRY, partial(self._retry, receiver, lag))

    def _retry(self, receiver: Receiver, lag: Lag) -> None:
        with self._lock:
            lag.is_timed = False
            lags = self.lags.get(receiver) is lag and self.try_again(receiver)
        if lags:
            self.run()

    def _refill(self, receiver: Receiver) -> int:
        """Hand over to one who lags what it has room for; return how many messages it took."""
        given, newest = 0, 0
        lag: Lag | None = None
        entry: Entry | None = None
        while True:
            with self._lock:
                if lag is not None:
                    lag.took(entry, newest, next(self._common.turns))
                lag = self.lags.get(receiver)
                if lag is None or not self._has_more_for(receiver, lag):
                    return given
                if given == AT_ONCE:  # the others first
                    self._ready[receiver] = None
                    return given
                newest = self._log.place.offset
                entry = None if lag.has_gap else self._log.entries[lag.cursor + 1]
                is_replayed = lag.cursor < lag.replayed_until
            found = _gap(self._group) if entry is None else self._event(entry, is_replayed)
            if found is None:
                continue
            answer = self._give(receiver, *found)
            if answer is Answer.REFUSES:
                with self._lock:
                    self._set_timer(receiver, lag)
            if answer is not Answer.TAKES:
                return given
            given += 1

    def _has_more_for(self, receiver: Receiver, lag: Lag) -> bool:
        """Bring one who lags forward, and tell whether there is something for it; the lock is held."""
        log = self._log
        lag.look(log)
        if lag.has_gap:
            return True
        lag.skip_others(log, receiver.name)
        if lag.cursor < log.place.offset:
            entry = log.entries.get(lag.cursor + 1)
            if entry is not None and entry.message is not None:
                return True
            self._waits_for_entry[receiver] = None
            self._common.missing(self._group, lag.cursor + 1)
        elif lag.cursor == self.head:
            del self.lags[receiver]
        else:  # the others wait for what comes before
            self._waits_for_entry[receiver] = None
        return False
