"""Header smuggling through what an application puts into the answer to a handshake.

If one of these fails: a client that has a say in a header's value or in the subprotocol sets headers of its own in the
answer, a cookie say, or begins a second answer that a proxy keeps for somebody else.
"""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from consumers import AsyncHttpConsumer, AsyncWebsocketConsumer
from consumers._connection.events import pairs
from consumers.server import WebSocketProtocol

from ..support.servers import Server, uvicorn_server
from ..support.slow import left_to_ci

SMUGGLED = [
    (b"x-name", b"value\r\nset-cookie: evil=1"),
    (b"x-name", b"value\nset-cookie: evil=1"),
    (b"x-name", b"value\rset-cookie: evil=1"),
    (b"x-name", b"value\r\n\r\nHTTP/1.1 200 OK\r\nset-cookie: evil=1"),
    (b"x-name", b"value\0"),
    (b"x-name: value\r\nset-cookie", b"evil=1"),
    (b"set-cookie: evil=1\r\nx-name", b"value"),
    (b"set-cookie: evil=1; x", b"value"),
    (b"x name", b"value"),
    (b"x-name\0", b"value"),
    (b"", b"value"),
]


class Accepting(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept(headers=[SMUGGLED[int(self.scope["path"].rpartition("/")[2])]])


class Denying(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.deny(401, "no", headers=dict([SMUGGLED[int(self.scope["path"].rpartition("/")[2])]]))


class Choosing(AsyncWebsocketConsumer):
    """Takes a subprotocol that has come from somewhere else than the client's offers."""

    async def connect(self) -> None:
        await self.accept(subprotocol="chat\r\nset-cookie: evil=1")


class Reasoning(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.close(4000, "no\r\nset-cookie: evil=1\r\n\r\n")


class Answering(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(200, b"", headers=[SMUGGLED[int(self.scope["path"].rpartition("/")[2])]])


@pytest.fixture(
    scope="module",
    params=[
        "websockets-sansio",
        *left_to_ci(WebSocketProtocol),
        "wsproto",
        pytest.param("websockets", marks=pytest.mark.filterwarnings("ignore")),  # deprecated, and in use
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    app = Starlette(
        routes=[
            WebSocketRoute("/accept/{number}", Accepting.as_asgi()),
            WebSocketRoute("/deny/{number}", Denying.as_asgi()),
            WebSocketRoute("/subprotocol", Choosing.as_asgi()),
            WebSocketRoute("/reason", Reasoning.as_asgi()),
            Route("/http/{number}", Answering.as_asgi()),
        ]
    )
    with uvicorn_server(app, ws=request.param, log_level="critical") as server:
        yield server


def answer(server: Server, path: str, *headers: str) -> bytes:
    """Send a handshake; return all that the server answers until it closes, or the head that accepts."""
    request = [f"GET {path} HTTP/1.1", "Host: test", "Connection: Upgrade", "Upgrade: websocket", *headers]
    request += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall("\r\n".join(request).encode("latin-1"))
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            if received.startswith(b"HTTP/1.1 101") and b"\r\n\r\n" in received:
                break
    return received


@pytest.mark.parametrize("number", range(len(SMUGGLED)))
@pytest.mark.parametrize("way", ["accept", "deny"])
def test_no_header_brings_another_with_it(server: Server, way: str, number: int) -> None:
    received = answer(server, f"/{way}/{number}")
    assert received.startswith(b"HTTP/1.1 500")
    assert b"evil" not in received


@pytest.mark.parametrize("path", ["/subprotocol", "/reason"])
@pytest.mark.parametrize("offer", ["chat", "chat, set-cookie: evil=1", "chat\tset-cookie: evil=1"])
def test_no_subprotocol_and_no_reason_brings_a_header_with_it(server: Server, path: str, offer: str) -> None:
    received = answer(server, path, f"Sec-WebSocket-Protocol: {offer}")
    assert received.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"set-cookie" not in head.lower()
    assert b"HTTP/1.1" not in rest


def test_neither_does_a_header_of_an_http_response(server: Server) -> None:
    for number in range(len(SMUGGLED)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(f"GET /http/{number} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            received = b"".join(iter(lambda connection=connection: connection.recv(65536), b""))  # type: ignore[misc]
        assert received.startswith(b"HTTP/1.1 500")
        assert b"evil" not in received


@pytest.mark.parametrize("headers", [[(b"a", b"b\r\nc: d")], {b"a\n": b"b"}])
def test_the_error_names_the_header(headers: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot hold line breaks or NUL.*b'a"):
        pairs(headers)


def test_ordinary_headers_pass() -> None:
    headers = [(b"set-cookie", b"a=b; Path=/"), (b"x-empty", b""), (b"x-text", "\u00fc \t:".encode("latin-1"))]
    assert pairs(headers) == headers
