"""Takes the README's pictures of the demo, light and dark, into docs/images: `python -m docs.pictures`."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, FloatRect, Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.driving import Demo, ask, break_with, entries, join, people, say

IMAGES = Path(__file__).with_name("images")
WIDTH, HEIGHT = 1060, 1370  # CSS pixels; a picture has twice as many, and ends below the panel "Connection"
GAP = 14  # CSS pixels
LARGEST = 300_000  # bytes


@contextmanager
def demo_running() -> Iterator[Demo]:
    """Have the demo on a port of its own."""
    demo = Demo()
    demo.start()
    try:
        yield demo
    finally:
        demo.stop(signal.SIGKILL)


def open_page(browser: Browser, demo: Demo, scheme: Literal["light", "dark"]) -> Page:
    """Open the demo as somebody else than all the others."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT},
        device_scale_factor=2,
        color_scheme=scheme,
        locale="en-GB",
        reduced_motion="reduce",
    )
    page.clock.install()
    page.goto(demo.url)
    return page


def play(ada: Page, grace: Page) -> None:
    """Have two people talk while the connection of one breaks, beside a ticker and some commands."""
    join(ada, "Ada")
    join(grace, "Grace")
    expect(people(ada)).to_have_count(2)
    ada.locator("#ticker").get_by_role("button").click()
    for command in ("/slow 5", "/roll 2d6", "/time"):
        ada.get_by_role("button", name=command).click()
    say(grace, "What if your connection breaks?")
    expect(entries(ada).last).to_contain_text("breaks?")
    expect(ada.locator("#ticker .count")).to_have_text(re.compile(r"Tick [5-9]\d"), timeout=60_000)
    break_with(ada, "Kill")
    expect(entries(ada).last).to_have_text("The connection was lost.")
    say(grace, "You are gone, but your name is still here.")
    say(grace, "Will you get this?")
    expect(entries(ada).last).to_contain_text("Will you get this?")
    say(ada, "Yes: both, and in order.")
    ask(ada, "Does a reload lose a word?")
    expect(ada.locator("#stream .text")).to_contain_text("You asked")
    grace.get_by_label("Message").press_sequentially("Then")
    expect(ada.locator(".typing")).to_have_text("Grace is typing…")
    ada.evaluate("document.activeElement.blur()")
    ada.mouse.move(0, 0)


def upper_panels(page: Page) -> FloatRect:
    """Return where the panels are, from the chat to "Connection", with most of the gaps around them."""
    first, last = (page.locator(panel).bounding_box() for panel in ("#chat", "#connections"))
    assert first is not None
    assert last is not None
    return {"x": 0, "y": first["y"] - GAP, "width": WIDTH, "height": last["y"] + last["height"] - first["y"] + 2 * GAP}


def main() -> None:
    """Take both pictures, each of a scene that is played for it."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        take(browser, "light", IMAGES / "demo.png")
        take(browser, "dark", IMAGES / "demo-dark.png")
        browser.close()


def take(browser: Browser, scheme: Literal["light", "dark"], file: Path) -> None:
    """Take a picture; raise AssertionError if it is large."""
    with demo_running() as demo:
        ada, grace = open_page(browser, demo, scheme), open_page(browser, demo, scheme)
        play(ada, grace)
        demo.process.send_signal(signal.SIGSTOP)
        ada.clock.pause_at(datetime.now() + timedelta(milliseconds=100))  # or the sign of typing would go meanwhile
        ada.screenshot(path=file, full_page=True, clip=upper_panels(ada))
    size = file.stat().st_size
    print(f"{file}: {size:,} bytes")
    assert size <= LARGEST


if __name__ == "__main__":
    main()
