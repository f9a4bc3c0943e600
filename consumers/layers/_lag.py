"""How far one member of a group with history is behind its log, and what it gets next."""

from ..types import Message
from ._log import Entry, Log


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

    Attributes:
        has_gap: whether it is to be told of a gap next.
        is_timed: whether a timer runs that has it tried again.
        last_turn: when it got its last message, as a number that grows; 0: never.
    """

    __slots__ = ("_told_until", "began", "cursor", "generation", "has_gap", "is_timed", "last_turn", "replayed_until")

    def __init__(self, cursor: int, replayed_until: int, generation: int, began: float) -> None:
        self.cursor = cursor
        self.replayed_until = replayed_until
        self.generation = generation
        self.began = began
        self.has_gap = False
        self.is_timed = False
        self.last_turn = 0
        self._told_until = 0

    def look(self, log: Log) -> None:
        """Move the cursor past what the log has lost, and note the gap."""
        if self.generation != log.generation:
            self.generation, self.cursor = log.generation, log.start
            self.has_gap, self.replayed_until, self._told_until = True, 0, 0
        if self.cursor < log.first - 1:
            self.cursor = log.first - 1
            # Who has just been told, and has got nothing since, reloads what was sent up to then: once is enough.
            self.has_gap = self.has_gap or self.cursor > self._told_until

    def skip_others(self, log: Log, channel: str) -> None:
        """Go past the next messages, as long as they are not for a channel."""
        while self.cursor < log.place.offset:
            entry = log.entries.get(self.cursor + 1)
            if entry is None or entry.message is None or entry.is_for(channel):
                return
            self.cursor += 1

    def took(self, entry: Entry | None, newest: int, turn: int) -> None:
        """Take note that the member has got a message, or (None) was told of a gap when `newest` was sent."""
        self.has_gap, self.last_turn = False, turn
        if entry is None:
            self._told_until = newest
        else:
            self.cursor, self._told_until = entry.place.offset, 0
