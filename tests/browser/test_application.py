"""The page of docs/howto/application.md, in Chromium, on two workers and through a proxy that cuts its connections."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page, expect

from ..support.application import copy_of_the_application, serving_the_application
from ..support.proxy import proxying
from ..support.redis_server import RedisServer
from .driving import Wire


@pytest.fixture
def wire(tmp_path: Path, redis_server: RedisServer) -> Iterator[Wire]:
    with serving_the_application(copy_of_the_application(tmp_path), redis_server.url) as (port, _):
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(proxying(port)) as proxy:
            yield Wire(proxy, portal)


@pytest.fixture
def open_tab(browser: Browser, wire: Wire) -> Iterator[Callable[[], Page]]:
    errors: list[str] = []
    contexts = []

    def open_tab() -> Page:
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{wire.port}/chat/")
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert errors == []


def log_in(page: Page, user: str, password: str = "", room: str = "cats") -> None:
    page.get_by_label("Name").fill(user)
    page.get_by_label("Password").fill(password or f"secret of {user}")
    page.get_by_label("Room").fill(room)
    page.get_by_role("button", name="Enter").click()


def say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def expect_said(page: Page, *lines: str) -> None:
    expect(page.get_by_role("log").get_by_role("listitem")).to_have_text(list(lines))


def test_members_log_in_talk_see_each_other_come_back_and_log_out(
    open_tab: Callable[[], Page], wire: Wire, redis_server: RedisServer
) -> None:
    ann, bob = open_tab(), open_tab()
    log_in(ann, "ann", "secret of bob")
    expect(ann.get_by_role("alert")).to_have_text("There is no such user, or the password is wrong")
    log_in(ann, "ann", room="dogs")
    expect(ann.get_by_role("alert")).to_have_text("This room is for its members")
    for tab, user in ((ann, "ann"), (bob, "bob")):
        log_in(tab, user)
    for tab in (ann, bob):
        expect(tab.get_by_text("ann, bob")).to_be_visible()
    say(ann, "hello")
    for tab in (ann, bob):
        expect_said(tab, "ann: hello")

    wire.cut()
    for tab in (ann, bob):
        expect(tab.get_by_role("status")).to_contain_text("Offline")
    say(bob, "while offline")
    wire.mend()
    for tab in (ann, bob):
        expect_said(tab, "ann: hello", "bob: while offline")

    wire.cut()
    redis.Redis.from_url(redis_server.url).flushall()
    wire.mend()
    expect_said(ann)
    say(ann, "anew")
    for tab in (ann, bob):
        expect_said(tab, "ann: anew")

    other = open_tab()
    log_in(other, "bob")
    expect_said(other, "ann: anew")
    other.get_by_role("button", name="Log out").click()
    for tab in (bob, other):
        expect(tab.get_by_role("alert")).to_have_text("You have logged out")
        expect(tab.get_by_role("button", name="Enter")).to_be_visible()
    expect(ann.get_by_text("ann, bob")).to_be_hidden()
    say(ann, "still here")
    expect_said(ann, "ann: anew", "ann: still here")
