"""The demo's panel "Connection": how the page's connections are, and what breaks them, in a real browser."""

import re
from collections.abc import Callable

from playwright.sync_api import Browser, Locator, Page, expect

from example_project.consumers.answer import ANSWER

from .driving import Demo, Wire, ask, break_with, join, log, people, say, words

NOTE_CLOSES = """
const Original = WebSocket
window.closes = []
window.WebSocket = class extends Original {
  constructor(...words) {
    super(...words)
    this.addEventListener("close", ({ code, wasClean }) => closes.push([code, wasClean]))
  }
}
"""


def panel(page: Page) -> Locator:
    return page.locator("#connections")


def row(page: Page, name: str) -> Locator:
    """Return how a connection is: its state, its position, its gaps."""
    return panel(page).get_by_role("row", name=name).get_by_role("cell")


def test_it_shows_the_state_and_the_position_of_each_connection(open_tab: Callable[[], Page]) -> None:
    page = open_tab()
    expect(row(page, "Chat")).to_have_text(["Not in use", "–", "0"])
    join(page, "Ada")
    expect(row(page, "Chat")).to_have_text(["Connected", re.compile(r"room \w{4}…\s0"), "0"])
    for number in range(1, 4):
        say(page, str(number))
        expect(row(page, "Chat").nth(1)).to_have_text(re.compile(rf"room \w{{4}}…\s{number}"))
    expect(row(page, "Chat").nth(1)).to_have_attribute("title", re.compile(r"\w+-\w+\.3"))
    ask(page, "Why?")
    expect(row(page, "Answer")).to_have_text(["Connected", re.compile(r"answer \w{4}…\s\d+"), "0"])
    page.get_by_role("button", name="Leave").click()
    expect(row(page, "Chat")).to_have_text(["Not in use", "–", "0"])


def test_a_connection_that_is_cut_is_lost_without_a_close_frame_and_comes_back(open_tab: Callable[[], Page]) -> None:
    page = open_tab()
    page.add_init_script(NOTE_CLOSES)
    page.reload()
    join(page, "Ada")
    expect(people(page)).to_have_text(["Ada (you)"])
    break_with(page, "Cut")
    expect(panel(page).get_by_role("status")).to_have_text(re.compile(r"Chat: back after \d\.\d s, nothing missed\."))
    expect(log(page)).to_contain_text("Connected again.")
    expect(row(page, "Chat").first).to_have_text("Connected")
    assert page.evaluate("closes") == [[1006, False]]


def test_a_killed_connection_counts_down_catches_up_and_says_what_it_missed(open_tab: Callable[[], Page]) -> None:
    ada, bob = open_tab(), open_tab()
    join(ada, "Ada")
    join(bob, "Bob")
    expect(people(ada)).to_have_count(2)
    break_with(ada, "Kill the server’s side")
    expect(row(ada, "Chat").first).to_have_text(re.compile(r"Next try in [3-6] s"))
    expect(ada.locator("#chat .countdown")).to_have_text(re.compile(r"Connection lost\. Next try in [3-6] s\."))
    for text in ("one", "two"):
        say(bob, text)
    say(ada, "three")
    expect(words(bob)).to_have_text(["one", "two"])  # nobody else's connection is touched
    expect(bob.locator("#chat .link")).to_have_text("Connected")
    expect(words(ada)).to_have_text(["one", "two", "three"])
    expect(panel(ada).get_by_role("status")).to_have_text(
        re.compile(r"Chat: back after [3-6]\.\d s, 2 missed messages came\.")
    )
    expect(row(ada, "Chat").nth(2)).to_have_text("0")


