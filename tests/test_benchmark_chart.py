"""The chart of the benchmark has a line for each library."""

import pytest

from benchmarks.chart import COLOURS, draw


@pytest.mark.parametrize("count", [1, len(COLOURS), len(COLOURS) + 3])
def test_every_line_is_drawn_and_named(count: int) -> None:
    names = [f"library {number}" for number in range(count)]
    chart = draw({name: [(10, 1.0 + number), (100, 2.0 + number)] for number, name in enumerate(names)})
    assert chart.count("<polyline") == count
    assert [name for name in names if f">{name}<" not in chart] == []
