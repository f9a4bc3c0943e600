"""The example's consumers, each driven as a client would, through the example's own application."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import anyio
import anyio.lowlevel
import pytest

from consumers import ChannelFull, channel_layers
from consumers.testing import WebsocketCommunicator
from example_project.__main__ import read_port
from example_project.consumers import DialogueConsumer, TickerConsumer

from ..support.pages import ROOT
from ..support.slow import left_to_ci
from .driving import connect, http

pytestmark = pytest.mark.anyio


async def enter(room: str, name: str) -> tuple[WebsocketCommunicator, dict[str, str]]:
    """Join a room in which nothing was said; return the client and who it is."""
    client, welcome, messages = await come_back(room, name, None)
    assert (welcome["recovered"], messages) == (True, [])
    return client, welcome["person"]


async def come_back(room: str, name: str, since: Any) -> tuple[WebsocketCommunicator, dict[str, Any], list[Any]]:
    """Join a room; return the client, its welcome, and the messages that came then."""
    client = await connect(f"/ws/chat/{room}")
    await client.send_json_to({"type": "join", "name": name, "since": since})
    welcome = await client.receive_json_from()
    assert welcome["type"] == "welcome"
    messages = [await client.receive_json_from() for _ in range(welcome["missed"])]
    assert await client.receive_json_from() == {"type": "joined", "person": welcome["person"]}
    return client, welcome, messages


async def say(client: WebsocketCommunicator, *texts: str) -> list[Any]:
    """Say something, and return it as everyone gets it."""
    messages = []
    for text in texts:
        await client.send_json_to({"type": "say", "text": text})
        message = await client.receive_json_from()
        assert (message["type"], message["text"]) == ("message", text)
        messages.append(message)
    return messages


async def refusal(client: WebsocketCommunicator, content: Any) -> str:
    """Send something that can't be done; return the answer."""
    await client.send_json_to(content)
    answer = await client.receive_json_from()
    assert answer["type"] == "error"
    return str(answer["text"])


# Chat


async def test_a_newcomer_and_the_people_in_the_room_learn_of_each_other() -> None:
    ada, ada_person = await enter("lobby", "Ada")
    bob, bob_person = await enter("lobby", "Bob")
    assert await ada.receive_json_from() == {"type": "joined", "person": bob_person}
    assert await bob.receive_json_from() == {"type": "here", "person": ada_person}
    await ada.disconnect()
    await bob.disconnect()


async def test_a_message_reaches_everyone_in_its_room_and_nobody_else() -> None:
    ada, person = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    eve, _ = await enter("elsewhere", "Eve")
    await ada.receive_json_from()
    await bob.receive_json_from()
    await ada.send_json_to({"type": "say", "text": "  <b>hello</b> 👋 "})
    for client in (ada, bob):
        message = await client.receive_json_from()
        assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(message.pop("sent")) < timedelta(minutes=1)
        assert message.pop("position")
        assert len(message.pop("id")) == 32
        assert message == {"type": "message", "person": person, "text": "<b>hello</b> 👋"}
    assert await eve.receive_nothing()
    for client in (ada, bob, eve):
        await client.disconnect()


async def test_a_message_that_is_said_again_with_its_id_is_shown_once() -> None:
    ada, _ = await enter("lobby", "Ada")
    once = {"type": "say", "text": "Once", "id": "a" * 32}
    for content in (once, once, {"type": "say", "text": "Last", "id": "no id"}):
        await ada.send_json_to(content)
    shown = [await ada.receive_json_from() for _ in range(2)]
    assert [message["text"] for message in shown] == ["Once", "Last"]
    assert shown[0]["id"] == "a" * 32
    assert shown[1]["id"] != "no id"
    await ada.disconnect()


