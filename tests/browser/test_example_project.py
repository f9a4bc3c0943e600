"""The demo as its visitors have it, but for its chat and answers, in a real browser."""

import json
import re
import signal
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from playwright.sync_api import Page, expect

from .driving import Demo, ask, join, log, people, run_demo, say


def test_each_attempt_waits_longer_and_a_button_tries_at_once(open_tab: Callable[[], Page], demo: Demo) -> None:
    page = open_tab()
    join(page, "Ada")
    expect(page.locator("#chat .link")).to_have_text("Connected")
    page.clock.install()
    page.clock.pause_at(datetime.now() + timedelta(minutes=1))  # from here on no delay passes by itself
    page.evaluate("Math.random = () => 0.999")  # the longest delays: they are chosen at random
    demo.stop(signal.SIGKILL)
    panel, countdown = page.locator("#chat"), page.locator("#chat .countdown")
    again = page.get_by_role("button", name="Reconnect now")
    delays: list[int] = []
    for _ in range(7):
        expect(panel).to_have_attribute("data-state", "offline")
        shown = re.fullmatch(r"Connection lost\. Next try in (\d+) s\.", countdown.inner_text())
        assert shown
        delays.append(int(shown[1]))
        again.click()
    assert delays == [1, 1, 2, 4, 8, 16, 20]
    expect(panel).to_have_attribute("data-state", "offline")
    page.clock.run_for(4000)
    expect(countdown).to_have_text("Connection lost. Next try in 16 s.")

    demo.start()
    page.clock.run_for(16_000)
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


def test_commands_that_wait_when_the_server_is_killed_are_answered_when_it_is_back(
    open_tab: Callable[[], Page], demo: Demo
) -> None:
    page = open_tab()
    panel = page.locator("#commands")
    answers = panel.locator(".answer")
    panel.get_by_role("button", name="/slow 5").click()
    expect(panel.locator(".link")).to_have_text("Connected")
    demo.stop(signal.SIGKILL)
    expect(panel.locator(".link")).to_have_text("Disconnected")
    panel.get_by_role("button", name="/time").click()
    expect(answers).to_have_text(["running…", "running…"])
    demo.start()
    expect(answers.last).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    expect(answers.first).to_have_text("Done after 5 s.")


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
    expect(panel.locator(".remark")).to_contain_text("Right, Ada! That took you")
    page.keyboard.type("no")
    page.keyboard.press("Enter")
    expect(panel.locator(".remark").last).to_have_text("Goodbye, Ada.")
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
