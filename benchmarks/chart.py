"""The chart of the cost of a delivery against the members of a group, both axes logarithmic, as SVG."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle

WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 80, 140, 50, 60
LINE = 15
"""The least distance between two labels."""

COLOURS = ("#1b1b1b", "#0072b2", "#d55e00", "#a33f00", "#009e73", "#cc79a7", "#8a6d00", "#6a3d9a", "#5b6b7b", "#b0187b")
"""Okabe and Ito's, for the most part: told apart with any eyesight. With more lines, they begin anew."""

Points = Sequence[tuple[int, float]]


class Axis:
    """Maps the decades from `low` to `high` to the pixels from `start` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low = math.floor(math.log10(low))
        self._high = math.ceil(math.log10(high))
        self._start, self._end = start, end

    @property
    def decades(self) -> list[float]:
        return [10.0**exponent for exponent in range(self._low, self._high + 1)]

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)


def draw(series: Mapping[str, Points]) -> str:
    """Draw one line for each series of (members, µs per delivery).

    Args:
        series: the points by name; a series that ends early is labelled where it ends.
    """
    members = [x for points in series.values() for x, _ in points]
    costs = [y for points in series.values() for _, y in points]
    across = Axis(min(members), max(members), LEFT, WIDTH - RIGHT)
    up = Axis(min(costs), max(costs), HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="13" fill="#1b1b1b">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 26, "What a text to a group costs: µs per delivery, in one process", size=16),
        *_grid(across, up),
    ]
    labels = []
    for colour, (name, points) in zip(cycle(COLOURS), series.items(), strict=False):
        places = [(across(x), up(y)) for x, y in points]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in places]
        ended = "" if points[-1][0] == max(members) else ": stops here"
        labels.append((*places[-1], name + ended, colour))
    return "\n".join([*parts, *_labels(labels), "</svg>", ""])


def _grid(across: Axis, up: Axis) -> list[str]:
    parts = []
    for value in across.decades:
        x = across(value)
        parts.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 20, f"{value:,g}", anchor="middle"))
    for value in up.decades:
        y = up(value)
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#dddddd"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{value:g} µs" if value < 1000 else f"{value:,.0f} µs", anchor="end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "members of the group", anchor="middle"))
    return parts


def _labels(labels: list[tuple[float, float, str, str]]) -> list[str]:
    """Names beside the ends of the lines, moved apart where they would overlap."""
    parts = []
    last: dict[float, float] = {}
    for x, y, name, colour in sorted(labels, key=lambda label: label[1]):
        place = max(y + 4, last.get(x, 0) + LINE)
        last[x] = place
        parts.append(_text(x + 9, place, name, colour=colour))
    return parts


def _text(x: float, y: float, text: str, size: int = 13, anchor: str = "start", colour: str = "#1b1b1b") -> str:
    style = f'font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'
