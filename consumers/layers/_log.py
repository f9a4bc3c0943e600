"""The log of one group with history: its newest messages by their offsets, and the place of the newest."""

from typing import Any

from ..types import Message
from ._copy import Copier, choose_copier
from ._history import HISTORY, Joined, Mark, Position

Event = dict[str, Any]


class Entry:
    """A message in a log.

    Args:
        place: its place.
        message: the message, which nobody else can change. None: only its place is known, which proves positions.
            An empty one: nobody can read it.
        excluded: the channels that do not get it.
        size: what it counts in bytes.
    """

    __slots__ = ("_copier", "_live", "_replay", "excluded", "message", "place", "size")

    def __init__(
        self, place: Position, message: Message | None, excluded: frozenset[str] = frozenset(), size: int = 0
    ) -> None:
        self.place = place
        self.message = message
        self.excluded = excluded
        self.size = size
        self._live: Event | None = None
        self._replay: Event | None = None
        self._copier: Copier | None = None

    def is_for(self, channel: str) -> bool:
        """Whether a channel gets the message."""
        return bool(self.message) and channel not in self.excluded

    def event(self, group: str, replayed: bool) -> tuple[Event, Copier]:
        """Return the event that members get, shared by all, and what makes the copy for each of them."""
        event = self._replay if replayed else self._live
        if event is None:
            assert self.message is not None
            mark = Mark(group, str(self.place), replayed)
            self.message = event = {**self.message, HISTORY: mark}  # one dict less for each message
            if replayed:
                self._replay = event
            else:
                self._live = event
        if self._copier is None:
            self._copier, _ = choose_copier(event)
        return event, self._copier


class Log:
    """What is known of one group's messages: those from `first` on, but for some that a process had no room for.

    Args:
        place: the newest place.

    Attributes:
        place: the newest place up to which everything is known.
        first: the oldest message that can be had; earlier ones are lost.
        entries: messages by their offsets. The one before `first` only proves positions.
        generation: another number after each `reset()`.
        start: where those begin anew who had followed it before that.
    """

    __slots__ = ("entries", "first", "generation", "place", "start")

    def __init__(self, place: Position) -> None:
        self.generation = 0
        self.entries: dict[int, Entry] = {}
        self.restart(place)

    def restart(self, place: Position) -> None:
        """Begin at a place, without messages."""
        self.place = place
        self.start = place.offset
        self.first = place.offset + 1
        self.entries.clear()
        self.entries[place.offset] = Entry(place, None)

    def reset(self, place: Position) -> None:
        """Begin again at a place that does not follow: who followed the log until now has missed messages."""
        self.generation += 1
        self.restart(place)

    def append(self, entry: Entry) -> None:
        """Add the next message."""
        self.entries[entry.place.offset] = entry
        self.place = entry.place

    def has(self, entry: Entry) -> bool:
        """Whether a message is at hand."""
        return self.entries.get(entry.place.offset) is entry

    def trim(self, size: int) -> None:
        """Keep the newest `size` messages, and the place before them."""
        first = max(self.first, self.place.offset - size + 1)
        for offset in range(self.first - 1, first - 1):
            self.entries.pop(offset, None)
        self.first = first
        before = self.entries.get(first - 1)
        if before is not None and before.message is not None:  # another thread may be handing that one over now
            self.entries[first - 1] = Entry(before.place, None)

    def begin_at(self, first: int) -> None:
        """Take note of the oldest message that can be had: the places before it prove nothing any more."""
        if first > self.first:
            for offset in [offset for offset in self.entries if offset < first - 1]:
                del self.entries[offset]
        self.first = first

    def proves(self, position: Position) -> bool | None:
        """Tell whether a client has seen what it says; None: it cannot be told from what is known here."""
        if position.epoch != self.place.epoch:
            return False
        if position.offset == self.place.offset:
            return position.tag == self.place.tag
        entry = self.entries.get(position.offset)
        if entry is not None:
            return entry.place == position
        return False if position.offset < self.first - 1 else None

    def plan(self, since: str | None, last: int, channel: str) -> tuple[int, Joined]:
        """Work out where a new member begins.

        Args:
            since: what it has asked for: all since a position. A client may have sent any text.
            last: how many messages it wants otherwise.
            channel: its name: what excludes it, it does not get.

        Returns:
            The offset before its first message, and what it is told.
        """
        position, newest = Position.parse(since), self.place.offset
        is_proven = position is not None and bool(self.proves(position))
        cursor = position.offset if position is not None and is_proven else max(newest - last, self.first - 1)
        entries = (self.entries.get(offset) for offset in range(cursor + 1, newest + 1))
        excluding = sum(entry is not None and channel in entry.excluded for entry in entries)
        return cursor, Joined(str(self.place), is_proven or since is None, newest - cursor - excluding)