async def test_a_newcomer_gets_the_newest_fifty_messages_with_their_times_and_nothing_that_is_not_kept() -> None:
    ada, person = await enter("lobby", "Ada")
    said = await say(ada, *(f"message {number}" for number in range(60)))
    await ada.send_json_to({"type": "typing"})
    bob, welcome, messages = await come_back("lobby", "Bob", None)
    assert messages == said[10:]
    assert welcome["position"] == said[-1]["position"]
    assert messages[0]["person"] == person
    assert (await bob.receive_json_from())["type"] == "here"
    assert await bob.receive_nothing()
    await ada.disconnect()
    await bob.disconnect()


async def test_who_comes_back_gets_all_that_was_said_meanwhile_once_and_then_what_is_new() -> None:
    ada, _ = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    await ada.receive_json_from()
    (first,) = await say(ada, "first")
    assert [(await bob.receive_json_from())["type"] for _ in range(2)] == ["here", "message"]
    await bob.disconnect()
    await ada.receive_json_from()
    missed = await say(ada, *(f"missed {number}" for number in range(60)))
    bob, welcome, messages = await come_back("lobby", "Bob", first["position"])
    assert (welcome["recovered"], messages) == (True, missed)
    assert (await bob.receive_json_from())["type"] == "here"
    await ada.receive_json_from()
    assert await say(ada, "new") == [await bob.receive_json_from()]
    for client in (ada, bob):
        await client.disconnect()


@pytest.mark.parametrize("since", ["", "nonsense", 7, {}, f"{'0' * 16}-{'0' * 16}.1"])
async def test_who_comes_back_with_no_position_of_this_room_is_told_that_messages_may_be_missing(since: Any) -> None:
    ada, _ = await enter("lobby", "Ada")
    said = await say(ada, "one", "two")
    bob, welcome, messages = await come_back("lobby", "Bob", since)
    assert (welcome["recovered"], messages) == (False, said)
    for client in (ada, bob):
        await client.disconnect()


async def test_who_is_typing_is_shown_to_the_others_alone() -> None:
    ada, person = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    await ada.receive_json_from()
    await bob.receive_json_from()
    await ada.send_json_to({"type": "typing"})
    assert await bob.receive_json_from() == {"type": "typing", "person": person}
    assert await ada.receive_nothing(0.02)
    visitor = await connect("/ws/chat/lobby")
    assert (await refusal(visitor, {"type": "typing"})).startswith("Send {")
    for client in (ada, bob, visitor):
        await client.disconnect()


@pytest.mark.parametrize("how", ["goodbye", "connection reset", "cancelled by the server"])
async def test_the_room_learns_of_everyone_who_leaves(how: str) -> None:
    ada, _ = await enter("lobby", "Ada")
    bob, bob_person = await enter("lobby", "Bob")
    await ada.receive_json_from()
    if how == "cancelled by the server":
        bob.stop()
    else:
        code = 1000 if how == "goodbye" else 1006
        await bob.send_input({"type": "websocket.disconnect", "code": code})
    assert await ada.receive_json_from() == {"type": "left", "person": bob_person}
    eve, _ = await enter("lobby", "Eve")
    assert (await eve.receive_json_from())["person"]["name"] == "Ada"
    assert await eve.receive_nothing()
    await ada.disconnect()
    await eve.disconnect()


@pytest.mark.parametrize("anyio_backend", ["asyncio", *left_to_ci("trio")])
async def test_in_a_crowded_room_a_newcomer_learns_of_everyone() -> None:
    crowd = [(await enter("lobby", f"Person {number}"))[0] for number in range(110)]  # more than a mailbox holds
    newcomer, _ = await enter("lobby", "Newcomer")
    answers = [await newcomer.receive_json_from() for _ in crowd]
    assert {answer["type"] for answer in answers} == {"here"}
    assert {answer["person"]["name"] for answer in answers} == {f"Person {number}" for number in range(110)}
    for client in [*crowd, newcomer]:
        client.stop()


