"""The figures of one run."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Results:
    """Medians by scenario, size and peer, and what there is to say where one is missing."""

    values: dict[tuple[str, int, str], list[float]] = field(default_factory=dict)
    notes: dict[tuple[str, int, str], str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, scenario: str, size: int, peer: str, value: float) -> None:
        self.values.setdefault((scenario, size, peer), []).append(value)

    def median(self, scenario: str, size: int, peer: str) -> float | None:
        """The median of what was measured, or None."""
        values = self.values.get((scenario, size, peer))
        return statistics.median(values) if values else None

    def fail(self, scenario: str, size: int, peer: str, error: Exception) -> None:
        """Note that a scenario did not run to its end; what it measured before does not count."""
        self.values.pop((scenario, size, peer), None)
        self.notes[scenario, size, peer] = "failed"
        self.failures.append(f"{scenario} ({size}), {peer}: {error}")