def test_while_a_connection_is_delayed_what_is_said_waits_and_then_comes_in_order(open_tab: Callable[[], Page]) -> None:
    ada, bob = open_tab(), open_tab()
    join(ada, "Ada")
    join(bob, "Bob")
    expect(people(ada)).to_have_count(2)
    break_with(ada, "Delay")
    expect(panel(ada).get_by_role("status")).to_contain_text("Delayed.")
    say(bob, "one")
    expect(words(bob)).to_have_text(["one"])
    say(ada, "two")
    expect(log(ada).locator(".waiting .words")).to_have_text(["two"])
    assert words(ada).count() == 0
    for page in (ada, bob):
        expect(words(page)).to_have_text(["one", "two"])
    expect(row(ada, "Chat").first).to_have_text("Connected")


def test_a_gap_is_counted_and_said(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    join(page, "Ada")
    say(page, "Is lost with the server's memory")
    expect(words(page)).to_have_count(1)
    restart(demo)
    expect(row(page, "Chat")).to_have_text(["Connected", re.compile(r"room \w{4}…\s0"), "1"])
    expect(panel(page).get_by_role("status")).to_contain_text("messages may be missing.")


def restart(demo: Demo) -> None:
    demo.process.kill()
    demo.process.communicate()
    demo.start()


def test_where_there_is_nothing_to_break_it_says_so(open_tab: Callable[[], Page]) -> None:
    page = open_tab()
    break_with(page, "Cut")
    expect(panel(page).get_by_role("status")).to_contain_text("There is no connection to break.")


def test_both_connections_break_and_the_answer_loses_no_word(open_tab: Callable[..., Page], wire: Wire) -> None:
    page = open_tab(wire.port)
    join(page, "Ada")
    ask(page, "Why?")
    expect(page.locator("#stream .text")).to_contain_text("That is a good question")
    for _ in range(3):
        break_with(page, "Cut")
        status = panel(page).get_by_role("status")
        expect(status).to_contain_text("Chat: back after")
        expect(status).to_contain_text("Answer: back after")
    expect(page.locator("#stream .state")).to_have_text("That is the whole answer.", timeout=60_000)
    assert page.locator("#stream .text").inner_text().strip() == ANSWER.format("Why?")


def test_on_a_phone_all_targets_have_room_for_a_finger_and_nothing_is_cut_off(browser: Browser, demo: Demo) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(demo.url)
    join(page, "Ada")
    expect(people(page)).to_have_text(["Ada (you)"])
    page.get_by_role("button", name="Begin").tap()
    break_with(page, "Kill the server’s side")
    expect(page.get_by_role("button", name="Reconnect now")).to_be_visible()
    controls = page.locator("button:visible, input:visible")
    sizes = controls.evaluate_all("all => all.map((each) => [each.offsetWidth, each.offsetHeight])")
    assert len(sizes) > 15
    assert min(min(size) for size in sizes) >= 44
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    overlaps = (
        panel(page).locator("td, th").evaluate_all("all => all.filter((each) => each.scrollWidth > each.offsetWidth)")
    )
    assert overlaps == []
    context.close()


def test_the_panel_is_reached_and_used_with_the_keyboard(open_tab: Callable[[], Page]) -> None:
    page = open_tab()
    join(page, "Ada")
    expect(people(page)).to_have_text(["Ada (you)"])
    page.get_by_role("textbox", name="Command").focus()
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.split('\\n')[0]"))
    assert reached == ["Run", "Cut", "Delay", "Kill the server’s side"]
    page.keyboard.press("Enter")
    expect(page.locator("#chat")).to_have_attribute("data-state", "offline")
    expect(panel(page).get_by_role("button", name="Kill the server’s side")).to_be_focused()
    expect(panel(page).get_by_role("status")).to_have_text("Killed. The server has said when to come back.")


def test_nothing_moves_for_those_who_want_no_motion(browser: Browser, demo: Demo) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(demo.url)
    page.evaluate("document.getElementById('chat').dataset.state = 'connecting'")
    name = "getComputedStyle(document.querySelector('#chat .link'), '::before').animationName"
    assert page.evaluate(name) == "none"
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(name) == "pulse"
    context.close()