async def test_someone_who_leaves_before_joining_is_never_mentioned() -> None:
    ada, _ = await enter("lobby", "Ada")
    visitor = await connect("/ws/chat/lobby")
    await visitor.disconnect()
    assert await ada.receive_nothing()
    await ada.disconnect()


async def test_a_newcomer_who_reads_too_slowly_harms_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(channel: str, message: Any) -> None:
        raise ChannelFull

    ada, _ = await enter("lobby", "Ada")
    monkeypatch.setattr(channel_layers["default"], "send", full)
    bob, person = await enter("lobby", "Bob")
    assert await ada.receive_json_from() == {"type": "joined", "person": person}
    await ada.send_json_to({"type": "say", "text": "still here"})
    assert (await ada.receive_json_from())["text"] == "still here"
    await ada.disconnect()
    await bob.disconnect()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "Choose a name first."),
        (" \n\t ", "Choose a name first."),
        ("\u200d", "Choose a name first."),
        ("x" * 31, "That name has 31 characters; 30 is the limit."),
        ("Ada\u202eadA", "invisible characters"),
        ("Ada\x00", "invisible characters"),
        ("\ud800", "invisible characters"),
    ],
)
async def test_a_name_that_will_not_do_is_answered_and_another_may_be_tried(name: str, why: str) -> None:
    client = await connect("/ws/chat/lobby")
    assert why in await refusal(client, {"type": "join", "name": name})
    await client.send_json_to({"type": "join", "name": "Ada"})
    assert (await client.receive_json_from())["type"] == "welcome"
    await client.disconnect()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("  Ada   Lovelace ", "Ada Lovelace"), ("علی‌رضا", "علی‌رضا"), ("👩‍🔬", "👩‍🔬"), ("x" * 30, "x" * 30)],
)
async def test_names_in_any_script_are_welcome(name: str, shown: str) -> None:
    client, person = await enter("lobby", name)
    assert person["name"] == shown
    await client.disconnect()


@pytest.mark.parametrize("room", ["a.b", "a%20b", "x" * 41, "%C3%BC", "a/b", "lobby!x", ""])
async def test_a_room_name_that_will_not_do_is_closed_with_a_reason(room: str) -> None:
    client = await connect(f"/ws/chat/{room}")
    closed = await client.receive_output()
    assert (closed["type"], closed["code"]) == ("websocket.close", 4004)
    assert closed["reason"].startswith("A room name is")
    await client.wait()


@pytest.mark.parametrize(
    "content",
    [
        {"type": "chat.show", "content": {"type": "left"}},
        {"type": "send", "text": "x"},
        {"type": "join", "name": 7},
        {"type": "say"},
        {},
        [],
        "join",
        None,
        12,
    ],
)
async def test_anything_else_is_answered_and_never_reaches_the_room(content: Any) -> None:
    ada, _ = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    await ada.receive_json_from()
    await bob.receive_json_from()
    assert (await refusal(bob, content)).startswith("Send {")
    assert await ada.receive_nothing(0.02)
    await ada.disconnect()
    await bob.disconnect()


async def test_what_can_not_be_said_is_answered() -> None:
    client = await connect("/ws/chat/lobby")
    assert await refusal(client, {"type": "say", "text": "hi"}) == "Join before you say something."
    await client.disconnect()
    client, _ = await enter("lobby", "Ada")
    assert await refusal(client, {"type": "join", "name": "Bob"}) == "You have joined already."
    assert await refusal(client, {"type": "say", "text": " \n "}) == "That message is empty."
    too_long = {"type": "say", "text": "x" * 1001}
    assert await refusal(client, too_long) == "That message has 1001 characters; 1000 is the limit."
    await client.send_json_to({"type": "say", "text": "half a pair: \ud800"})
    assert (await client.receive_json_from())["text"] == "half a pair: ?"
    await client.disconnect()


# Ticker


