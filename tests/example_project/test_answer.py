"""The example's answers, which are written whether anybody reads them or not."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import anyio
import anyio.lowlevel
import pytest

from consumers import channel_layers
from consumers.testing import WebsocketCommunicator
from consumers.typed import message_of
from example_project.app import app
from example_project.consumers import answer as answers

from .driving import connect, http

pytestmark = pytest.mark.anyio


@pytest.fixture
async def serving(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Run the application, in which a word takes no time."""
    monkeypatch.setattr(answers, "PAUSE", 0)
    async with app.router.lifespan_context(app):
        yield


async def ask(question: str) -> dict[str, str]:
    """Ask; return where the answer is to be read."""
    asked: dict[str, str] = json.loads((await http("POST", "/answers", question.encode()))["body"])
    return asked


async def start_reading(id: str, since: str, recovered: bool = True) -> WebsocketCommunicator:
    client = await connect(f"/ws/answers/{id}?since=answer:{since}")
    joined = await client.receive_json_from()
    assert (joined["type"], joined["recovered"]) == ("joined", recovered)
    return client


async def read_on(client: WebsocketCommunicator, to: str = "end") -> list[dict[str, Any]]:
    """Return what an answer brings up to something of this type, or to this many words."""
    events = [await client.receive_json_from()]
    while to not in (events[-1]["type"], str(len(events))):
        events.append(await client.receive_json_from())
    return events


def text_of(events: list[dict[str, Any]]) -> str:
    """Return the words of an answer that has ended."""
    assert [event["type"] for event in events] == [*["word"] * (len(events) - 1), "end"]
    return "".join(event["text"] for event in events[:-1]).strip()


@pytest.mark.usefixtures("serving")
async def test_an_answer_is_read_on_where_its_reader_was_cut_off_and_read_again_from_its_beginning() -> None:
    asked = await ask("Why?")
    client = await start_reading(asked["id"], asked["since"])
    begun = await read_on(client, "3")
    await client.send_input({"type": "websocket.disconnect", "code": 1006})
    await client.wait()
    client = await start_reading(asked["id"], begun[-1]["at"][1])
    rest = await read_on(client)
    assert text_of([*begun, *rest]) == answers.ANSWER.format("Why?")
    assert rest[-1]["whole"]
    again = await start_reading(asked["id"], asked["since"])
    assert await read_on(again) == [*begun, *rest]
    for reader in (client, again):
        await reader.disconnect()


@pytest.mark.usefixtures("serving")
async def test_an_answer_is_written_to_its_end_while_nobody_reads() -> None:
    asked = await ask("Why?")
    written: list[Any] = []
    with anyio.fail_after(5):
        while not written or message_of(written[-1], answers.End) is None:
            await anyio.lowlevel.checkpoint()
            written = (await channel_layers["default"].history(f"answer.{asked['id']}", limit=1)).messages
    client = await start_reading(asked["id"], asked["since"])
    assert text_of(await read_on(client)) == answers.ANSWER.format("Why?")
    await client.disconnect()


@pytest.mark.usefixtures("serving")
async def test_each_question_has_an_answer_of_its_own() -> None:
    for question in ("Why?", "{} and {0}", "x" * 200):
        asked = await ask(f" {question} ")
        client = await start_reading(asked["id"], asked["since"])
        assert text_of(await read_on(client)) == answers.ANSWER.format(question)
        await client.disconnect()


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("body", [b"", b"  ", b"x" * 201])
async def test_a_question_that_is_none_is_answered_with_what_one_is(body: bytes) -> None:
    response = await http("POST", "/answers", body)
    assert response["status"] == 400
    assert response["body"].startswith(b"A question has 1 to 200 characters; this has ")


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("since", ["", "nonsense", f"{'0' * 16}-{'0' * 16}.1"])
async def test_who_may_have_missed_a_part_of_an_answer_gets_a_close_code_and_no_word(since: str) -> None:
    asked = await ask("Why?")
    for id in (asked["id"], str(uuid4())):
        client = await start_reading(id, since, recovered=False)
        closed = await client.receive_output()
        assert (closed["type"], closed["code"]) == ("websocket.close", 4004)
        await client.disconnect()


@pytest.mark.usefixtures("serving")
async def test_an_answer_that_breaks_off_says_so_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for text, is_whole in (("{no such place}", False), ("Because.", True)):
        monkeypatch.setattr(answers, "ANSWER", text)
        asked = await ask("Why?")
        client = await start_reading(asked["id"], asked["since"])
        assert (await read_on(client))[-1]["whole"] == is_whole
        await client.disconnect()
    logged = [record.getMessage() for record in caplog.records if record.name == answers.__name__]
    assert len(logged) == 1
    assert logged[0].endswith(" broke off")


async def test_an_answer_that_the_servers_end_breaks_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PAUSE", 0.01)
    monkeypatch.setattr(answers, "ANSWER", "on and " * 10_000)
    async with app.router.lifespan_context(app):
        asked = await ask("Why?")
        client = await start_reading(asked["id"], asked["since"])
        await read_on(client, "3")
    assert not (await read_on(client))[-1]["whole"]
    await client.disconnect()
