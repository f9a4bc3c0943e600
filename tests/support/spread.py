"""How evenly times are spread: clients that come back at the same moment are a storm."""

from collections.abc import Iterable
from math import sqrt

SIGNIFICANCE = 1.95
"""Times the square root of how many: an even spread is further off once in a thousand times."""


def is_even(times: Iterable[float], first: float, last: float) -> bool:
    """Tell whether times may be an even spread from the first to the last, by the test of Kolmogorov and Smirnov."""
    ordered = sorted(times)
    count = len(ordered)
    shares = [min(1.0, max(0.0, (time - first) / (last - first))) for time in ordered]
    distance = max(max((index + 1) / count - share, share - index / count) for index, share in enumerate(shares))
    return distance * sqrt(count) < SIGNIFICANCE
