"""docs/howto/observability.md: its example measures, and so does its test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from consumers.telemetry import semconv

from ..support.pages import blocks
from ..support.processes import run_pytest

PAGE = "docs/howto/observability.md"

CLIENT = """
from starlette.testclient import TestClient

for _ in range(2):  # as in a test suite
    with TestClient(app) as client, client.websocket_connect("/echo") as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "hello"
"""


@pytest.mark.slow
def test_the_pages_example_measures_what_it_says(tmp_path: Path) -> None:
    run = _run_with_example(tmp_path, CLIENT)
    flushed, end = json.JSONDecoder().raw_decode(run.stdout)
    again, _ = json.JSONDecoder().raw_decode(run.stdout[end:].lstrip())
    for data, opened in ((flushed, 1), (again, 2)):
        [scope] = data["resource_metrics"][0]["scope_metrics"]
        assert scope["scope"]["name"] == semconv.METER_NAME
        metrics = {metric["name"]: metric for metric in scope["metrics"]}
        assert metrics.keys() == semconv.INSTRUMENTS.keys()
        assert metrics["consumers.connection.opened"]["data"]["data_points"][0]["value"] == opened


@pytest.mark.slow
def test_the_pages_own_test_passes_each_time_the_application_starts(tmp_path: Path) -> None:
    application, test = blocks(PAGE, "python")
    for block in (application, test):
        assert block.file is not None
        (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    run = run_pytest("-q", "-p", "anyio", "-W", "error", "--capture", "no", str(tmp_path), cwd=tmp_path)
    assert run.returncode == 0, run.stdout
    assert "2 passed" in run.stdout


def _run_with_example(directory: Path, code: str) -> "subprocess.CompletedProcess[str]":
    file = directory / "example.py"
    file.write_text(blocks(PAGE, "python")[0].text + code, encoding="utf-8")
    run = subprocess.run([sys.executable, str(file)], cwd=directory, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run
