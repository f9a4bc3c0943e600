"""What groups with history are to do, as simply as it can be said: for each member, all that it has not got yet."""

from __future__ import annotations

from consumers.types import Message

from .history import GAP

DAY = 24 * 3600
SWEEP = 10


class Sent:
    """A message that was kept."""

    def __init__(self, offset: int, position: str, number: int, excluded: str | None) -> None:
        self.offset = offset
        self.position = position
        self.number = number
        self.excluded = excluded
        self.is_lost = False


class Member:
    """A receiver, and what the model says that it gets.

    Args:
        says_room: whether it can say how much room it has.
    """

    SOFT, HARD = 2, 4

    def __init__(self, says_room: bool) -> None:
        self.name = ""
        self.says_room = says_room
        self.is_attached = True
        self.held = 0
        self.got: list[object] = []
        # The model
        self.group: str | None = None
        self.expected: list[object] = []
        self.expected_held = 0
        self.joinings: list[tuple[int, ModelLog, int]] = []  # what it had got then; the log; the last offset before
        self.pending: list[Sent] = []
        self.joined_at = 0
        self.told_until = 0
        self.is_to_be_told = False

    def room(self) -> int:
        return self.SOFT - self.held

    def deliver(self, message: Message) -> int:
        if self.held == self.HARD:
            return 0
        self.held += 1
        self.got.append(GAP if message["type"] == "layer.gap" else (message["number"], dict(message["history"])))
        return self.held

    # The model

    @property
    def has_room(self) -> bool:
        return self.expected_held < (self.SOFT if self.says_room else self.HARD)

    def expect(self, item: object) -> None:
        self.expected.append(item)
        self.expected_held += 1

    def follow(self, group: str, pending: list[Sent], newest: int) -> None:
        self.group, self.pending, self.joined_at = group, pending, newest
        self.told_until, self.is_to_be_told = 0, False

    def leave(self) -> None:
        self.group, self.pending = None, []

    def get(self, newest: int) -> None:
        """Get what there is room for."""
        lost = [sent for sent in self.pending if sent.is_lost]
        if lost:
            self.pending = self.pending[len(lost) :]
            self.is_to_be_told |= lost[-1].offset > self.told_until
        if self.is_to_be_told and self.has_room:
            self.expect(GAP)
            self.is_to_be_told, self.told_until = False, newest
        while not self.is_to_be_told and self.pending:
            sent = self.pending[0]
            if sent.excluded != self.name:
                if not self.has_room:
                    return
                is_replayed = sent.offset <= self.joined_at
                mark = {"group": self.group, "position": sent.position, "replayed": is_replayed}
                self.expect((sent.number, mark))
                self.told_until = 0
            del self.pending[0]


class ModelLog:
    """What a group remembers: at most `size` messages, for `ttl` seconds after the newest."""

    def __init__(self, size: int, ttl: float, now: float) -> None:
        self.size, self.ttl = size, ttl
        self.kept: list[Sent] = []
        self.newest = 0
        self.positions: dict[int, str] = {}
        self.excluded: dict[int, str | None] = {}
        self.ids: dict[str, tuple[float, str]] = {}
        self.messages_until = now
        self.touch(now)

    def touch(self, now: float) -> None:
        self.until = now + max(self.ttl, DAY)

    def lose(self, size: int) -> None:
        while len(self.kept) > size:
            self.kept.pop(0).is_lost = True

    def expire(self, now: float) -> None:
        self.ids = {id: entry for id, entry in self.ids.items() if entry[0] > now}
        if self.messages_until <= now:
            self.lose(0)

    def add(self, sent: Sent, now: float) -> None:
        self.kept.append(sent)
        self.newest = sent.offset
        self.positions[sent.offset] = sent.position
        self.excluded[sent.offset] = sent.excluded
        self.lose(self.size)
        self.messages_until = now + self.ttl
        self.touch(now)

    def after(self, since: object) -> list[Sent] | None:
        """Return what was sent after a position; None if that is none, or more was sent than is kept."""
        oldest = self.newest - len(self.kept)
        offset = next((offset for offset, position in self.positions.items() if position == since), None)
        if offset is None or offset < oldest:
            return None
        return [sent for sent in self.kept if sent.offset > offset]
