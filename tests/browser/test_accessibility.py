"""The demo's page for those who see little, hear it read aloud or have no mouse, in a real browser."""

import signal
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from .driving import Demo, ask, break_with, entries, join, people, say

CONTRAST = 4.5  # WCAG 2.2, 1.4.3

# Returns the texts that can be seen with their contrasts, lowest first. A canvas understands any notation of a colour.
CONTRASTS = """() => {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })
  function painted(...colours) {
    for (const colour of colours) {
      pixel.fillStyle = colour
      pixel.fillRect(0, 0, 1, 1)
    }
    const [red, green, blue] = [...pixel.getImageData(0, 0, 1, 1).data].map((byte) => {
      const part = byte / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  function contrast(element, part) {
    const grounds = []
    for (let each = element; each; each = each.parentElement) grounds.unshift(getComputedStyle(each).backgroundColor)
    const ground = painted("white", ...grounds)
    const ink = painted("white", ...grounds, getComputedStyle(element, part).color)
    return (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05)
  }
  const found = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode
    if (data.trim() && parentElement.checkVisibility()) found.push([contrast(parentElement), data.trim()])
  }
  for (const field of document.querySelectorAll("input")) {
    if (!field.checkVisibility()) continue
    found.push([contrast(field), field.id], [contrast(field, "::placeholder"), field.placeholder])
  }
  return found.sort(([one], [other]) => one - other)
}"""

# Notes what is read aloud: what changes in a live region.
NOTE_ALOUD = """() => {
  window.aloud = []
  const live = "[role=alert], [role=status], [role=log], [aria-live=polite]"
  new MutationObserver((changes) => {
    for (const { target, addedNodes } of changes) {
      const region = (target.closest ? target : target.parentElement).closest(live)
      if (region?.checkVisibility() && addedNodes.length) window.aloud.push(region.textContent.trim())
    }
  }).observe(document.body, { childList: true, characterData: true, subtree: true })
}"""

Scheme = Literal["light", "dark"]


