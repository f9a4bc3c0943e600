"""The demo's chat and answers as their visitors have them, in a real browser."""

import json
import os
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Page, expect

from consumers import channel_layers
from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.typed import group_send_message_sync
from example_project.app import OPTIONS
from example_project.consumers.answer import ANSWER
from example_project.consumers.chat import Person, Said

from ..support.redis_server import RedisServer
from .driving import Demo, Wire, ask, entries, join, log, people, say, words


def test_two_tabs_chat_in_a_room_and_a_third_in_another_room_sees_nothing(
    open_tab: Callable[[], Page],
) -> None:
    ada, bob, eve = open_tab(), open_tab(), open_tab()
    join(ada, "Ada")
    expect(people(ada)).to_have_text(["Ada (you)"])
    join(bob, "Bob")
    join(eve, "Eve", "elsewhere")
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    expect(people(bob)).to_have_text(["Bob (you)", "Ada"])
    expect(people(eve)).to_have_text(["Eve (you)"])
    expect(log(ada)).to_contain_text("Bob joined.")

    say(ada, "Hello, Bob!")
    expect(log(bob)).to_contain_text("Hello, Bob!")
    expect(log(ada)).to_contain_text("Hello, Bob!")
    say(bob, "Hello, Ada!")
    expect(log(ada)).to_contain_text("Hello, Ada!")
    say(eve, "Is there anybody?")
    expect(log(eve).locator(".message .words")).to_have_text(["Is there anybody?"])
    expect(log(ada).locator(".message .words")).to_have_text(["Hello, Bob!", "Hello, Ada!"])

    bob.close()
    expect(people(ada)).to_have_text(["Ada (you)"])
    expect(log(ada)).to_contain_text("Bob left.")
    ada.get_by_role("button", name="Leave").click()
    expect(ada.get_by_label("Your name")).to_be_focused()


def test_what_people_write_is_shown_as_text_and_never_run(open_tab: Callable[[], Page]) -> None:
    markup = "<img src=x onerror=\"document.title='run'\">"
    ada, bob = open_tab(), open_tab()
    join(ada, "Ada")
    join(bob, "<i>Bob</i>")
    expect(people(ada)).to_have_text(["Ada (you)", "<i>Bob</i>"])
    say(bob, markup)
    expect(log(ada).locator(".words")).to_have_text([markup])
    assert ada.locator("#chat img, #chat i").count() == 0
    expect(ada).to_have_title("Consumers")


def test_names_rooms_and_messages_that_will_not_do_are_answered_beside_the_field(
    open_tab: Callable[[], Page],
) -> None:
    page = open_tab()
    name = page.get_by_label("Your name")
    expect(name).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#name-problem")).to_have_text("Choose a name first.")
    expect(name).to_have_attribute("aria-invalid", "true")
    join(page, "x" * 31)
    expect(page.locator("#name-problem")).to_have_text("That name has 31 characters; 30 is the limit.")
    join(page, "Ada", "no such/room")
    expect(page.locator("#name-problem")).to_be_empty()
    expect(page.locator("#room-problem")).to_contain_text("A room name is 1 to 40 letters")
    join(page, "Ada", "")
    expect(page.locator("#room-problem")).to_contain_text("A room name is 1 to 40 letters")
    join(page, "Ada", "tea")
    expect(page.get_by_label("Message")).to_be_focused()
    too_long = "x" * 1001
    say(page, too_long)
    expect(page.locator("#text-problem")).to_have_text("That message has 1001 characters; 1000 is the limit.")
    expect(page.get_by_label("Message")).to_have_value(too_long)


def test_tabs_say_that_the_server_is_gone_and_chat_again_when_it_is_back(
    open_tab: Callable[[], Page], demo: Demo
) -> None:
    ada, bob = open_tab(), open_tab()
    join(ada, "Ada")
    join(bob, "Bob")
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])

    demo.stop(signal.SIGKILL)
    for page in (ada, bob):
        expect(page.locator("#chat .notice").get_by_role("alert")).to_have_text("Connection lost.")
        expect(page.locator("#chat .countdown")).to_contain_text("Connection lost. Next try in")
        expect(page.locator("#chat .link")).to_have_text("Disconnected")
    say(ada, "Not lost")
    expect(log(ada).locator(".waiting")).to_have_text("On its way Not lost")

    demo.start()
    for page in (ada, bob):
        expect(log(page)).to_contain_text("Connected again. Some messages may be missing.")
        expect(page.locator("#chat .link")).to_have_text("Connected")
        expect(page.locator("#chat .notice")).to_be_hidden()
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    expect(people(bob)).to_have_text(["Bob (you)", "Ada"])
    for page in (ada, bob):
        expect(words(page)).to_have_text(["Not lost"])
    expect(log(ada).locator(".waiting")).to_have_count(0)


