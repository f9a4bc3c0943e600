"""What this library has to reach, as ratios between figures of one run."""

from collections.abc import Iterator
from dataclasses import dataclass

from .peers import PEERS
from .plan import MEMBERS, WIRE, Options
from .report import figure
from .results import Key, Results
from .wire.run import ALONE, CPU

SCENARIOS = {ALONE: "wire-idle", **{name + CPU: name for name in WIRE}}
"""Which scenario measures what has another name."""


@dataclass(frozen=True)
class Goal:
    """A bound for the largest of some figures: `factor` times the smallest of some others, plus `plus`.

    Args:
        what: what is compared.
        left: the figures that are bound, as scenario, size and peer.
        sign: "at most" or "at least".
        factor: what the right side is multiplied with.
        right: the figures that bind them.
        plus: what is added to the right side.
    """

    what: str
    left: tuple[Key, ...]
    sign: str
    factor: float
    right: tuple[Key, ...]
    plus: float = 0

    def is_asked_for(self, options: Options) -> bool:
        """Whether all of it is to be measured."""
        keys = (*self.left, *self.right)
        return all(SCENARIOS.get(key, key) in options.only and peer in options.peers for key, _, peer in keys)

    def verdict(self, results: Results, options: Options) -> tuple[bool, str]:
        """Whether it is reached, and how far."""
        left = self._medians(self.left, results, options)
        right = self._medians(self.right, results, options)
        if not left or not right:
            return False, f"{self.what}: not measured"
        of_medians, bound = max(left) / min(right), f"{self.sign} {self.factor:g}"
        if self.plus:
            value, limit = max(left) - self.factor * min(right), self.plus
            measured, bound = f"{figure(value)} over", f"{self.sign} {figure(self.plus)}"
        else:
            value, limit = self._ratio(results, options) or of_medians, self.factor
            measured = f"{figure(value)} times"
            if figure(of_medians) != figure(value):
                bound += f"; the medians' ratio is {figure(of_medians)}"
        reached = value <= limit if self.sign == "at most" else value >= limit
        subject, other = PEERS[self.left[0][2]], PEERS[self.right[0][2]]
        return reached, f"{self.what}: {subject} {measured} {other} ({bound})"

    def _ratio(self, results: Results, options: Options) -> float | None:
        """Return the ratio of two figures; None if more than two are compared."""
        if len(self.left) > 1 or len(self.right) > 1:
            return None
        (scenario, size, peer), (scenario_2, size_2, peer_2) = self.left[0], self.right[0]
        return results.ratio((scenario, options.size(size), peer), (scenario_2, options.size(size_2), peer_2))

    @staticmethod
    def _medians(keys: tuple[Key, ...], results: Results, options: Options) -> list[float]:
        medians = [results.median(scenario, options.size(size), peer) for scenario, size, peer in keys]
        return [median for median in medians if median is not None] if all(medians) else []


def _compare(what: str, scenario: str, size: int, left: str, sign: str, factor: float, right: str) -> Goal:
    return Goal(what, ((scenario, size, left),), sign, factor, ((scenario, size, right),))


def _shared(what: str, scenario: str, factor: float) -> Goal:
    """Compare the server's CPU time for a delivery: what the bare function takes, in ours."""
    return _compare(f"{what}, CPU time", scenario + CPU, 1_000, "bare", "at least", factor, "consumers_shared")


_SIZES = tuple(("fanout", size, "consumers") for size in MEMBERS)

GOALS = (
    _compare("echo, pipelined", "echo", 1, "consumers", "at most", 1.5, "starlette"),
    _compare("echo, one in flight", "pingpong", 1, "consumers", "at most", 1.4, "starlette"),
    _compare("a delivery in a group of 1,000", "fanout", 1_000, "consumers", "at most", 0.5, "litestar"),
    _compare("a delivery in a group of 1,000", "fanout", 1_000, "channels", "at least", 100, "consumers"),
    _compare("connect and close", "connect", 1, "consumers", "at most", 1.6, "litestar"),
    Goal("tasks of an idle member", (("tasks", 1_000, "consumers"),), "at most", 1, (("tasks", 1_000, "bare"),), 1),
    Goal("KiB of an idle member", (("idle", 1_000, "consumers"),), "at most", 1, (("idle", 1_000, "bare"),), 10),
    _compare("echoes on the wire", "wire-echo", 100, "consumers", "at least", 0.85, "starlette"),
    _compare("deliveries on the wire", "wire-fanout", 1_000, "consumers", "at least", 0.62, "bare"),
    _compare("deliveries on the wire", "wire-fanout", 1_000, "consumers", "at least", 12, "channels"),
    _compare(
        "a 1 KB object dumped by each member's handler", "json", 1_000, "consumers", "at least", 3, "consumers_raw"
    ),
    _shared("a shared frame", "wire-fanout", 1.15),
    _shared("a shared frame of 1 KB", "wire-fanout-1k", 1.15),
    _shared("each of four frames at once", "wire-four", 3),
    _shared("each of sixteen frames at once", "wire-sixteen", 8),
    _compare("a shared frame in process", "fanout", 1_000, "consumers_shared", "at most", 3, "bare"),
    _compare("echo of a model", "typed", 1, "typed", "at most", 1.2, "by_hand"),
    _compare("echo of a model", "typed", 1, "chanx", "at least", 10, "typed"),
    _compare("a delivery of a model in a group of 1,000", "typed-fanout", 1_000, "typed", "at most", 1.2, "by_hand"),
    Goal(
        "a round beside idle connections, to one without",
        (("wire-idle", 100, "consumers"),),
        "at most",
        1.2,
        ((ALONE, 100, "consumers"),),
    ),
)


def verdicts(results: Results, options: Options) -> Iterator[tuple[bool, str]]:
    """Whether each goal of what was to be measured is reached, and how far."""
    return (goal.verdict(results, options) for goal in GOALS if goal.is_asked_for(options))
