"""Who is in a room of the demo's chat, as its visitors see it in a real browser."""

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from ..support.processes import stopped
from ..support.redis_server import RedisServer
from .driving import Demo, join, log, notes, people, say, words

LEASE = 3  # seconds


def demo_with(**presence: int) -> tuple[str, str]:
    """Return a command line of Python that serves the demo with other options of presence."""
    program = f"""
import sys
from example_project import app
from example_project.__main__ import main

app.layer["CONFIG"]["presence"] = {presence}
app.consumers.channel_layers.configure({{"default": app.layer}})
sys.exit(main())
"""
    return "-c", program


def test_the_tabs_of_one_browser_are_one_person_who_leaves_with_the_last(open_tab: Callable[..., Page]) -> None:
    ada, bob = open_tab(), open_tab()
    join(ada, "Ada")
    join(bob, "Bob")
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    say(bob, "Mine")
    expect(words(ada)).to_have_text(["Mine"])

    other = open_tab(beside=bob)
    expect(other.get_by_label("Your name")).to_have_value("Bob")
    other.keyboard.press("Enter")
    expect(people(other)).to_have_text(["Bob (you)", "Ada"])
    expect(log(other).locator(".mine .words")).to_have_text(["Mine"])
    expect(notes(other)).to_have_text(["You joined lobby."])
    other.get_by_label("Message").press_sequentially("By")
    expect(ada.locator(".typing")).to_have_text("Bob is typing…")
    expect(bob.locator(".typing")).to_be_empty()
    other.keyboard.press("Enter")
    expect(log(bob).locator(".mine .words")).to_have_text(["Mine", "By"])

    for tab in (bob, other):
        expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
        tab.close()
    expect(people(ada)).to_have_text(["Ada (you)"])
    expect(notes(ada)).to_have_text(["You joined lobby.", "Bob joined.", "Bob left."])


def test_who_reloads_the_page_is_in_the_room_again_and_has_not_left(open_tab: Callable[..., Page]) -> None:
    ada, bob = open_tab(), open_tab()
    join(ada, "Ada")
    join(bob, "Bob")
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    bob.reload()
    expect(people(bob)).to_have_text(["Bob (you)", "Ada"])
    expect(notes(bob)).to_have_text(["You joined lobby."])
    say(bob, "Back")
    expect(words(ada)).to_have_text(["Back"])
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    bob.get_by_role("button", name="Leave").click()
    expect(bob.get_by_label("Your name")).to_have_value("Bob")
    bob.reload()
    expect(bob.get_by_role("button", name="Join")).to_be_visible()
    bob.close()
    expect(notes(ada)).to_have_text(["You joined lobby.", "Bob joined.", "Bob left."])


def test_a_person_with_two_names_has_one_entry_with_both(open_tab: Callable[..., Page]) -> None:
    ada, bob = open_tab(), open_tab()
    join(ada, "Ada")
    join(bob, "Bob")
    other = open_tab(beside=bob)
    join(other, "Robert")
    expect(people(ada)).to_have_text(["Ada (you)", "Bob / Robert"])
    expect(people(bob)).to_have_text(["Bob / Robert (you)", "Ada"])
    other.reload()
    expect(people(other)).to_have_text(["Bob / Robert (you)", "Ada"])
    other.close()
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    expect(notes(ada)).to_have_text(["You joined lobby.", "Bob joined."])


def test_of_too_many_people_their_number_is_shown_until_there_are_fewer(
    open_tab: Callable[..., Page], demo: Demo
) -> None:
    demo.stop(signal.SIGKILL)
    demo.start(*demo_with(grace=1, max_list=2))
    tabs = ada, bob, eve = [open_tab() for _ in range(3)]
    for tab, name in zip(tabs, ("Ada", "Bob", "Eve"), strict=True):
        join(tab, name)
        expect(people(tab).first).to_have_text(re.compile(r".* \(you\)|3 people"))
    for tab in tabs:
        expect(people(tab)).to_have_text(["3 people"])
    eve.close()
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    expect(people(bob)).to_have_text(["Bob (you)", "Ada"])
    expect(notes(ada)).to_have_text(["You joined lobby.", "Bob joined."])


@pytest.fixture
def two_servers(demo: Demo, redis_server: RedisServer) -> Iterator[Demo]:
    """Have the demo serve beside another, which is returned, on one Redis and with a short lease."""
    other = Demo()
    demo.stop(signal.SIGKILL)
    for server in (demo, other):
        server.start(*demo_with(grace=1, lease=LEASE), REDIS_URL=redis_server.url)
    yield other
    other.stop(signal.SIGKILL)


def test_the_people_of_a_server_that_is_killed_vanish_and_come_back_with_it(
    open_tab: Callable[..., Page], redis_server: RedisServer, two_servers: Demo
) -> None:
    ada, bob, kim, other = open_tab(), open_tab(two_servers.port), open_tab(two_servers.port), open_tab()
    join(ada, "Ada")
    join(bob, "Bob")
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    join(kim, "Kim")
    expect(people(ada)).to_have_text(["Ada (you)", "Bob", "Kim"])
    other.evaluate("id => localStorage.id = id", kim.evaluate("localStorage.id"))  # of another address
    join(other, "Kim")
    expect(people(other).first).to_have_text("Kim (you)")

    two_servers.stop(signal.SIGKILL)
    expect(people(ada)).to_have_text(["Ada (you)", "Kim"], timeout=1000 * (LEASE + 2))
    two_servers.start(*demo_with(grace=1, lease=LEASE), REDIS_URL=redis_server.url)
    for page in (ada, bob, kim, other):
        expect(people(page)).to_have_count(3)
    expect(people(ada)).to_have_text(["Ada (you)", "Bob", "Kim"])
    expect(log(kim)).to_contain_text("Connected again.")
    said = ["You joined lobby.", "Bob joined.", "Kim joined.", "Bob left.", "Bob joined."]
    expect(notes(ada)).to_have_text(said)


def test_who_comes_back_from_a_worker_that_was_killed_was_never_gone(
    open_tab: Callable[..., Page], two_processes: list[int]
) -> None:
    ada, bob = open_tab(), open_tab()
    for tab, name, worker in zip((ada, bob), ("Ada", "Bob"), reversed(two_processes), strict=True):
        with stopped(worker):
            join(tab, name)
            expect(people(tab).first).to_have_text(f"{name} (you)")
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    os.kill(two_processes[1], signal.SIGKILL)
    expect(notes(bob).last).to_have_text("Connected again.")
    say(bob, "Back")
    expect(words(ada)).to_have_text(["Back"])
    for tab, names in ((ada, ["Ada (you)", "Bob"]), (bob, ["Bob (you)", "Ada"])):
        expect(people(tab)).to_have_text(names)
    expect(notes(ada)).to_have_text(["You joined lobby.", "Bob joined."])
