"""The example as its visitors have it: served by `python -m example_project`, used in a real browser."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from consumers.layers.redis import RedisPubSubChannelLayer
from example_project.app import OPTIONS
from example_project.consumers.answer import ANSWER

from ..support.pages import ROOT
from ..support.processes import wait_for, workers_of
from ..support.proxy import Proxy, proxying
from ..support.redis_server import RedisServer, running_redis

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

expect.set_options(timeout=15_000)  # milliseconds; a limit, not a wait


class Demo:
    """The demo in a process of its own, on a port that stays its own when it is started again."""

    port = 0
    process: subprocess.Popen[str]

    def start(self, **settings: str) -> None:
        self.process = run_demo(str(self.port), **settings)
        assert self.process.stdout is not None
        first_line = self.process.stdout.readline()
        served = re.fullmatch(r"Serving on (http://127\.0\.0\.1:(\d+))[\w ]* \(Ctrl-C ends it\)\n", first_line)
        assert served, (first_line, self.process.stderr and self.process.stderr.read())
        self.url, self.port = served[1], int(served[2])

    def stop(self, how: signal.Signals) -> tuple[int, str, str]:
        """Send a signal; return the exit status and what was printed since the start."""
        if how == signal.SIGKILL:
            os.killpg(self.process.pid, how)  # its workers too
        else:
            self.process.send_signal(how)
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors


def run_demo(port: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "example_project"],
        cwd=ROOT,
        env={**os.environ, "PORT": port, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def demo() -> Iterator[Demo]:
    demo = Demo()
    demo.start()
    yield demo
    if demo.process.returncode is None:
        demo.stop(signal.SIGKILL)


@pytest.fixture(scope="module", params=[pytest.param("chromium", marks=pytest.mark.slow)])
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_tab(browser: Browser, demo: Demo) -> Iterator[Callable[..., Page]]:
    """A function that opens the page in a new tab; at the end no tab may have had an error of its own.

    It takes another port, of a proxy.
    """
    context = browser.new_context()
    errors: list[str] = []

    def watch(kind: str, text: str) -> None:
        # The browser itself reports every attempt to reach a server that is down, and what a server refuses.
        if kind == "error" and "net::ERR_CONNECTION_REFUSED" not in text and "400 (Bad Request)" not in text:
            errors.append(text)

    def open_tab(port: int | None = None) -> Page:
        page = context.new_page()
        page.on("console", lambda message: watch(message.type, message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{port or demo.port}")
        return page

    yield open_tab
    context.close()
    assert errors == []


def join(page: Page, name: str, room: str = "lobby") -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Room", exact=True).fill(room)
    page.get_by_role("button", name="Join").click()


def say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def people(page: Page) -> Locator:
    return page.get_by_role("list", name="Who is here").get_by_role("listitem")


def log(page: Page) -> Locator:
    return page.locator("#chat").get_by_role("log")


def words(page: Page) -> Locator:
    """Return what was said, in the order in which it is shown."""
    return log(page).locator(".message .words")


class Wire:
    """The way from some tabs to the demo; a proxy, in a thread."""

    def __init__(self, proxy: Proxy, portal: BlockingPortal) -> None:
        self.port = proxy.port
        self._proxy = proxy
        self._portal = portal

    def hold(self) -> None:
        """Let nothing through until `mend()`."""
        self._portal.call(self._proxy.flowing.clear)

    def cut(self) -> None:
        """Reset all connections; what connects anew waits until `mend()`."""
        self._portal.call(self._proxy.flowing.clear)
        self._portal.call(self._proxy.cut)

    def mend(self) -> None:
        self._portal.call(self._proxy.flowing.set)


@pytest.fixture
def wire(demo: Demo) -> Iterator[Wire]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(proxying(demo.port)) as proxy:
        yield Wire(proxy, portal)


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
    expect(page.locator("#room-problem")).to_have_text("Choose a room first.")
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
        expect(page.get_by_role("status").first).to_contain_text("Connection lost. Next try in")
        expect(page.locator("#chat .link")).to_have_text("Disconnected")
    say(ada, "Not lost")
    expect(ada.locator("#text-problem")).to_contain_text("Not sent")
    expect(ada.get_by_label("Message")).to_have_value("Not lost")

    demo.start()
    for page in (ada, bob):
        expect(log(page)).to_contain_text("Connected again. Some messages may be missing.")
        expect(page.locator("#chat .link")).to_have_text("Connected")
        expect(page.locator("#chat .notice")).to_be_hidden()
    expect(people(ada)).to_have_text(["Ada (you)", "Bob"])
    expect(people(bob)).to_have_text(["Bob (you)", "Ada"])
    ada.get_by_label("Message").press("Enter")
    expect(log(bob)).to_contain_text("Not lost")


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
    expect(log(bob).locator("> :last-child")).to_have_text("You joined lobby.")


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
            expect(log(ada).locator("> :last-child")).to_have_text("The connection was lost.")
        for number in range(3):
            say(bob, f"Bob's {number}, {part}")
            said.append(f"Bob's {number}, {part}")
            expect(words(bob)).to_have_text(said)
        wire.mend()
        expect(words(ada)).to_have_text(said)
    expect(log(ada).locator(".mine .words")).to_have_text(["Ada's, meanwhile", "Ada's, meanwhile again"])
    expect(log(ada).get_by_text("Connected again.", exact=True)).to_have_count(2)
    assert [frame["text"] for frame in frames if frame["type"] == "message"] == said


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


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def two_processes(demo: Demo, redis_server: RedisServer) -> Iterator[list[int]]:
    """Have the demo served by two processes."""
    demo.stop(signal.SIGKILL)
    demo.start(REDIS_URL=redis_server.url, WORKERS="2")
    wait_for(demo.port)
    yield workers_of(demo.process.pid)
    status, output, errors = demo.stop(signal.SIGINT)
    assert (status, output.strip(), "Traceback" in errors) == (0, "Bye.", False)


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
    meanwhile = [f"Meanwhile {number}" for number in range(60)]  # more than a newcomer gets
    for text in meanwhile:
        event = {"type": "chat.message", "person": {"id": "1", "name": "A script"}, "text": text, "sent": "2026-01-01"}
        layer.group_send_sync("chat.lobby", event)
    os.kill(demo.process.pid, signal.SIGCONT)
    for tab in tabs:
        expect(words(tab)).to_have_text(["Before", *meanwhile], timeout=60_000)
        expect(log(tab).get_by_text("Connected again.", exact=True)).to_have_count(1)


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


def ask(page: Page, question: str) -> None:
    page.get_by_role("textbox", name="Question").fill(question)
    page.keyboard.press("Enter")


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
    problem = panel.get_by_role("alert")
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


def test_each_attempt_waits_longer_and_a_button_tries_at_once(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    join(page, "Ada")
    expect(page.locator("#chat .link")).to_have_text("Connected")
    page.clock.install()
    page.clock.pause_at(datetime.now() + timedelta(minutes=1))  # from here on no delay passes by itself
    demo.stop(signal.SIGKILL)
    panel, countdown = page.locator("#chat"), page.locator("#chat .countdown")
    again = page.get_by_role("button", name="Reconnect now")
    delays: list[int] = []
    for _ in range(6):
        expect(panel).to_have_attribute("data-state", "waiting")
        shown = re.fullmatch(r"Connection lost\. Next try in (\d+) s\.", countdown.inner_text())
        assert shown
        delays.append(int(shown[1]))
        again.click()
    for delay, longest in zip(delays, (1, 2, 4, 8, 16, 30), strict=True):
        assert longest / 2 <= delay <= longest  # up to a half is taken off at random
    expect(panel).to_have_attribute("data-state", "waiting")
    page.clock.run_for(4000)
    shown = re.search(r"in (\d+) s", countdown.inner_text())
    assert shown
    assert int(shown[1]) <= 26

    demo.start()
    page.clock.run_for(26_000)
    page.clock.resume()  # should the server not be ready for that attempt
    expect(log(page)).to_contain_text("Connected again.", timeout=60_000)
    expect(people(page)).to_have_text(["Ada (you)"])
    expect(again).to_be_hidden()
    expect(page.get_by_label("Message")).to_be_focused()


def test_the_ticker_starts_and_stops_and_never_runs_twice(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    frames: list[dict[str, Any]] = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda frame: frames.append(json.loads(frame))))
    panel = page.locator("#ticker")
    toggle = panel.get_by_role("button", name=re.compile("Start|Stop"))
    ticking = re.compile(r"Tick \d+")
    toggle.click()
    expect(panel.locator(".count")).to_have_text(ticking)
    toggle.click()
    expect(panel.locator(".count")).to_have_text("Stopped")
    for _ in range(5):
        toggle.click()
    expect(panel.locator(".count")).to_have_text(re.compile(r"Tick ([3-9]|\d\d)"))
    seen = frames[:]
    last_start = max(index for index, frame in enumerate(seen) if frame["type"] == "state")
    numbers = [frame["number"] for frame in seen[last_start + 1 :]]
    assert seen[last_start]["running"]
    assert len(numbers) >= 3
    assert numbers == [*range(1, len(numbers) + 1)]

    demo.stop(signal.SIGKILL)
    expect(panel.locator(".notice")).to_be_visible()
    expect(panel.locator(".count")).to_have_text("Interrupted")
    demo.start()
    expect(panel.locator(".count")).to_have_text(ticking)  # it goes on, by itself, on a new connection


def test_commands_are_answered_while_a_slow_one_is_running(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    panel = page.locator("#commands")
    panel.get_by_role("button", name="/slow 5").click()
    panel.get_by_role("textbox", name="Command").fill("/echo <b>quick</b>")
    page.keyboard.press("Enter")
    answers = panel.locator(".answer")
    expect(answers).to_have_text(["running…", "<b>quick</b>"])
    panel.get_by_role("button", name="/roll 2d6").click()
    expect(answers.last).to_have_text(re.compile(r"\d \+ \d = \d+"))
    expect(answers.first).to_have_text("running…")
    demo.stop(signal.SIGKILL)
    expect(answers.first).to_have_text("No answer: there is no connection to the server.")
    demo.start()
    panel.get_by_role("button", name="/time").click()
    expect(answers.last).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))


def test_the_dialogue_goes_in_turns_to_its_end(open_tab: Callable[[], Page]) -> None:
    page = open_tab()
    panel = page.locator("#dialogue")
    panel.get_by_role("button", name="Begin").click()
    questions, field = panel.locator(".question"), panel.get_by_label("Your answer")
    answered = 0

    def answer(text: str) -> str:
        nonlocal answered
        expect(questions).to_have_count(answered + 1)
        expect(field).to_be_focused()
        page.keyboard.type(text)
        page.keyboard.press("Enter")
        answered += 1
        expect(questions).to_have_count(answered + 1)
        return questions.last.inner_text()

    answer("Ada")
    low, high = 1, 20
    while (reply := answer(str((low + high) // 2))) != "Another round?":
        guess = int(reply.split()[0])
        low, high = (guess + 1, high) if "too low" in reply else (low, guess - 1)
    expect(panel.locator(".say")).to_contain_text("Right, Ada! That took you")
    page.keyboard.type("no")
    page.keyboard.press("Enter")
    expect(panel.locator(".say").last).to_have_text("Goodbye, Ada.")
    expect(panel.get_by_role("button", name="Begin again")).to_be_focused()


def test_the_ported_chat_is_next_door_and_both_its_consumers_meet_in_a_room(open_tab: Callable[[], Page]) -> None:
    ada, bob = open_tab(), open_tab()
    for page, name, consumer in ((ada, "Ada", "AsyncChatConsumer"), (bob, "Bob", "ChatConsumer")):
        page.get_by_role("link", name="a chat from Channels").click()
        page.get_by_label("Your name").fill(name)
        page.get_by_label("Consumer").select_option(consumer)
        page.get_by_role("button", name="Join").click()
        expect(page.get_by_role("status")).to_have_text(f"{name} in lobby, served by {consumer}")
        expect(page.get_by_role("log")).to_contain_text(f"{name} joined.")
    say(bob, "<i>Hello</i>, Ada!")
    expect(ada.get_by_role("log")).to_contain_text("Bob <i>Hello</i>, Ada!")
    say(ada, "Hello, Bob!")
    expect(bob.get_by_role("log")).to_contain_text("Ada Hello, Bob!")
    bob.get_by_role("button", name="Leave").click()
    expect(bob.get_by_role("status")).to_have_text("You left.")
    expect(ada.get_by_role("log")).to_contain_text("Bob left.")


def test_the_ported_chat_says_when_its_connection_is_lost(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    page.get_by_role("link", name="a chat from Channels").click()
    page.get_by_label("Your name").fill("Ada")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message")).to_be_focused()
    demo.stop(signal.SIGKILL)
    expect(page.get_by_role("status")).to_have_text("The connection was lost.")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("status")).to_have_text("There is no connection to the server.")
    demo.start()
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("status")).to_contain_text("Ada in lobby")


def test_ctrl_c_ends_the_demo_cleanly_while_people_are_connected(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    join(page, "Ada")
    page.locator("#ticker").get_by_role("button", name="Start").click()
    page.get_by_role("button", name="/slow 5").click()
    page.get_by_role("button", name="Begin").click()
    ask(page, "Why?")
    for panel in ("#chat", "#stream", "#ticker", "#commands", "#dialogue"):
        expect(page.locator(panel)).to_have_attribute("data-state", "open")
    status, output, errors = demo.stop(signal.SIGINT)
    assert (status, output.strip()) == (0, "Bye.")
    assert "Traceback" not in errors


def test_ctrl_c_ends_the_demo_without_visitors(demo: Demo) -> None:
    assert demo.stop(signal.SIGINT) == (0, "\nBye.\n", "")


def test_a_port_that_is_taken_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = run_demo(str(port))
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith(f"Can't serve on port {port}: Address already in use.\nTry another one: PORT=")


def test_a_port_that_is_none_is_said() -> None:
    process = run_demo("eighty")
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (1, "")
    assert errors == "PORT must be a number from 0 to 65535, not 'eighty'.\n"
