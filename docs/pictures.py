"""Takes the README's pictures of the demo, light and dark, into docs/images: `python -m docs.pictures`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.driving import Demo, ask, break_with, entries, join, people, say

IMAGES = Path(__file__).with_name("images")
WIDTH, HEIGHT = 1200, 1150  # CSS pixels; the picture has twice as many
LARGEST = 300_000  # bytes


@contextmanager
def demo_running() -> Iterator[Demo]:
    """Have the demo on a port of its own."""
    demo = Demo()
    demo.start()
    try:
        yield demo
    finally:
        demo.process.terminate()
        demo.process.communicate()


def open_page(browser: Browser, demo: Demo, scheme: Literal["light", "dark"] = "light") -> Page:
    """Open the demo as somebody else than all the others."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT},
        device_scale_factor=2,
        color_scheme=scheme,
        locale="en-GB",
        reduced_motion="reduce",
    )
    page.goto(f"{demo.url}/#lobby")
    return page


def use_small_panels(page: Page) -> None:
    """Start the ticker, run some commands, begin the game and ask a question."""
    page.locator("#ticker").get_by_role("button").click()
    page.get_by_role("button", name="/slow 5").click()
    page.get_by_role("button", name="/roll 2d6").click()
    page.get_by_role("button", name="/time").click()
    page.get_by_role("button", name="Begin").click()
    for answer in ("Ada", "10"):
        count = page.locator("#dialogue .question").count() if answer != "Ada" else 0
        expect(page.locator("#dialogue .question")).to_have_count(count or 1)
        page.get_by_label("Your answer").fill(answer)
        page.keyboard.press("Enter")
        expect(page.locator("#dialogue .you").last).to_have_text(answer)
    ask(page, "Does a reload lose a word?")


def play(ada: Page, grace: Page) -> None:
    """Have two people talk while the connection of one breaks, and end before the answer does."""
    join(ada, "Ada")
    join(grace, "Grace")
    expect(people(ada)).to_have_count(2)
    say(grace, "Is this thing connected?")
    say(ada, "For now. Watch me kill it.")
    use_small_panels(ada)
    expect(people(grace)).to_have_count(2)
    break_with(ada, "Kill")
    expect(entries(ada).last).to_have_text("The connection was lost.")
    say(grace, "You are gone, but your name is still here.")
    say(grace, "Will you get this?")
    expect(entries(ada).last).to_have_text("Connected again.")
    say(ada, "Both of them, in order. Nothing is missing.")
    expect(ada.locator("#ticker .count")).to_have_text(re.compile(r"Tick [6-9]\d"), timeout=60_000)
    grace.get_by_label("Message").press_sequentially("Then")
    expect(ada.locator(".typing")).to_have_text("Grace is typing…")


def main() -> None:
    """Take both pictures, of the same scene."""
    IMAGES.mkdir(exist_ok=True)
    with demo_running() as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        ada, grace = open_page(browser, demo), open_page(browser, demo)
        play(ada, grace)
        for scheme, name in (("light", "demo.png"), ("dark", "demo-dark.png")):
            ada.emulate_media(color_scheme=scheme)
            ada.screenshot(path=IMAGES / name, full_page=True)
            size = (IMAGES / name).stat().st_size
            print(f"{IMAGES / name}: {size:,} bytes{'' if size <= LARGEST else ', which is too large'}")
        browser.close()


if __name__ == "__main__":
    main()
