"""docs/howto/limits.md: what its table says clients get, they get."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient, WebSocketDenialResponse

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers
from consumers.testing import WebsocketCommunicator

from ..support.examples import connect, run
from ..support.pages import ROOT, blocks

PAGE = "docs/howto/limits.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
FOR_ALL, ONE_CLASS, ONE_KIND, EACH_USER = (block.text for block in blocks(PAGE, "python"))


def promised(limit: str) -> list[Any]:
    """Return the close codes, statuses and reasons in a limit's row of the table."""
    [row] = [line for line in TEXT.splitlines() if line.startswith(f"| `{limit}`")]
    cell = row.split("|")[2]
    return [int(code) for code in re.findall(r"\b\d{3,4}\b", cell.partition("`")[0])] + re.findall("`(.+?)`", cell)


def test_who_sends_too_fast_is_closed(no_limits: None) -> None:
    with TestClient(run(ONE_CLASS)["app"]) as client, client.websocket_connect("/chat") as chat:
        for number in range(21):
            chat.send_json(number)
        assert [chat.receive_json() for _ in range(20)] == list(range(20))
        closed = chat.receive()
    assert [closed["code"], closed["reason"]] == promised("rate_limit")


def test_a_large_message_closes(no_limits: None) -> None:
    with TestClient(run(ONE_CLASS)["app"]) as client, client.websocket_connect("/chat") as chat:
        chat.send_json("x" * 4000)
        closed = chat.receive()
    assert [closed["code"], closed["reason"]] == promised("max_message_size")


@pytest.mark.anyio
async def test_too_many_groups_close_unless_the_handler_catches_the_error(no_limits: None, no_layer: None) -> None:
    class Joins(AsyncWebsocketConsumer):
        max_groups = 1

        async def receive(self, text_data: str) -> None:
            await self.group_join(text_data)
            await self.send(text_data)

    channel_layers.set("default", InMemoryChannelLayer())
    client = await connect(Joins.as_asgi(), "/")
    await client.send_to("one")
    assert await client.receive_from() == "one"
    await client.send_to("two")
    assert (await client.receive_output())["code"] == promised("max_groups")[0]
    await client.wait()


@pytest.mark.anyio
async def test_late_and_silent_clients_are_ended(no_limits: None) -> None:
    class Undecided(AsyncWebsocketConsumer):
        handshake_timeout = 0.05

        async def connect(self) -> None: ...

    class Silent(AsyncWebsocketConsumer):
        idle_timeout = 0.05

    client = WebsocketCommunicator(Undecided.as_asgi(), "/")
    assert await client.connect() == (False, promised("handshake_timeout")[0])
    silent = await connect(Silent.as_asgi(), "/")
    assert (await silent.receive_output())["code"] == promised("idle_timeout")[0]
    await silent.wait()


def test_the_limits_for_all_hold_for_a_class_without_its_own(no_limits: None) -> None:
    run(FOR_ALL)
    app = FastAPI()
    app.add_api_websocket_route("/", AsyncWebsocketConsumer.as_endpoint())
    with TestClient(app).websocket_connect("/") as client:
        client.send_text("x" * 64_001)
        assert client.receive()["code"] == 1009


@pytest.mark.anyio
async def test_a_kind_of_message_has_a_limit_of_its_own_that_only_the_client_hears_of(
    no_limits: None, no_layer: None, caplog: pytest.LogCaptureFixture
) -> None:
    client = await connect(run(ONE_KIND)["application"], "/")
    for number in range(4):
        await client.send_json_to({"type": "search", "text": "x", "id": number})
    answers = [await client.receive_json_from() for _ in range(4)]
    assert [answer["type"] for answer in answers] == ["found"] * 3 + ["error"]
    assert answers[3]["code"] == "rate_limited"
    await client.disconnect()
    assert not [record for record in caplog.records if record.name.startswith("consumers")]


def test_a_user_has_so_many_connections_at_once(no_limits: None, no_layer: None) -> None:
    with TestClient(run(EACH_USER)["app"]) as client:
        with client.websocket_connect("/news/ann"), client.websocket_connect("/news/ann") as second:
            with client.websocket_connect("/news/ann"), client.websocket_connect("/news/bob"):
                with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/news/ann"):
                    pass
                assert refused.value.status_code == 429
                second.close()
            with client.websocket_connect("/news/ann"):
                pass


def test_a_misspelt_limit_is_an_error_at_the_start(no_limits: None) -> None:
    with pytest.raises(TypeError, match="rate_limit"):
        type("Chat", (AsyncWebsocketConsumer,), {"rate_limits": 5}).as_asgi()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="rate_limit"):
        type("Chat", (AsyncWebsocketConsumer,), {"rate_limit": 0}).as_asgi()  # type: ignore[attr-defined]
