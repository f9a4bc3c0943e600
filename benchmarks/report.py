"""The tables of a run."""

from collections.abc import Iterable, Iterator

from .peers import PEERS
from .plan import IN_PROCESS, WIRE, Options
from .results import NOT_OFFERED, Results
from .wire.run import ALONE, CPU

Row = tuple[str, str, int, str]
"""A row's title, the scenario and the size that its figures have in the results, and what they count."""


def rows(options: Options, name: str) -> Iterator[Row]:
    """The rows of one scenario."""
    if name in IN_PROCESS:
        spec = IN_PROCESS[name]
        for size in map(options.size, spec.sizes):
            yield f"{name}: {spec.title.format(f'{size:,}')}", name, size, spec.unit
        return
    size = options.size(WIRE[name].size)
    title = f"{name}: {WIRE[name].title.format(f'{size:,}')}"
    if name == "wire-idle":
        for beside, key in (("alone", ALONE), (f"beside {options.size(options.crowd):,} idle connections", name)):
            yield f"{title}, {beside}", key, size, "µs/round"
            yield f"{title}, {beside}, server's CPU time", key + CPU, size, "µs/round"
    else:
        unit = "message" if WIRE[name].endpoint == "echo" else "delivery"
        yield title, name, size, f"{unit}s/s".replace("ys/", "ies/")
        yield f"{title}, server's CPU time", name + CPU, size, f"µs/{unit}"


def table(results: Results, options: Options, names: Iterable[str]) -> str:
    """The figures as a Markdown table: a row for each scenario and size, a column for each peer that offers one."""
    lines = [row for name in names for row in rows(options, name)]
    columns = [(PEERS[peer], [cell(results, key, size, peer) for _, key, size, _ in lines]) for peer in options.peers]
    columns = [(peer, cells) for peer, cells in columns if set(cells) != {NOT_OFFERED}]
    head = ["scenario", "", *(peer for peer, _ in columns)]
    return markdown(
        [head] + [[title, unit, *(cells[n] for _, cells in columns)] for n, (title, _, _, unit) in enumerate(lines)]
    )


def cell(results: Results, key: str, size: int, peer: str) -> str:
    """A median, or why there is none."""
    median = results.median(key, size, peer)
    return results.notes.get((key, size, peer), "") if median is None else figure(median)


def figure(value: float) -> str:
    """A number with three significant digits."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def markdown(lines: list[list[str]]) -> str:
    """Rows, the first of them the head, as a Markdown table whose columns line up; the first two are text."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["| " + " | ".join(_aligned(line, widths)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if n < 2 else ":") for n, width in enumerate(widths)) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    return [
        text.ljust(width) if n < 2 else text.rjust(width)
        for n, (text, width) in enumerate(zip(line, widths, strict=True))
    ]