def assert_readable(page: Page, *, texts: int) -> None:
    found: list[tuple[float, str]] = page.evaluate(CONTRASTS)
    assert len(found) > texts
    assert [(contrast, text) for contrast, text in found if contrast < CONTRAST] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(open_tab: Callable[[], Page], demo: Demo, scheme: Scheme) -> None:
    page = open_tab()
    page.emulate_media(color_scheme=scheme)
    page.keyboard.press("Enter")
    expect(page.locator("#name-problem")).to_have_text("Choose a name first.")
    assert_readable(page, texts=40)
    join(page, "Ada")
    say(page, "Hello")
    page.get_by_role("button", name="Begin").click()
    page.get_by_label("Your answer").press("Enter")
    expect(page.locator("#answer-problem")).to_have_text("Please write an answer.")
    page.get_by_label("Your answer").fill("Ada")
    page.keyboard.press("Enter")
    ask(page, "Why?")
    for command in ("/help", "/slow 5"):
        page.get_by_role("button", name=command).click()
    page.get_by_label("Command", exact=True).fill("/nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_text("There is no command /nonsense.")).to_be_visible()
    page.locator("#ticker").get_by_role("button").click()
    expect(page.locator("#ticker .count")).to_contain_text("Tick")
    assert_readable(page, texts=60)
    break_with(page, "Kill the server’s side")
    demo.stop(signal.SIGKILL)
    say(page, "Waits")
    expect(page.locator(".waiting")).to_be_visible()
    expect(page.locator(".notice:visible")).to_have_count(4)
    for button in page.get_by_role("button").all():
        button.hover()
        assert_readable(page, texts=60)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybodys_colour_has_contrast(open_tab: Callable[[], Page], scheme: Scheme) -> None:
    page = open_tab()
    page.emulate_media(color_scheme=scheme)
    join(page, "Ada")
    say(page, "Hello")
    expect(page.locator(".message")).to_be_visible()
    page.evaluate("""() => {
      for (const selector of [".people li", ".message"]) {
        const first = document.querySelector(selector)
        for (let hue = 0; hue < 360; hue += 5) {
          const another = first.cloneNode(true)
          another.style.setProperty("--hue", hue)
          first.after(another)
        }
      }
    }""")
    assert_readable(page, texts=2 * 72)


def test_all_controls_have_names_and_differ_by_them(open_tab: Callable[[], Page]) -> None:
    page = open_tab()
    session = page.context.new_cdp_session(page)

    def names() -> list[str]:
        """Return the names of what can have the focus, as a screen reader hears them: each with what it is."""
        nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
        found = []
        for node in nodes:
            properties = {each["name"]: each["value"].get("value") for each in node.get("properties", ())}
            if properties.get("focusable") and node["role"]["value"] != "RootWebArea":
                found.append(f"{node['name']['value']}, {node['role']['value']}")
        return found

    def texts(found: list[str]) -> set[str]:
        return {name.removesuffix(", textbox") for name in found if name.endswith(", textbox")}

    before = names()
    join(page, "Ada")
    page.get_by_role("button", name="Begin").click()
    ask(page, "Why?")
    expect(people(page)).to_have_text(["Ada (you)"])
    after = names()
    for found in (before, after):
        assert len(found) > 18
        assert [name for name in found if name.startswith(",")] == []
        assert len(set(found)) == len(found)
    assert texts(before) == {"Your name", "Room", "Command", "Question"}  # their labels, not what stands in them
    assert texts(after) == {"Message", "Command", "Question", "Your answer"}
    assert "lobby, log" in after
    session.detach()


def test_the_focus_goes_down_a_phones_page_and_is_seen(open_tab: Callable[[], Page]) -> None:
    page = open_tab()
    page.set_viewport_size({"width": 375, "height": 800})
    join(page, "Ada")
    expect(page.get_by_label("Message")).to_be_focused()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.locator("h1").click()
    places = []
    while True:
        page.keyboard.press("Tab")
        place = page.evaluate("""() => {
          const element = document.activeElement
          if (element === document.body) return null
          const { left, top, height } = element.getBoundingClientRect()
          const { outlineStyle, outlineWidth } = getComputedStyle(element)
          return { left, middle: top + height / 2 + scrollY, outline: `${outlineWidth} ${outlineStyle}` }
        }""")
        if place is None:
            break
        places.append(place)
        assert len(places) < 60
    assert len(places) > 18
    assert {place["outline"] for place in places} == {"3px solid"}
    for above, below in pairwise(places):
        assert (round(above["middle"]), above["left"]) < (round(below["middle"]) + 4, below["left"] + 4)


def test_a_long_loss_is_read_aloud_once_and_so_is_the_return(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    join(page, "Ada")
    expect(people(page)).to_have_text(["Ada (you)"])
    page.evaluate(NOTE_ALOUD)
    demo.stop(signal.SIGKILL)
    for _ in range(6):  # the seconds go by, and attempts fail
        expect(page.locator("#chat .countdown")).not_to_have_text(page.locator("#chat .countdown").inner_text())
    assert page.evaluate("aloud.filter((text) => text.endsWith('The connection was lost.')).length") == 1
    assert page.evaluate("aloud.length") == 1
    demo.start()
    expect(entries(page).last).to_have_text("Connected again. Some messages may be missing.", timeout=60_000)
    aloud = page.evaluate("aloud.splice(0)")
    assert len(aloud) <= 3  # in the log, and in the report of the panel "Connection"


@pytest.mark.parametrize("width", [320, 375])
def test_a_narrow_page_does_not_scroll_sideways(open_tab: Callable[[], Page], width: int) -> None:
    page = open_tab()
    page.set_viewport_size({"width": width, "height": 740})
    join(page, "A name of thirty characters!!!")
    say(page, "x" * 300)
    page.get_by_role("button", name="/help").click()
    ask(page, "y" * 200)
    expect(page.locator("#stream .text")).to_contain_text("y" * 200)
    expect(page.locator(".message")).to_be_visible()
    break_with(page, "Kill the server’s side")
    expect(page.locator("#chat .notice")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_log_stays_at_its_end_unless_its_reader_has_scrolled_up(open_tab: Callable[[], Page]) -> None:
    ada, bob = open_tab(), open_tab()
    for page, name in ((ada, "Ada"), (bob, "Bob")):
        join(page, name)
        expect(people(page).first).to_have_text(f"{name} (you)")
    for number in range(40):
        say(ada, str(number))
    newest = ada.locator(".message").last
    expect(bob.locator(".message").last).to_contain_text("39")
    expect(newest).to_be_in_viewport()
    ada.set_viewport_size({"width": 1280, "height": 500})
    expect(newest).to_be_in_viewport()

    def place(message: Locator) -> float:
        box = message.bounding_box()
        assert box is not None
        return box["y"]

    first = ada.locator(".message").first
    first.scroll_into_view_if_needed()
    expect(newest).not_to_be_in_viewport()
    before = place(first)
    for number in range(3):
        say(bob, f"Meanwhile {number}")
    expect(newest).to_contain_text("Meanwhile 2")
    assert place(first) == pytest.approx(before, abs=1)
