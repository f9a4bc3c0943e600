"""What Python's client does with servers that send nonsense, and with arguments that are none."""

import logging
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
from pydantic import BaseModel, ConfigDict

from consumers.client import Client, Refused

from .scripted import Server, serving

pytestmark = pytest.mark.anyio

PATIENCE = 10
JOINED = {"type": "joined", "label": "room", "position": "e.1", "recovered": True, "missed": 0}
END = {"type": "end"}


class Whisper(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["whisper"] = "whisper"
    to: str
    text: str = ""


class End(BaseModel):
    type: Literal["end"] = "end"


async def until_end(client: Client[Any]) -> list[Any]:
    """Return what comes before the end."""
    found = []
    with anyio.fail_after(PATIENCE):
        async for message in client:
            if message == END or isinstance(message, End):
                break
            found.append(message)
    return found


async def heard_of(server: Server, client: Client[Any], *messages: Any) -> list[Any]:
    """Have the server send messages; return what comes of them."""
    connection = await server.connection()
    await connection.tell(*messages, END)
    return await until_end(client)


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "",
        "5",
        "null",
        '"text"',
        "[1, 2]",
        "[" * 100_000,
        "9" * 10_000,
        '{"type": "joined"}',
        '{"type": "joined", "label": 5, "position": "e.5", "recovered": true, "missed": 0}',
        '{"type": "joined", "label": ["room"], "position": "e.5", "recovered": true, "missed": 0}',
        '{"type": "gap"}',
        '{"type": "gap", "label": null}',
        '{"type": "expires"}',
        '{"type": "expires", "in": "soon"}',
        '{"type": "expires", "in": [5]}',
    ],
)
async def test_what_is_no_message_changes_nothing_and_the_log_says_so(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    gaps: list[str] = []
    async with serving() as server, Client(server.url, on_gap=gaps.append, on_expires=print) as client:
        assert await heard_of(server, client, text) == []
        assert (client.state, client.positions, gaps) == ("open", {}, [])
    assert "has sent what is no message" in caplog.text


NO_PLACES = [5, "2026-01-01", "ab", {}, [], ["room"], ["room", None], [1, 2], ["a", "b", "c"], None, [["room"], "e.1"]]


async def test_a_message_whose_at_is_no_place_is_the_applications_own() -> None:
    async with serving() as server, Client(server.url) as client:
        said = [{"type": "said", "at": at} for at in NO_PLACES]
        assert await heard_of(server, client, *said) == said
        assert client.positions == {}


@pytest.mark.parametrize("type", [5, None, ["joined"], {}])
async def test_a_type_that_is_no_text_makes_no_difference(type: Any) -> None:
    async with serving() as server, Client(server.url) as client:
        assert await heard_of(server, client, {"type": type}, {}) == [{"type": type}, {}]
    async with serving() as server, Client(server.url, messages=End) as client:
        assert await heard_of(server, client, {"type": type}, {}) == []


async def test_a_position_that_is_no_text_is_none() -> None:
    async with serving() as server, Client(server.url, since={"room": "e.1"}) as client:
        assert await heard_of(server, client, {**JOINED, "position": 5}) == []
        assert (client.state, client.positions) == ("open", {})


async def test_positions_that_go_back_are_followed_and_those_that_no_address_has_are_kept_out_of_it() -> None:
    async with serving() as server, Client(server.url) as client:
        said = [{"type": "said", "at": ["room", position]} for position in ("e.2", "\ud800", "e.1")]
        assert await heard_of(server, client, *said, {"type": "said", "at": ["\ud800", "e.1"]}) != []
        await (await server.connection()).leave(1011)
        with anyio.fail_after(PATIENCE):
            again = await server.connection(1)
        assert parse_qs(urlsplit(again.path).query)["since"] == ["room:e.1", "?:e.1"]


async def test_only_the_id_that_it_was_given_answers_a_request() -> None:
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await client.request({"type": "ask"}))

    async with serving() as server, Client(server.url) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        connection = await server.connection()
        id = (await connection.message(0))["id"]
        ids: list[Any] = [int(id), [id], {}, True, f"0{id}", None, "bob"]
        others = [{"type": "said", "to": to} for to in ids]
        others.append({"type": "said", "to": id, "at": ["room", "e.1"]})
        assert await heard_of(server, client, *others) == others
        assert answers == []
        await connection.tell({"to": id, "text": "yes"})
    assert answers == [{"to": id, "text": "yes"}]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"code": 5},
        {"errors": 5},
        {"errors": "many"},
        {"errors": [5, None]},
        {"errors": [{"loc": 5}]},
        {"more": "x"},
    ],
)
async def test_an_error_that_is_ill_formed_is_one_all_the_same(more: dict[str, Any]) -> None:
    async with serving() as server, Client(server.url) as client, anyio.create_task_group() as tasks:

        async def ask() -> None:
            with pytest.raises(Refused) as caught:
                await client.request({"type": "ask"}, timeout=None)
            assert caught.value.code == "failed"
            assert str(caught.value)

        tasks.start_soon(ask)
        connection = await server.connection()
        await connection.tell({"type": "error", "to": (await connection.message(0))["id"], **more})


async def test_an_error_that_answers_no_request_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server, Client(server.url) as client:
        assert await heard_of(server, client, {"type": "error", "code": "invalid", "errors": [], "more": 0}) == []
    assert "refuses a message: the server says: invalid" in caplog.text


