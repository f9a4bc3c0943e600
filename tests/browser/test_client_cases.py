"""The browser's client in a browser of the test's own making, whose time and whose servers are under control."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..support.pages import ROOT

CASES = Path(__file__).parent / "client_cases.mjs"
MODULE = ROOT / "consumers" / "client" / "consumers.js"
NODE = shutil.which("node")


def node(*words: str) -> Any:
    assert NODE is not None
    done = subprocess.run([NODE, str(CASES), str(MODULE), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def failures() -> dict[str, str | None]:
    """What has failed, by the name of the case."""
    if NODE is None:
        pytest.skip("there is no node")
    failures: dict[str, str | None] = node()
    return failures


@pytest.mark.parametrize("name", node("--names") if NODE else ["of no case"])
def test_the_client_is_right_about(name: str, failures: dict[str, str | None]) -> None:
    assert failures[name] is None
