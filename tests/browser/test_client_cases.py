"""The browser's client in a browser of the test's own making, whose time and whose servers are under control."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..support.pages import ROOT
from ..support.slow import left_to_ci

FOLDER = Path(__file__).parent
MODULE = ROOT / "consumers" / "client" / "consumers.js"
NODE = shutil.which("node")


def node(program: str, *words: str) -> str:
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(FOLDER / program), str(MODULE), *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def cases(*words: str) -> Any:
    return json.loads(node("client_cases.mjs", *words))


@pytest.fixture(scope="module")
def failures() -> dict[str, str | None]:
    """What has failed, by the name of the case."""
    if NODE is None:
        pytest.skip("there is no node")
    failures: dict[str, str | None] = cases()
    return failures


@pytest.mark.parametrize("name", cases("--names") if NODE else ["of no case"])
def test_the_client_is_right_about(name: str, failures: dict[str, str | None]) -> None:
    assert failures[name] is None


@pytest.mark.parametrize(("first", "last"), [(1, 300), *left_to_ci((301, 5000))])
def test_whatever_listeners_servers_and_pages_do_no_promise_is_broken(first: int, last: int) -> None:
    if NODE is None:
        pytest.skip("there is no node")
    node("client_fuzz.mjs", str(first), str(last))
