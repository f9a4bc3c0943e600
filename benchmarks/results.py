"""The figures of one run."""

import statistics
from dataclasses import dataclass, field

NOT_OFFERED = "n/a"
"""What the tables say where a peer lacks an endpoint."""

Key = tuple[str, int, str]
"""Scenario, size and peer."""


@dataclass
class Results:
    """Medians by scenario, size and peer, and what there is to say where one is missing.

    Attributes:
        is_whole: whether there was time for everything.
    """

    is_whole: bool = True
    values: dict[Key, list[float]] = field(default_factory=dict)
    notes: dict[Key, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, scenario: str, size: int, peer: str, value: float) -> None:
        self.values.setdefault((scenario, size, peer), []).append(value)

    def median(self, scenario: str, size: int, peer: str) -> float | None:
        """The median of what was measured, or None."""
        values = self.values.get((scenario, size, peer))
        return statistics.median(values) if values else None

    def ratio(self, left: Key, right: Key) -> float | None:
        """The median of the ratios in each round, or None: a round's measurements follow upon each other.

        A machine that others use too is faster in one minute than in the next, which the ratio of two medians shows.
        """
        lefts, rights = self.values.get(left, []), self.values.get(right, [])
        if not lefts or len(lefts) != len(rights):
            return None
        return statistics.median(one / other for one, other in zip(lefts, rights, strict=True))

    def fail(self, scenario: str, size: int, peer: str, error: Exception, *parts: str) -> None:
        """Note that a scenario, and its parts, did not run to the end; what was measured before does not count."""
        for name in (scenario, *parts):
            self.values.pop((name, size, peer), None)
            self.notes[name, size, peer] = "failed"
        self.failures.append(f"{scenario} ({size}), {peer}: {error}")
