"""docs/reference/metrics.md: its tables are those of the code."""

import re
import runpy

from consumers.telemetry import semconv

from ..support.pages import ROOT

TEXT = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    updated = runpy.run_path(str(ROOT / "docs/reference/instruments.py"))["updated"]
    assert updated(TEXT) == TEXT, "run: python docs/reference/instruments.py"
    assert updated(TEXT.replace("| `limit` |", "| `other` |")) == TEXT


def test_every_attribute_is_explained_and_no_other() -> None:
    table = TEXT.partition("## Attributes\n")[2].partition("\n- ")[0]
    explained = re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)
    assert sorted(explained) == sorted({name for each in semconv.INSTRUMENTS.values() for name in each.attributes})


def test_close_codes_are_called_as_the_page_says() -> None:
    for code, label in (
        (1000, "1000"),
        (1015, "1015"),
        (4001, "4001"),
        (3001, "3xxx"),
        (4002, "4xxx"),
        (5000, "_OTHER"),
    ):
        assert semconv.close_label(code, frozenset({4001})) == label
        assert f"`{label}`" in TEXT
    assert "`rejected`" in TEXT
    assert (min(semconv.SECONDS), max(semconv.SECONDS)) == (0.0005, 60)