@pytest.mark.parametrize("subprotocol", ["consumers.any", None])
async def test_all_that_a_consumer_without_the_protocol_says_is_the_applications(subprotocol: str | None) -> None:
    said = [
        {"type": "joined", "user": "bob"},
        {**JOINED, "recovered": False},
        {"type": "gap", "label": "room"},
        {"type": "error", "text": "no"},
        {"type": "expires", "in": 5},
        {"type": "ack"},
        {"type": "said", "at": ["room", "e.1"]},
    ]
    async with serving(subprotocol) as server, Client(server.url) as client:
        assert await heard_of(server, client, *said) == said
        assert client.positions == {}


async def test_a_model_has_the_keys_that_are_its_own() -> None:
    async with serving() as server, Client(server.url, messages=Whisper | End) as client:
        said = [{"type": "whisper", "to": "bob"}, {"type": "whisper", "to": "ann", "at": ["room", "e.1"]}]
        assert await heard_of(server, client, *said) == [Whisper(to="bob"), Whisper(to="ann")]
        assert client.positions == {"room": "e.1"}


async def test_a_group_that_was_not_there_before_is_not_waited_for() -> None:
    gaps: list[str] = []
    async with serving() as server, Client(server.url, since={"room": "e.1"}, on_gap=gaps.append) as client:
        await heard_of(server, client, {**JOINED, "label": "hall", "position": "f.3", "missed": 2})
        assert client.state == "recovering"
        await heard_of(server, client, JOINED)
        assert (client.state, gaps) == ("open", [])


# Arguments


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (None, TypeError),
        (5, TypeError),
        ([1], TypeError),
        ({"text": "no type"}, ValueError),
        ({"type": 5}, ValueError),
        ({"type": "say", "what": object()}, TypeError),
        ({"type": "say", "what": float("nan")}, ValueError),
        ({"type": "say", "what": "half of a pair: \ud800"}, ValueError),
    ],
)
async def test_what_is_no_message_of_a_clients_is_refused_at_once(
    message: Any, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as server, Client(server.url) as client:
        with pytest.raises(error):
            await client.send(message)
        with pytest.raises(error):
            await client.request(message)
        assert await heard_of(server, client) == []
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize(
    "url", ["ws://host:abc/", "ws://host:99999/", "ws://a..b/", f"ws://{'a' * 64}.org/", "ws://[::1", "ws://ann@host/"]
)
def test_an_address_that_cannot_be_connected_to_is_an_error_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a WebSocket"):
        Client(url)


@pytest.mark.parametrize(
    ("token", "says"), [(5, "a token is text, not int"), (b"x", "not bytes"), ("half of a pair: \ud800", "surrogates")]
)
async def test_a_token_that_is_no_text_is_an_error_that_leaves_the_block(token: Any, says: str) -> None:
    async with serving() as server:
        with anyio.fail_after(PATIENCE), pytest.raises((TypeError, ValueError), match=says):
            async with Client(server.url, token=lambda: token):
                await anyio.sleep_forever()


@pytest.mark.parametrize("timeout", [float("inf"), 1e12, None])
async def test_a_request_may_wait_for_ever(timeout: float | None) -> None:
    async with serving() as server, Client(server.url) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.request, {"type": "ask"}, timeout)
        connection = await server.connection()
        await connection.tell({"type": "ack", "to": (await connection.message(0))["id"]})


async def test_two_tasks_that_iterate_get_each_message_once_and_after_the_gap_is_told() -> None:
    found: list[Any] = []
    told = anyio.Event()
    tell = anyio.Event()

    async def on_gap(label: str) -> None:
        told.set()
        await tell.wait()
        found.append(label)

    async def read() -> None:
        async for message in client:
            if message == END:
                client_is_done.set()
            else:
                found.append(message["number"])

    client_is_done = anyio.Event()
    async with serving() as server, Client(server.url, on_gap=on_gap) as client, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read)
        connection = await server.connection()
        numbers = [{"type": "said", "number": number} for number in range(20)]
        await connection.tell(*numbers[:10], {"type": "gap", "label": "room"}, *numbers[10:], END)
        with anyio.fail_after(PATIENCE):
            await told.wait()
            await anyio.wait_all_tasks_blocked()
            tell.set()
            await client_is_done.wait()
        tasks.cancel_scope.cancel()
    assert found == [*range(10), "room", *range(10, 20)]


async def test_who_is_cancelled_while_a_gap_is_told_is_told_again() -> None:
    told: list[str] = []

    async def on_gap(label: str) -> None:
        told.append(label)
        if len(told) < 3:
            await anyio.sleep_forever()

    async with serving() as server, Client(server.url, on_gap=on_gap) as client:
        await (await server.connection()).tell({"type": "gap", "label": "room"}, {"type": "said"})
        with anyio.fail_after(PATIENCE):
            while len(told) < 3:
                with anyio.move_on_after(0.01):
                    assert await anext(client) == {"type": "said"}
    assert told == ["room"] * 3


async def test_the_largest_message_that_a_consumer_takes_comes_with_its_place() -> None:
    said = {"type": "said", "text": "x" * 1024 * 1024, "at": ["room" * 16, "e" * 64]}
    async with serving() as server, Client(server.url) as client:
        assert await heard_of(server, client, said) == [said]
