"""docs/reference/close-codes.md: which codes there are, when they are sent, and what clients do then."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.exceptions import HTTPException, WebSocketException

from consumers import AsyncJsonWebsocketConsumer, DenyConnection, StopConsumer, URLRouter, path
from consumers.client import rules
from consumers.testing import WebsocketCommunicator
from consumers.typed import TypedConsumer
from consumers.types import CloseCode, is_sendable

from ..support.pages import ROOT

TEXT = (ROOT / "docs/reference/close-codes.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    """Return the cells of a section's table."""
    section = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


class Chat(AsyncJsonWebsocketConsumer):
    """Does what the client says."""

    rate_limit = 0.001
    rate_burst = 3
    max_message_size = 1000
    max_groups = 1
    ended_with: int | None = None

    async def receive_json(self, content: Any) -> None:
        match content:
            case int():
                await self.close(content)
            case "raise":
                raise RuntimeError("a handler's mistake")
            case "stop":
                raise StopConsumer
            case "groups":
                await self.group_join("one")
                await self.group_join("two")
            case "unsendable":
                raise WebSocketException(1006)

    async def disconnect(self, code: int) -> None:
        type(self).ended_with = code


SENT: list[tuple[int, dict[str, Any]]] = [
    (1000, {"text": '"stop"'}),
    (1003, {"bytes": b"binary"}),
    (1007, {"text": "no JSON"}),
    (1008, {"text": '"groups"'}),
    (1009, {"text": f'"{"a" * 1000}"'}),
    (1011, {"text": '"raise"'}),
    (1011, {"text": '"unsendable"'}),
    (3001, {"text": "3001"}),
    (4001, {"text": "4001"}),
]


@pytest.mark.anyio
@pytest.mark.usefixtures("layer")
@pytest.mark.parametrize(("code", "frame"), SENT)
async def test_the_client_and_disconnect_get_the_code(code: int, frame: dict[str, Any]) -> None:
    client = WebsocketCommunicator(Chat.as_asgi(), "/")
    assert await client.connect() == (True, None)
    await client.send_input({"type": "websocket.receive", **frame})
    assert (await client.receive_output())["code"] == code
    if frame.get("text") == '"raise"':
        with pytest.raises(RuntimeError, match="mistake"):
            await client.wait()
    else:
        await client.disconnect(1000)  # a server's code for the application's own close differs
    assert Chat.ended_with == code


@pytest.mark.anyio
async def test_a_client_that_sends_too_much_gets_1008() -> None:
    client = WebsocketCommunicator(Chat.as_asgi(), "/")
    await client.connect()
    for _ in range(4):
        await client.send_to('""')
    assert (await client.receive_output())["code"] == CloseCode.POLICY_VIOLATION


@pytest.mark.anyio
async def test_a_typed_consumer_whose_time_has_come_closes_with_4401() -> None:
    class Expiring(TypedConsumer):
        async def connect(self) -> None:
            await self.accept()
            self.expires_at = datetime(2020, 1, 1, tzinfo=UTC)

    client = WebsocketCommunicator(Expiring.as_asgi(), "/")
    await client.connect()
    assert (await client.receive_output())["code"] == 4401


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("raised", "seen", "told"),
    [(DenyConnection(), 1000, 1000), (WebSocketException(4003), 4003, 4003), (HTTPException(418), 418, 1006)],
)
async def test_before_the_accept_the_client_sees_a_status(raised: Exception, seen: int, told: int) -> None:
    class Refusing(Chat):
        async def connect(self) -> None:
            raise raised

    client = WebsocketCommunicator(Refusing.as_asgi(), "/")
    assert await client.connect() == (False, seen)  # a code is HTTP 403 with a server
    await client.wait()
    assert Refusing.ended_with == told


@pytest.mark.anyio
async def test_a_path_without_a_route_is_404() -> None:
    client = WebsocketCommunicator(URLRouter([path("chat", Chat.as_asgi())]), "/other")
    assert await client.connect() == (False, 404)


def test_every_code_of_the_library_is_in_a_table() -> None:
    codes = {value for name, value in vars(CloseCode).items() if name.isupper()}
    shown = {int(code) for title in ("What the client sees", "What the clients send") for code in _codes(title)}
    assert codes <= shown


def _codes(title: str) -> list[str]:
    return [code for cells in rows(title) for code in re.findall(r"\d{4}", cells[0])]


def test_the_clients_do_what_the_page_says() -> None:
    for code, _, does in rows("What the client sees"):
        for each in map(int, re.findall(r"\d{4}", code)):
            expected = "stops" if rules.is_final(each) else "tries again"
            assert does == ("tries once again, with a new token" if each == rules.TOKEN_EXPIRED else expected), each


def test_the_codes_that_may_be_sent_are_those() -> None:
    allowed = rows("Codes that you may send")[0][1]
    ranges = [range(int(low), int(high) + 1) for low, high in re.findall(r"(\d{4}) to (\d{4})", allowed)]
    assert {code for one in ranges for code in one} == {code for code in range(10_000) if is_sendable(code)}
