"""docs/observability.md: its tables are those of the code, and its example runs."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

from consumers.telemetry import table

from ..pages import ROOT, blocks

PAGE = "docs/observability.md"

CLIENT = """
from starlette.testclient import TestClient

with TestClient(app) as client, client.websocket_connect("/echo") as websocket:
    websocket.send_text("hello")
    assert websocket.receive_text() == "hello"
provider.shutdown()
"""


def test_the_pages_tables_are_those_of_the_code() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    updated = runpy.run_path(str(ROOT / "docs/instruments.py"))["updated"]
    assert updated(text) == text, "run: python docs/instruments.py"
    assert updated(text.replace("| `limit` |", "| `other` |")) == text


def test_the_page_explains_every_attribute() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    for attribute in {attribute for each in table.INSTRUMENTS.values() for attribute in each.attributes}:
        assert f"\n| `{attribute}` |" in text, attribute


def test_the_pages_example_measures_what_it_says(tmp_path: Path) -> None:
    [example] = blocks(PAGE, "python")
    file = tmp_path / "example.py"
    file.write_text(example.text + CLIENT, encoding="utf-8")
    run = subprocess.run([sys.executable, str(file)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    [scope] = json.loads(run.stdout)["resource_metrics"][0]["scope_metrics"]
    assert scope["scope"]["name"] == table.METER_NAME
    assert {metric["name"] for metric in scope["metrics"]} == table.INSTRUMENTS.keys()
