"""The example of docs/howto/layers.md: a channel layer, and the test class that shows that it is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.pages import ROOT, blocks
from ..support.processes import run_pytest

LAYER, TESTS = blocks("docs/howto/layers.md", "python")

UNITTEST = """
import unittest

class TestOnUnittest(LayerContract, unittest.IsolatedAsyncioTestCase):
    def make_layer(self):
        return PlainLayer()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plain_layer.py").write_text(LAYER.text, encoding="utf-8")
    (tmp_path / "test_plain_layer.py").write_text(TESTS.text, encoding="utf-8")
    (tmp_path / "test_on_unittest.py").write_text(
        TESTS.text.partition("@pytest")[0].replace("import pytest", "") + UNITTEST, encoding="utf-8"
    )
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """Run Python in a folder; return what it says on both streams, after it has ended well."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_layer_of_the_example_keeps_the_contract_on_both_event_loops(folder: Path) -> None:
    ended = run_pytest("-q", "-p", "anyio", "-W", "error", "test_plain_layer.py", cwd=folder)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    passed = int(said.rpartition(" passed")[0].split()[-1])
    assert passed >= 2 * 20
    assert "failed" not in said and "skipped" not in said


@pytest.mark.slow
def test_the_contract_runs_on_unittest_without_pytest(folder: Path) -> None:
    for_none = "import sys; sys.modules['pytest'] = None; import unittest; "
    said = run(folder, "-c", for_none + "unittest.main('test_on_unittest', argv=['', '-q'])")
    assert "OK" in said and "skipped" not in said


def test_the_example_is_a_short_one() -> None:
    lines = LAYER.text.partition("class PlainLayer")[2].splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 80
