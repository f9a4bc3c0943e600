"""The tutorial's pages for the browser, in Chromium."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page, expect

from ..support.processes import PATIENCE
from ..support.proxy import proxying
from ..support.tutorial import serving_step
from .driving import Wire, say


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens the page at a port in a new tab; at the end no tab may have had an error of its own."""
    errors: list[str] = []
    contexts = []

    def open_tab(port: int, user: str) -> Page:
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept(user))
        page.goto(f"http://127.0.0.1:{port}/")
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert errors == []


def sign_in(page: Page, user: str, password: str = "") -> None:
    page.get_by_label("Name").fill(user)
    page.get_by_label("Password").fill(password or f"secret of {user}")
    page.get_by_role("button", name="Sign in").click()


def expect_people(page: Page, names: str) -> None:
    expect(page.locator("#people")).to_have_text(names)


def expect_said(page: Page, *lines: str) -> None:
    expect(page.get_by_role("listitem")).to_have_text(list(lines))


def test_tabs_show_who_comes_and_who_has_left(open_tab: Callable[..., Page], tmp_path: Path) -> None:
    with serving_step("presence", tmp_path) as (port, _):
        ann, bob = open_tab(port, "ann"), open_tab(port, "bob")
        for tab in (ann, bob):
            expect_people(tab, "ann, bob")
        say(ann, "hello")
        for tab in (ann, bob):
            expect_said(tab, "ann: hello")
        bob.close()
        expect_people(ann, "ann")


def test_a_user_signs_in_and_talks(open_tab: Callable[..., Page], tmp_path: Path) -> None:
    with serving_step("sign-in", tmp_path) as (port, _):
        ann = open_tab(port, "")
        sign_in(ann, "ann", "secret of bob")
        expect_said(ann, "The name or the password is wrong")
        sign_in(ann, "ann")
        expect_people(ann, "ann")
        say(ann, "hello")
        expect_said(ann, "The name or the password is wrong", "ann: hello")


def test_the_page_shows_what_is_wrong_with_a_message(open_tab: Callable[..., Page], tmp_path: Path) -> None:
    with serving_step("typed", tmp_path) as (port, _):
        ann = open_tab(port, "")
        sign_in(ann, "ann")
        expect_people(ann, "ann")
        say(ann, "")
        expect_said(ann, "String should have at least 1 character")
        say(ann, "hello")
        expect_said(ann, "String should have at least 1 character", "ann: hello")


def test_a_tab_misses_nothing(open_tab: Callable[..., Page], tmp_path: Path) -> None:
    with start_blocking_portal() as portal, serving_step("recovery", tmp_path) as (port, _):
        with portal.wrap_async_context_manager(proxying(port)) as proxy:
            wire = Wire(proxy, portal)
            ann, bob = open_tab(port, ""), open_tab(wire.port, "")
            for tab, user in ((ann, "ann"), (bob, "bob")):
                sign_in(tab, user)
            for tab in (ann, bob):
                expect_people(tab, "ann, bob")
            say(ann, "one")
            expect_said(bob, "ann: one")
            wire.cut()
            expect(bob.get_by_role("status")).to_have_text("offline")
            for text in ("two", "three"):
                say(ann, text)
            say(bob, "while offline")
            wire.mend()
            for tab in (ann, bob):
                expect_said(tab, "ann: one", "ann: two", "ann: three", "bob: while offline")


def test_a_tab_begins_anew_when_the_history_is_lost(open_tab: Callable[..., Page], tmp_path: Path) -> None:
    with serving_step("recovery", tmp_path) as (port, process):
        ann = open_tab(port, "")
        sign_in(ann, "ann")
        say(ann, "before")
        expect_said(ann, "ann: before")
        process.terminate()
        process.wait(PATIENCE)
    with serving_step("recovery", tmp_path, port=port):
        expect_said(ann)
        expect_people(ann, "ann")
        say(ann, "anew")
        expect_said(ann, "ann: anew")
