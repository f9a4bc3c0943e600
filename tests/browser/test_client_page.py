"""The page of docs/howto/client.md: whoever copies it has a chat that comes back, without npm."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from starlette.responses import HTMLResponse

from consumers.client import client_files

from ..support.examples import run
from ..support.pages import blocks
from ..support.servers import uvicorn_server

PAGE = "docs/howto/client.md"


def test_the_page_is_a_chat_that_comes_back(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application = run(blocks(PAGE, "python")[0].text)["app"]
    (tmp_path / "chat.html").write_text(blocks(PAGE, "html")[0].text)
    monkeypatch.chdir(tmp_path)
    context = browser.new_context()
    with uvicorn_server(application) as server:
        port, tabs = server.port, [context.new_page(), context.new_page()]
        for tab in tabs:
            tab.goto(f"http://127.0.0.1:{port}")
            expect(tab.get_by_role("status")).to_have_text("open")
        tabs[0].get_by_label("Message").fill("hello")
        tabs[0].keyboard.press("Enter")
        for tab in tabs:
            expect(tab.get_by_role("listitem")).to_have_text(["hello"])
    expect(tabs[0].get_by_role("status")).to_have_text("offline")
    with uvicorn_server(application, port):
        expect(tabs[0].get_by_role("status")).to_have_text("open")
        tabs[0].get_by_label("Message").fill("again")
        tabs[0].get_by_role("button", name="Send").click()
        expect(tabs[0].get_by_role("listitem")).to_have_text(["hello", "again"])
    context.close()


TWENTY_LINES = """<!doctype html>
<html lang="en">
  <title>Chat</title>
  <p id="state" role="status"></p>
  <ul id="log"></ul>
  <form><label>Message <input name="text"></label></form>
  <script type="module">
    import { Client } from "/consumers/consumers.js"
    const client = new Client("/chat/1")
    client.onState((state) => (document.querySelector("#state").textContent = state))
    client.on("message", ({ text }) => {
      document.querySelector("#log").append(Object.assign(document.createElement("li"), { textContent: text }))
    })
    document.querySelector("form").onsubmit = (event) => {
      event.preventDefault()
      client.send({ type: "message", text: event.target.text.value })
    }
  </script>
</html>
"""


def test_a_page_of_twenty_lines_speaks_with_the_readmes_chat_and_misses_nothing(browser: Browser) -> None:
    application = run(blocks("README.md", "python")[0].text)["app"]
    application.mount("/consumers", client_files())
    application.get("/", response_class=HTMLResponse)(lambda: TWENTY_LINES)
    context = browser.new_context()
    with uvicorn_server(application) as server:
        first, second = context.new_page(), context.new_page()
        for tab in (first, second):
            tab.goto(f"http://127.0.0.1:{server.port}")
            expect(tab.get_by_role("status")).to_have_text("open")
        first.get_by_label("Message").fill("hello")
        first.keyboard.press("Enter")
        for tab in (first, second):
            expect(tab.get_by_role("listitem")).to_have_text(["hello"])
        second.reload()
        expect(second.get_by_role("listitem")).to_have_text(["hello"])
    context.close()
