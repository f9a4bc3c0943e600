"""The browser's client as a file: its types, its size, and when many of them come back."""

import gzip
import json
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from consumers.client import client_files
from consumers.typed.typescript import typescript_module

from ..support.npm import npm_modules
from ..support.pages import ROOT
from ..support.spread import is_even
from ..support.tsc import compile_programs
from .documented import application

FOLDER = ROOT / "consumers" / "client"
LARGEST = 6 * 1024
"""Bytes, gzipped."""

STRICT = ["--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]

RIGHT = """
import { Client, ClientError } from "./consumers"
import type { Channels } from "./messages"

interface Written {
  in: { type: "move"; x: number }
  out: { type: "moved"; x: number }
  replies: object
}
const client = new Client<Channels["Chat"]>("/chat/1", { token: async () => "token" })
client.on("said", (message) => message.text.length + message.user.length)
client.on("joined", (message) => message.label.length)
client.onState((state, { retryIn }) => (state === "offline" ? retryIn?.toFixed() : state))
export async function say(): Promise<string> {
  try {
    const said = await client.request({ type: "say", text: "hello" }, { timeout: 5000 })
    return said.text
  } catch (error) {
    return error instanceof ClientError ? error.code : ""
  }
}
export function listen(written: Client<Written>) {
  written.on("joined", ({ label, position, recovered, missed }) => (recovered ? position?.at(missed) : label.length))
  written.on("gap", ({ label }) => label.length)
  written.on("expires", (message) => message.in.toFixed())
  written.on("error", ({ code, errors: [first] }) => code.length + (first?.msg.length ?? 0))
  written.on("ack", ({ to }) => to.toString())
  written.on("pong", ({ type }) => type.length)
  written.on("*", (message) => message.x.toFixed())
}
const untyped = new Client(new URL("wss://host/x"), { since: client.positions })
untyped.on("anything", (message) => message.whatever)
untyped.close()
"""

WRONG = {
    "no_such_message": 'client.request({ type: "shout", text: "hello" })',
    "a_field_of_another_type": 'client.send({ type: "say", text: 5 })',
    "no_such_type": 'client.on("shouted", () => {})',
    "a_field_that_is_not_there": 'client.on("said", (message) => message.txt)',
    "an_answer_of_another_type": 'client.request({ type: "say", text: "" }).then((said) => said.code)',
    "a_field_that_the_protocol_has_not": 'client.on("gap", (message) => message.position)',
    "what_is_not_for_all": 'client.on("*", (message) => message.label)',
    "no_such_option": 'new Client("/x", { tokn: () => "x" })',
}


def test_the_module_is_small() -> None:
    size = len(gzip.compress((FOLDER / "consumers.js").read_bytes(), 9))
    print(f"consumers.js: {size} bytes, gzipped")
    assert size <= LARGEST


@pytest.mark.slow
def test_the_module_has_the_types_that_it_says(tmp_path: Path) -> None:
    command = [str(npm_modules() / ".bin" / "tsc"), *STRICT, "--allowJs", "--checkJs", "--lib", "es2023,dom"]
    done = subprocess.run([*command, "consumers.js", "consumers.d.ts"], cwd=FOLDER, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
def test_the_types_of_an_application_fit_in(tmp_path: Path) -> None:
    declared = (FOLDER / "consumers.d.ts").read_text()
    begin = 'import { Client } from "./consumers"\nimport type { Channels } from "./messages"\n'
    begin += 'declare const client: Client<Channels["Chat"]>\n'
    wrong = {name: f"{begin}{line}" for name, line in WRONG.items()}
    (tmp_path / "consumers.d.ts").write_text(declared)
    programs = {"messages": typescript_module(application), "right": RIGHT, **wrong}
    assert compile_programs(programs, tmp_path, libraries=["es2022", "dom"]).keys() == wrong.keys()


def test_the_package_for_npm_has_what_the_page_gets() -> None:
    package = json.loads((FOLDER / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert package["version"] == project["version"] == version("starlette-consumers")
    assert package["license"] == project["license"]
    assert sorted(package["files"]) == ["consumers.d.ts", "consumers.js"]
    for file in (package["exports"]["."]["default"], package["exports"]["."]["types"], *package["files"]):
        assert (FOLDER / file).is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "first", "last"), [("retry=5-20", 5000, 20_000), ("", 0, 500), ("full, retry=0.5-1.5", 500, 1500)]
)
def test_clients_whose_server_goes_away_come_back_spread_evenly(reason: str, first: float, last: float) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    words = [node, str(Path(__file__).parent / "simulation.mjs"), str(FOLDER / "consumers.js"), "5000", reason, "7"]
    times = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert len(times) == 5000
    assert first <= min(times)
    assert max(times) <= last
    assert is_even(times, first, last)
    assert not is_even(times, first, last + (last - first) / 4)


@pytest.mark.parametrize("name", ["consumers.js", "consumers.d.ts"])
def test_the_address_has_the_version_in_it(name: str) -> None:
    with TestClient(Starlette(routes=[Mount("/consumers", client_files())])) as client:
        redirect = client.get(f"/consumers/{name}", follow_redirects=False)
        assert (redirect.status_code, redirect.headers["cache-control"]) == (307, "no-cache")
        file = client.get(f"/consumers/{name}")
        assert file.text == (FOLDER / name).read_text()
        assert version("starlette-consumers") in file.url.path
        assert "immutable" in file.headers["cache-control"]
        assert client.head(f"/consumers/{name}").status_code == 200
        assert client.get("/consumers/__init__.py").status_code == 404


def test_a_client_behind_a_prefix_is_found() -> None:
    app = Starlette(routes=[Mount("/base", Starlette(routes=[Mount("/consumers", client_files())]))])
    with TestClient(app) as client:
        assert client.get("/base/consumers/consumers.js").status_code == 200
