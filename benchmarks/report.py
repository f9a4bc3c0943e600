"""The tables of a run."""

from collections.abc import Iterable

from .plan import IN_PROCESS, Options
from .results import Results


def figure(value: float) -> str:
    """A number with three significant digits."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def table(results: Results, options: Options, names: Iterable[str]) -> str:
    """The figures as a Markdown table: a row for each scenario and size, a column for each peer."""
    rows = [["", *options.peers]]
    for name in names:
        spec = IN_PROCESS[name]
        for size in map(options.size, spec.sizes):
            title = f"{name}: {spec.title}" + (f" of {size:,}" if size > 1 else "") + f", {spec.unit}"
            cells = []
            for peer in options.peers:
                median = results.median(name, size, peer)
                cells.append(results.notes.get((name, size, peer), "") if median is None else figure(median))
            rows.append([title, *cells])
    return markdown(rows)


def markdown(rows: list[list[str]]) -> str:
    """Rows, the first of them the head, as a Markdown table whose columns line up."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in rows]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