async def test_however_often_it_is_started_there_is_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TickerConsumer, "interval", 0.01)
    client = await connect("/ws/ticker")
    for _ in range(3):
        await client.send_json_to({"type": "start"})
    messages = [await client.receive_json_from() for _ in range(10)]
    assert [message["running"] for message in messages if message["type"] == "state"] == [True] * 3
    assert [message["number"] for message in messages if message["type"] == "tick"] == [*range(1, 8)]
    await client.disconnect()


async def test_after_a_stop_no_tick_comes_and_a_start_counts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TickerConsumer, "interval", 0)
    client = await connect("/ws/ticker")
    for _ in range(20):
        await client.send_json_to({"type": "start"})
        assert await client.receive_json_from() == {"type": "state", "running": True}
        assert (await client.receive_json_from())["number"] == 1
        await client.send_json_to({"type": "stop"})
        while (message := await client.receive_json_from())["type"] == "tick":
            pass
        assert message == {"type": "state", "running": False}
    assert await client.receive_nothing()
    await client.disconnect()


async def test_a_stop_before_any_start_and_other_requests_are_answered() -> None:
    client = await connect("/ws/ticker")
    await client.send_json_to({"type": "stop"})
    assert await client.receive_json_from() == {"type": "state", "running": False}
    others: list[Any] = [{"type": "tick"}, [], None]
    for content in others:
        assert await refusal(client, content) == 'Send {"type": "start"} or {"type": "stop"}.'
    await client.disconnect()


async def test_the_loop_ends_with_the_connection() -> None:
    client = await connect("/ws/ticker")
    await client.send_json_to({"type": "start"})
    await client.receive_json_from()
    await client.disconnect()  # raises TimeoutError if the application is kept from ending


# Commands


async def run(client: WebsocketCommunicator, number: int, line: str) -> dict[str, Any]:
    await client.send_json_to({"id": number, "line": line})
    answer: dict[str, Any] = await client.receive_json_from()
    assert answer["id"] == number
    return answer


async def test_commands_are_answered_at_once_while_slow_ones_run() -> None:
    client = await connect("/ws/commands")
    for number in range(7):
        await client.send_json_to({"id": number, "line": "/slow 10"})
    with anyio.fail_after(5):
        assert await run(client, 8, "/echo quick") == {"type": "answer", "id": 8, "text": "quick"}
    client.stop()


async def test_a_slow_command_is_answered_when_it_is_done() -> None:
    client = await connect("/ws/commands")
    await client.send_json_to({"id": 1, "line": "/slow 1"})
    assert await client.receive_json_from(timeout=5) == {"type": "answer", "id": 1, "text": "Done after 1 s."}
    await client.disconnect()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/roll", r"[1-6]"),
        ("/roll d100", r"[1-9]\d?|100"),
        ("/roll 3d6", r"[1-6] \+ [1-6] \+ [1-6] = \d+"),
        ("  /ROLL 1d2 ", r"[12]"),
        ("/time", r"\d\d:\d\d:\d\d .+"),
        ("/echo <b>hi</b>  there", r"<b>hi</b>  there"),
        ("/help", r"(/\w+.*: .+\n?){5}"),
    ],
)
async def test_each_command_has_its_answer(line: str, answer: str) -> None:
    client = await connect("/ws/commands")
    reply = await run(client, 1, line)
    assert reply["type"] == "answer"
    assert re.fullmatch(answer, reply["text"])
    await client.disconnect()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "Try /help"),
        ("hello", "There is no command hello."),
        ("/dance", "There is no command /dance."),
        ("/echo", "Write something"),
        ("/roll 21d6", "up to 20 dice"),
        ("/roll 2d1", "up to 20 dice"),
        ("/roll 99999999999d6", "up to 20 dice"),
        ("/slow 11", "from 1 to 10"),
        ("/slow -1", "from 1 to 10"),
        ("/slow ١", "from 1 to 10"),
        ("/echo " + "x" * 200, "200 is the limit"),
    ],
)
async def test_a_command_that_can_not_be_done_says_why(line: str, why: str) -> None:
    client = await connect("/ws/commands")
    reply = await run(client, 1, line)
    assert reply["type"] == "error"
    assert why in reply["text"]
    await client.disconnect()


