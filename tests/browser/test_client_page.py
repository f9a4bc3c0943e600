"""The page of docs/howto/client.md: whoever copies it has a chat that comes back, without npm."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

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
