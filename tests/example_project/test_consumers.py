"""The example's consumers, each driven as a client would, through the example's own application."""

import re
from typing import Any
from urllib.parse import urljoin

import anyio
import anyio.lowlevel
import pytest

from consumers.testing import WebsocketCommunicator
from example_project.__main__ import read_port
from example_project.consumers import DialogueConsumer, TickerConsumer

from ..support.pages import ROOT
from .driving import connect, http, refusal

pytestmark = pytest.mark.anyio


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
    others: list[Any] = [{"type": "tick"}, {}, []]
    for content in others:
        assert await refusal(client, content) in ("unknown_type", "Field required", "Input should be an object")
    await client.disconnect()


async def test_the_loop_ends_with_the_connection() -> None:
    client = await connect("/ws/ticker")
    await client.send_json_to({"type": "start"})
    await client.receive_json_from()
    await client.disconnect()  # raises TimeoutError if the application is kept from ending


# Commands


async def run(client: WebsocketCommunicator, number: int, line: str) -> dict[str, Any]:
    await client.send_json_to({"type": "run", "id": number, "line": line})
    answer: dict[str, Any] = await client.receive_json_from()
    assert answer["to"] == number
    return answer


async def test_commands_are_answered_at_once_while_slow_ones_run() -> None:
    client = await connect("/ws/commands")
    for number in range(7):
        await client.send_json_to({"type": "run", "id": number, "line": "/slow 10"})
    with anyio.fail_after(5):
        assert await run(client, 8, "/echo quick") == {"type": "answer", "text": "quick", "to": 8}
    client.stop()


async def test_a_slow_command_is_answered_when_it_is_done() -> None:
    client = await connect("/ws/commands")
    await client.send_json_to({"type": "run", "id": 1, "line": "/slow 1"})
    assert await client.receive_json_from(timeout=5) == {"type": "answer", "text": "Done after 1 s.", "to": 1}
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
    assert reply["type"] == "refusal"
    assert why in reply["text"]
    await client.disconnect()


@pytest.mark.parametrize("content", [{"line": "/time"}, {"type": "run", "id": 1}, {"id": 1}, [], None])
async def test_what_is_no_command_at_all_is_answered(content: Any) -> None:
    client = await connect("/ws/commands")
    assert await refusal(client, content) in ("Field required", "Input should be an object")
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
    assert await refusal(client, {"type": "question", "text": "Why?"}) == "unknown_type"
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


@pytest.mark.parametrize("folder", ["static", "ported_chat"])
def test_nothing_that_came_over_a_socket_is_shown_as_html(folder: str) -> None:
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "example_project" / folder).glob("*.js")]
    assert scripts
    for script in scripts:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


@pytest.mark.parametrize("value", ["", "http", "-1", "65536", "80.0", "٨٠", " "])
def test_a_port_that_is_none_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"PORT must be a number from 0 to 65535, not {value!r}.")):
        read_port(value)