def test_a_newcomer_sees_what_was_said_before_and_when(open_tab: Callable[[], Page]) -> None:
    ada = open_tab()
    join(ada, "Ada")
    for number in range(3):
        say(ada, f"Message {number}")
    expect(words(ada)).to_have_count(3)
    bob = open_tab()
    join(bob, "Bob")
    expect(words(bob)).to_have_text(["Message 0", "Message 1", "Message 2"])
    expect(log(bob).locator(".by")).to_have_text(["Ada"] * 3)
    times = [tab.locator("time").evaluate_all("all => all.map(time => time.dateTime)") for tab in (ada, bob)]
    assert times[0] == times[1]
    expect(entries(bob).last).to_have_text("You joined lobby.")


def test_a_tab_whose_connection_is_cut_shows_all_that_was_said_meanwhile_once_and_in_order(
    open_tab: Callable[..., Page], wire: Wire
) -> None:
    ada, bob = open_tab(wire.port), open_tab()
    frames: list[dict[str, Any]] = []
    ada.on("websocket", lambda ws: ws.on("framereceived", lambda frame: frames.append(json.loads(frame))))
    join(ada, "Ada")
    join(bob, "Bob")
    expect(people(bob)).to_have_count(2)
    said = []
    for part in ("before", "meanwhile", "meanwhile again"):
        if part != "before":
            say(ada, f"Ada's, {part}")  # the last that gets through
            said.append(f"Ada's, {part}")
            expect(words(bob)).to_have_text(said)
            wire.cut()
            expect(entries(ada).last).to_have_text("The connection was lost.")
        for number in range(3):
            say(bob, f"Bob's {number}, {part}")
            said.append(f"Bob's {number}, {part}")
            expect(words(bob)).to_have_text(said)
        wire.mend()
        expect(words(ada)).to_have_text(said)
    expect(log(ada).locator(".mine .words")).to_have_text(["Ada's, meanwhile", "Ada's, meanwhile again"])
    expect(log(ada).get_by_text("Connected again.", exact=True)).to_have_count(2)
    assert [frame["text"] for frame in frames if frame["type"] == "said"] == said


def test_what_was_on_its_way_when_the_connection_was_lost_is_said_once(
    open_tab: Callable[..., Page], demo: Demo, wire: Wire
) -> None:
    ada, bob = open_tab(wire.port), open_tab()
    for page, name in ((ada, "Ada"), (bob, "Bob")):
        join(page, name)
    expect(people(ada)).to_have_count(2)
    say(ada, "Arrives")
    expect(words(bob)).to_have_text(["Arrives"])
    wire.hold()
    say(ada, "Is on its way")
    wire.cut()
    expect(log(ada)).to_contain_text("The connection was lost.")
    wire.mend()
    for page in (ada, bob):
        expect(words(page)).to_have_text(["Arrives", "Is on its way"])
    say(ada, "Next")
    for page in (ada, bob):
        expect(words(page)).to_have_text(["Arrives", "Is on its way", "Next"])


