"""docs/reference/logging.md: it has every logger, with the levels that each uses, and its example works."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from ..support.pages import ROOT, blocks

PAGE = "docs/reference/logging.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")

COLUMN_OF = {"exception": 0, "error": 0, "warning": 0, "info": 1, "debug": 2}
"""Which cell of the table tells of a level."""

USE = """
from consumers import InMemoryChannelLayer
import anyio
anyio.run(InMemoryChannelLayer().group_send, "nobody", {"type": "test"})
logging.getLogger("consumers.connection").debug("not shown")
"""


def used() -> dict[str, set[int]]:
    """Return which columns of the table each logger of the code needs."""
    found: dict[str, set[int]] = defaultdict(set)
    for package in ("consumers", "compat"):
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            for name in re.findall(r'^logger = logging\.getLogger\("([\w.]+)"\)', text, re.MULTILINE):
                levels = re.findall(r"logger\.(debug|info|warning|error|exception)\(", text)
                found[name] |= {COLUMN_OF[level] for level in levels}
    return found


def test_every_logger_is_there_and_tells_something_at_each_level_that_it_uses() -> None:
    rows = {
        name: [bool(cell.strip()) for cell in cells.split("|")]
        for name, cells in re.findall(r"^\| `([\w.]+)` \|(.*)\|$", TEXT, re.MULTILINE)
    }
    code = used()
    assert sorted(rows) == sorted(code)
    for name, columns in code.items():
        assert [name for column in columns if not rows[name][column]] == []


def test_the_example_shows_what_it_says(tmp_path: Path) -> None:
    [example] = blocks(PAGE, "python")
    run = subprocess.run(
        [sys.executable, "-c", example.text + USE], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    [line] = run.stderr.splitlines()
    assert "DEBUG consumers.layers: A message of type 'test' reached nobody" in line
