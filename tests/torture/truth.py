"""The one order of each group's messages, from all who have seen some of it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from consumers.layers._history import Position

from .steps import NOBODY, Gap, Joined, Key, Step


def position_of(text: str) -> Position:
    """Return the position that a text names."""
    position = Position.parse(text)
    assert position is not None, text
    return position


class Truth:
    """Places, their messages, and which place comes before which: a line that forks where Redis went back.

    Attributes:
        messages: what is at each place.
        contradictions: two messages at one place, or one message at two places of a line.
    """

    def __init__(self) -> None:
        self.messages: dict[Position, Key] = {}
        self.contradictions: list[str] = []
        self._before: dict[Position, Position] = {}
        self._excluded: dict[Position, int] = {}
        self._following: Counter[Position] = Counter()  # how many come right after a place

    def add(self, place: Position, key: Key, excluded: int = NOBODY, before: Position | None = None) -> None:
        """Take note of a message.

        Args:
            place: its place.
            key: the message.
            excluded: the connection that is not to get it.
            before: the place before it, where that is known.
        """
        known = self.messages.setdefault(place, key)
        if known != key:
            self.contradictions.append(f"{place} is {known} and {key}")
        if excluded:
            self._excluded[place] = excluded
        if before is not None and self._before.setdefault(place, before) != before:
            self.contradictions.append(f"{place} comes after {self._before[place]} and after {before}")

    def learn(self, steps: Iterable[Step]) -> None:
        """Take note of what a client has got, where the witness saw nothing: Redis died before it had told all."""
        latest: Position | None = None
        for step in steps:
            if isinstance(step, Gap | Joined):
                latest = None
            elif step.position is not None:
                place = position_of(step.position)
                follows = latest is not None and latest.epoch == place.epoch and latest.offset + 1 == place.offset
                self.add(place, step.key, step.excluded, latest if follows and place not in self._before else None)
                latest = place

    def find_repeated(self) -> None:
        """Note the messages that are twice on one line. On two lines one may be: Redis had forgotten it."""
        places: dict[Key, list[Position]] = {}
        for place, key in self.messages.items():
            places.setdefault(key, []).append(place)
        for key, several in places.items():
            several.sort(key=lambda place: place.offset)
            for index, later in enumerate(several):
                for earlier in several[:index]:
                    if self.has_before(later, earlier):
                        self.contradictions.append(f"{key} is at {earlier} and at {later}")

    def before(self, place: Position) -> Position | None:
        """Return the place before a place, if that is known."""
        return self._before.get(place)

    def is_fork(self, place: Position) -> bool:
        """Whether Redis went back to a place, and on from there in another way."""
        if not self._following:
            self._following.update(self._before.values())
        return self._following[place] > 1

    def has_before(self, later: Position, earlier: Position) -> bool:
        """Whether one place is on the line that leads to another."""
        place: Position | None = later
        while place is not None and place.offset > earlier.offset:
            place = self._before.get(place)
        return place is not None and _is_same(place, earlier)

    def count(self, earlier: Position, later: Position, connection: int) -> int | None:
        """Return how many messages after a place, until another, a connection is to get; None: they are on no line."""
        place, found = later, 0
        while not _is_same(place, earlier):
            before = self._before.get(place)
            if before is None or place.offset <= earlier.offset:
                return None
            found += self._excluded.get(place, NOBODY) != connection
            place = before
        return found

    def follows(self, earlier: Position, later: Position, connection: int) -> bool:
        """Whether nothing is between two places that a connection is to get."""
        place = later
        while (before := self._before.get(place)) is not None:
            if _is_same(before, earlier):
                return True
            if before.offset <= earlier.offset or self._excluded.get(before, NOBODY) != connection:
                return False
            place = before
        return False


def _is_same(place: Position, other: Position) -> bool:
    """Whether two places are one; an empty tag stands for any."""
    return place == other or (not other.tag and place[::2] == other[::2])


def truth_of(seen: Truth, confirmed: Iterable[tuple[str, int, str]], streams: Sequence[Sequence[Step]]) -> Truth:
    """Complete what a witness has seen.

    Args:
        seen: that.
        confirmed: the senders' messages and numbers that `group_send` has confirmed, with their positions.
        streams: what each client has got.
    """
    for sender, number, position in confirmed:
        seen.add(position_of(position), (sender, number))
    for stream in streams:
        seen.learn(stream)
    seen.find_repeated()
    return seen