def test_tabs_miss_nothing_when_both_processes_that_serve_them_are_killed(
    open_tab: Callable[..., Page], demo: Demo, redis_server: RedisServer, two_processes: list[int]
) -> None:
    tabs = [open_tab() for _ in range(4)]
    for tab, name in zip(tabs, ("Ada", "Bob", "Eve", "Kim"), strict=True):
        join(tab, name)
    for tab in tabs:
        expect(people(tab)).to_have_count(4)
    say(tabs[0], "Before")
    for tab in tabs:
        expect(words(tab)).to_have_text(["Before"])

    os.kill(demo.process.pid, signal.SIGSTOP)  # or it would start others at once
    for worker in two_processes:
        os.kill(worker, signal.SIGKILL)
    for tab in tabs:
        expect(log(tab)).to_contain_text("The connection was lost.")
    layer = RedisPubSubChannelLayer([redis_server.url], prefix="example", history=OPTIONS["history"])
    previous = channel_layers.set("default", layer)
    meanwhile = [f"Meanwhile {number}" for number in range(60)]  # more than a newcomer gets
    for text in meanwhile:
        said = Said(person=Person(id="1", name="A script"), text=text, sent=datetime(2026, 1, 1, tzinfo=UTC))
        group_send_message_sync("chat.lobby", said)
    channel_layers.set("default", previous)
    os.kill(demo.process.pid, signal.SIGCONT)
    for tab in tabs:
        expect(words(tab)).to_have_text(["Before", *meanwhile], timeout=60_000)
        expect(log(tab).get_by_text("Connected again.", exact=True)).to_have_count(1)
        expect(people(tab)).to_have_count(4)


def test_who_is_typing_is_shown_to_the_others_and_not_to_themselves(open_tab: Callable[[], Page]) -> None:
    ada, bob, eve = open_tab(), open_tab(), open_tab()
    for page, name in ((ada, "Ada"), (bob, "Bob"), (eve, "Eve")):
        join(page, name)
    expect(people(ada)).to_have_count(3)
    ada.get_by_label("Message").press_sequentially("He")
    for page in (bob, eve):
        expect(page.locator(".typing")).to_have_text("Ada is typing…")
    bob.get_by_label("Message").press_sequentially("Hi")
    expect(eve.locator(".typing")).to_have_text(re.compile("Ada and Bob are typing…|Bob is typing…"))
    expect(ada.locator(".typing")).to_have_text("Bob is typing…")
    bob.keyboard.press("Enter")
    expect(words(ada)).to_have_text(["Hi"])
    expect(ada.locator(".typing")).to_be_empty()
    for page in (bob, eve):
        expect(page.locator(".typing")).to_be_empty()  # some seconds after the last key
    ada.get_by_label("Message").press_sequentially("l")
    expect(bob.locator(".typing")).to_have_text("Ada is typing…")
    ada.get_by_role("button", name="Leave").click()
    expect(bob.locator(".typing")).to_be_empty()


def test_an_answer_goes_on_through_a_reload_and_a_cut_connection_with_nothing_missing_or_twice(
    open_tab: Callable[..., Page], wire: Wire
) -> None:
    page = open_tab(wire.port)
    panel, question = page.locator("#stream"), "Why <b>so</b>?"
    text, state = panel.locator(".text"), panel.locator(".state")
    whole = ANSWER.format(question)
    ask(page, question)
    expect(text).to_contain_text(" ".join(whole.split()[:10]))
    seen = len(text.inner_text())
    page.reload()
    expect(page.get_by_role("textbox", name="Question")).to_have_value(question)
    expect(text).to_contain_text(whole[:seen])
    expect(state).to_have_text("Reload this page now: the answer goes on.")  # so the rest is yet to come
    expect(text).to_contain_text(" ".join(whole.split()[:25]))
    wire.cut()
    expect(panel.locator(".notice")).to_be_visible()
    begun = text.inner_text()
    wire.mend()
    expect(panel.locator(".link")).to_have_text("Connected")
    assert whole.startswith(begun.strip())
    expect(state).to_have_text("That is the whole answer.", timeout=60_000)
    assert text.inner_text().strip() == whole
    page.reload()
    expect(state).to_have_text("That is the whole answer.")
    assert text.inner_text().strip() == whole


def test_an_answer_that_is_gone_or_cannot_be_had_is_said(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    panel = page.locator("#stream")
    ask(page, "x" * 201)
    problem = page.locator("#question-problem")
    expect(problem).to_have_text("A question has 1 to 200 characters; this has 201.")
    ask(page, "Why?")
    expect(problem).to_be_empty()
    expect(panel.locator(".text")).to_contain_text("You asked: “Why?” That")
    demo.stop(signal.SIGKILL)
    expect(panel.locator(".notice")).to_be_visible()
    ask(page, "And now?")
    expect(problem).to_have_text("There is no connection to the server.")
    demo.start()
    expect(panel.locator(".state")).to_have_text("This answer is kept no longer.")
    expect(problem).to_be_empty()
    expect(panel.locator(".notice")).to_be_hidden()