@pytest.mark.parametrize("content", [{"line": "/time"}, {"id": "1", "line": "/time"}, {"id": 1}, [], None])
async def test_what_is_no_command_at_all_is_answered(content: Any) -> None:
    client = await connect("/ws/commands")
    assert await refusal(client, content) == 'Send {"id": 1, "line": "/help"}.'
    await client.disconnect()


# Dialogue


async def answer(client: WebsocketCommunicator, text: str) -> str:
    """Answer the open question; return what the server says next."""
    await client.send_json_to({"type": "answer", "text": text})
    return str((await client.receive_json_from())["text"])


async def test_a_whole_game_is_played_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.randint", lambda low, high: 7)
    client = await connect("/ws/dialogue")
    assert await client.receive_json_from() == {"type": "question", "text": "Hello! What shall I call you?"}
    assert (await answer(client, "Ada")).startswith("I am thinking of a number")
    assert await answer(client, "many") == "A whole number, please, such as 7."
    assert await answer(client, "3") == "3 is too low. Which one?"
    assert await answer(client, "12") == "12 is too high. Which one?"
    assert await answer(client, "7") == "Right, Ada! That took you 3 tries."
    assert await client.receive_json_from() == {"type": "question", "text": "Another round?"}
    assert await answer(client, "perhaps") == "Please answer yes or no."
    assert (await answer(client, "Y")).startswith("I am thinking of a number")
    assert await answer(client, "7") == "Right, Ada! That took you 1 try."
    await client.receive_json_from()
    assert await answer(client, "no") == "Goodbye, Ada."
    closed = await client.receive_output()
    assert (closed["type"], closed["code"]) == ("websocket.close", 1000)
    await client.disconnect()


async def test_an_answer_that_can_not_be_taken_leaves_the_question_open() -> None:
    client = await connect("/ws/dialogue")
    await client.receive_json_from()
    assert await refusal(client, {"type": "answer", "text": " "}) == "Please write an answer."
    too_long = {"type": "answer", "text": "x" * 101}
    assert await refusal(client, too_long) == "That has 101 characters; 100 is the limit."
    assert (await refusal(client, {"type": "question", "text": "Why?"})).startswith("Send {")
    assert (await answer(client, "Ada")).startswith("I am thinking of a number")
    await client.disconnect()


async def test_an_answer_out_of_turn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def think(consumer: DialogueConsumer) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(DialogueConsumer, "talk", think)
    client = await connect("/ws/dialogue")
    assert await refusal(client, {"type": "answer", "text": "Ada"}) == "It is not your turn yet."
    await client.disconnect()


# The page and the command


@pytest.mark.parametrize(
    ("path", "referred_to"),
    [("/", ["ported/", "static/app.js", "static/style.css"]), ("/ported/", ["../", "page.css", "page.js"])],
)
async def test_a_page_is_served_with_all_that_it_refers_to(path: str, referred_to: list[str]) -> None:
    page = await http("GET", path)
    assert page["status"] == 200
    references = re.findall(r'(?:href|src)="(?!data:)([^"]+)"', page["body"].decode())
    assert sorted(references) == referred_to
    ids = re.findall(r' id="([^"]+)"', page["body"].decode())
    assert len(ids) == len(set(ids))
    for reference in references:
        assert (await http("GET", urljoin(path, reference)))["status"] == 200


@pytest.mark.parametrize("script", ["static/app.js", "ported_chat/page.js"])
def test_nothing_that_came_over_a_socket_is_shown_as_html(script: str) -> None:
    script = (ROOT / "example_project" / script).read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


@pytest.mark.parametrize("value", ["", "http", "-1", "65536", "80.0", "٨٠", " "])
def test_a_port_that_is_none_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"PORT must be a number from 0 to 65535, not {value!r}.")):
        read_port(value)
