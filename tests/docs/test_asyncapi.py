"""The example of docs/howto/asyncapi.md, and what the page says of the document and the command."""

import re

import pytest
from starlette.testclient import TestClient

from consumers.__main__ import main
from consumers.typed import asyncapi_document

from ..support.examples import run
from ..support.pages import ROOT, blocks

TEXT = (ROOT / "docs/howto/asyncapi.md").read_text(encoding="utf-8")
[EXAMPLE] = (block.text for block in blocks("docs/howto/asyncapi.md", "python"))


def test_the_example_serves_its_document_and_its_page() -> None:
    client = TestClient(run(EXAMPLE)["app"])
    assert "<!doctype html>" in client.get("/asyncapi").text
    document = client.get("/asyncapi/asyncapi.json").json()
    assert document["asyncapi"] in TEXT
    assert document["info"]["title"] == "Sums"
    [channel] = document["channels"].values()
    assert channel["parameters"]["base"]["enum"] == ["ten", "two"]
    [given] = document["components"]["messages"]["Add"]["examples"]
    with client.websocket_connect("/sums/ten") as websocket:
        websocket.send_json(given["payload"])
        assert websocket.receive_json() == {"type": "sum", "value": 3}


def test_the_document_without_servers_has_none() -> None:
    assert "servers" not in asyncapi_document(run(EXAMPLE)["app"])


def test_the_options_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["asyncapi", "--help"])
    known = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    [table] = re.findall(r"\| option \| meaning \|\n((?:\|.*\n)+)", TEXT)
    assert set(re.findall(r"--[a-z]+", table)) == known
