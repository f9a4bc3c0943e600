"""Holds what one client got of one group against the truth."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Self

from consumers.layers._history import Position

from .steps import Gap, Joined, Key, Said, Step
from .truth import Truth, position_of

COUNTS = ("messages", "recoveries", "gaps told", "needless", "duplicates", "gaps not told", "out of order")
"""What is counted of a client; those in `WRONG` must be 0."""

WRONG = ("needless", "duplicates", "gaps not told", "out of order")


@dataclass
class Account:
    """What became of one client's messages.

    Attributes:
        counts: see `COUNTS`.
        examples: what is wrong, in words.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    examples: list[str] = field(default_factory=list)

    def blame(self, what: str, text: str) -> None:
        """Count something wrong."""
        self.counts[what] += 1
        self.examples.append(f"{what}: {text}")

    def __iadd__(self, other: "Account") -> Self:
        for what, count in other.counts.items():
            self.counts[what] += count
        self.examples += other.examples
        return self


class Judge:
    """Follows one client through one group.

    Args:
        truth: the truth.
        name: the client's and the group's.

    Attributes:
        account: what has been counted.
    """

    def __init__(self, truth: Truth, name: str) -> None:
        self.account = Account()
        self._truth = truth
        self._name = name
        self._cursor: Position | None = None  # the place that the next message must follow; None: it may be any
        self._lost: Position | None = None  # the place before the gap that was told
        self._first_of: Joined | None = None  # what the next message is the first of
        self._seen: set[Position | tuple[int, Key]] = set()

    def take(self, step: Step) -> None:
        """Follow the next step."""
        match step:
            case Joined():
                self._joined(step)
            case Gap():
                self.account.counts["gaps told"] += 1
                self._lost, self._cursor, self._first_of = self._cursor or self._lost, None, None
            case Said(position=None):
                self._unkept(step)
            case Said():
                self._said(step, position_of(step.position or ""))

    def end(self, newest: Collection[Position]) -> None:
        """See whether the client has got all until one of the newest messages."""
        place = self._cursor
        if place is None or not any(place == last or self._truth.has_before(place, last) for last in newest):
            first = min(newest, key=lambda last: last.offset)
            self.account.blame("gaps not told", f"{self._name} ended at {place}, its group's last was {first}")

    def _joined(self, step: Joined) -> None:
        place = position_of(step.position)
        self._first_of = None
        if step.since is None:  # the newest few come first
            self._cursor, self._lost = None if step.missed else place, None
            self._first_of = step if step.missed else None
            return
        since = position_of(step.since)
        if step.recovered:
            self.account.counts["recoveries"] += 1
            self._cursor, self._lost = since, None
            due = self._truth.count(since, place, step.connection)
            if due is None or not due <= step.missed <= place.offset - since.offset:
                text = f"{self._name} asked since {since}, got {step.missed} missed until {place}"
                self.account.blame("gaps not told", text)
            return
        self.account.counts["gaps told"] += 1
        if since == place:
            self.account.blame("needless", f"{self._name} is at {place}, and was told of a gap")
        self._cursor, self._lost = place, None

    def _is_first_of(self, step: Joined, place: Position) -> bool:
        """Whether a message is the oldest of those that were to come first; the server may count excluded ones, too."""
        newest = position_of(step.position)
        due = self._truth.count(place, newest, step.connection)
        before = Position(newest.epoch, "", newest.offset - step.missed)
        return due == step.missed - 1 or self._truth.follows(before, place, step.connection)

    def _unkept(self, step: Said) -> None:
        self.account.counts["messages"] += 1
        unkept = step.connection, step.key  # two servers need not hear at the same time
        if unkept in self._seen:
            self.account.blame("duplicates", f"{self._name} got {step.key} twice, which is not kept")
        self._seen.add(unkept)

    def _said(self, step: Said, place: Position) -> None:
        self.account.counts["messages"] += 1
        if place in self._seen:
            self.account.blame("duplicates", f"{self._name} got {place} twice")
            return
        self._seen.add(place)
        if step.excluded == step.connection:
            self.account.blame("duplicates", f"{self._name} got {place}, which excludes it")
        earlier, lost, first_of = self._cursor, self._lost, self._first_of
        self._first_of = None
        self._cursor, self._lost = place, None
        if earlier is not None and not self._truth.follows(earlier, place, step.connection):
            is_back = self._truth.has_before(earlier, place)
            self._cursor = earlier if is_back else place
            text = f"{self._name} got {place}, before which is {self._truth.before(place)}, after {earlier}"
            self.account.blame("out of order" if is_back else "gaps not told", text)
        elif first_of is not None and not self._is_first_of(first_of, place):
            self.account.blame("gaps not told", f"{self._name} got {place} first after {first_of}")
        elif (
            lost is not None
            and self._truth.follows(lost, place, step.connection)
            and not self._truth.is_fork(lost)  # its process may have been further on
        ):
            self.account.blame("needless", f"{self._name} got {place} after {lost} and a gap")


def judge(steps: Iterable[Step], truth: Truth, name: str, newest: Collection[Position]) -> Account:
    """Return what became of one client's messages of one group."""
    client = Judge(truth, name)
    for step in steps:
        client.take(step)
    client.end(newest)
    return client.account
