"""Writes the tables of metrics.md from `consumers/telemetry/semconv.py`: `python docs/reference/instruments.py`."""

import re
from pathlib import Path

from consumers.telemetry import semconv

PAGE = Path(__file__).with_name("metrics.md")


def rows(*cells: tuple[str, ...]) -> str:
    """Return a table's lines."""
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


TABLES = {
    "name": rows(
        *(
            (f"`{name}`", each.kind, f"`{each.unit}`", each.description, ", ".join(f"`{a}`" for a in each.attributes))
            for name, each in semconv.INSTRUMENTS.items()
        )
    ),
    "reason": rows(*((f"`{reason}`", text) for reason, text in semconv.REASONS.items())),
}


def updated(text: str) -> str:
    """Return the page with the tables as they should be."""
    for head, lines in TABLES.items():
        [found] = re.finditer(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)*)", text, re.MULTILINE)
        text = text[: found.start(1)] + lines + text[found.end(1) :]
    return text


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
