"""What became of the messages."""

from collections import Counter
from dataclasses import dataclass, field

SHOWN = 20
"""Problems that are described, beyond their number."""


@dataclass
class Account:
    """Counts, and what they leave unexplained.

    Attributes:
        counts: how many messages, copies and frames took which way; `report` says what they are.
        left_over: what nothing explains, by kind. Nothing may be left over.
        examples: some of it in detail.
        windows: for each server, when it lost Redis and when it had announced the gap.
        ways: for each server, how many seconds messages took from a sender to its mailboxes: half of them at most, 99 %
            of them at most, the slowest.
    """

    counts: Counter[str] = field(default_factory=Counter)
    left_over: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    windows: list[list[tuple[float, float]]] = field(default_factory=list)
    ways: list[tuple[float, float, float]] = field(default_factory=list)

    def blame(self, what: str, example: str, count: int = 1) -> None:
        """Note messages for which there is no explanation."""
        self.left_over[what] += count
        if len(self.examples) < SHOWN:
            self.examples.append(f"{what}: {example}")
