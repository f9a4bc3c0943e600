"""Servers that are none of this library's: TLS, web pages, redirects, and what is no WebSocket."""

import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream, Listener, SocketAttribute
from anyio.streams.tls import TLSListener
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from consumers.client import Client, Closed

from ..support.tls import client_context, server_options

pytestmark = pytest.mark.anyio

PATIENCE = 10

Handle = Callable[[ByteStream], Awaitable[None]]


async def greet(stream: ByteStream) -> None:
    """Accept a WebSocket, and send a message in three frames with a ping between them."""
    protocol = ServerProtocol()
    async with stream:
        while data := await receive(stream):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                    protocol.send_text(b'{"type":', fin=False)
                    protocol.send_ping(b"?")
                    protocol.send_continuation(b'"hi",', fin=False)
                    protocol.send_continuation(b'"of":"\xc3\xa9"}', fin=True)
                elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                    protocol.send_text(b'{"type":"thanks","to":"bob"}')
            await stream.send(b"".join(protocol.data_to_send()))


async def receive(stream: ByteStream) -> bytes:
    try:
        return await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return b""


def answering(answer: bytes) -> Handle:
    async def answered(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)

    return answered


@asynccontextmanager
async def listening(handle: Handle, is_secure: bool = False) -> AsyncIterator[str]:
    """Give the address of a server, without its scheme."""
    listener: Listener[ByteStream] = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    if is_secure:
        context, files = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), server_options()
        context.load_cert_chain(files["ssl_certfile"], files["ssl_keyfile"])
        listener = TLSListener(listener, context, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"{'localhost' if is_secure else '127.0.0.1'}:{port}/"
        tasks.cancel_scope.cancel()


async def test_a_message_in_several_frames_is_one_and_pings_are_answered() -> None:
    async with listening(greet) as address, Client(f"ws://{address}") as client:
        with anyio.fail_after(PATIENCE):
            assert await anext(client) == {"type": "hi", "of": "é"}
            assert await anext(client) == {"type": "thanks", "to": "bob"}  # its own


async def test_a_text_that_is_not_utf_8_ends_the_connection_and_another_one_follows() -> None:
    async def garbled(stream: ByteStream) -> None:
        protocol = ServerProtocol()
        async with stream:
            while data := await receive(stream):
                protocol.receive_data(data)
                for event in protocol.events_received():
                    if isinstance(event, Request):
                        protocol.send_response(protocol.accept(event))
                        protocol.send_text(b"\xff")
                await stream.send(b"".join(protocol.data_to_send()))

    async with listening(garbled) as address, Client(f"ws://{address}") as client:
        with anyio.fail_after(PATIENCE):
            while client.state != "offline":
                await client._runner.changed.wait()
        assert client.detail.code == 1007


async def test_tls_is_checked_and_works() -> None:
    async with listening(greet, is_secure=True) as address:
        async with Client(f"https://{address}", ssl_context=client_context()) as client:
            with anyio.fail_after(PATIENCE):
                assert (await anext(client))["type"] == "hi"


async def test_a_certificate_that_is_no_good_is_said_to_be_so() -> None:
    async with listening(greet, is_secure=True) as address, Client(f"wss://{address}") as client:
        with anyio.fail_after(PATIENCE):
            while client.state != "offline":
                await client._runner.changed.wait()
        assert "certificate" in client.detail.reason


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\na page", 200, "HTTP 200 OK: a page"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://host/\r\nContent-Length: 0\r\n\r\n",
            302,
            "302 Found to https://host/",
        ),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 12\r\n\r\nlog in first", 401, "log in first"),
    ],
)
async def test_an_answer_that_stays_the_same_is_final(answer: bytes, code: int, says: str) -> None:
    async with listening(answering(answer)) as address, Client(f"ws://{address}") as client:
        with anyio.fail_after(PATIENCE), pytest.raises(Closed, match=says) as caught:
            await client.wait_open()
        assert caught.value.close_code == code


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 15\r\n\r\nretry=100-200 s", "HTTP 503 Busy"),
        (b"SSH-2.0-OpenSSH\r\n", "answer to the handshake is invalid|does not speak WebSocket"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "answer to the handshake is invalid"),
        (b"", "the connection broke during the handshake"),
    ],
)
async def test_an_answer_that_may_be_another_one_soon_is_tried_again(answer: bytes, says: str) -> None:
    async with listening(answering(answer)) as address, Client(f"ws://{address}") as client:
        with anyio.fail_after(PATIENCE):
            while client.state != "offline":
                await client._runner.changed.wait()
        assert re.search(says, client.detail.reason)
        assert client.detail.retry_in is not None and client.detail.retry_in <= 0.5


@pytest.mark.parametrize(("status", "state"), [(b"503 Busy", "offline"), (b"403 Forbidden", "closed")])
async def test_a_refusal_may_say_when_to_try_again(status: bytes, state: str) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nRetry-After: 30\r\nRetry-After: x\r\nContent-Length: 0\r\n\r\n"
    async with listening(answering(answer)) as address, Client(f"ws://{address}") as client:
        with anyio.fail_after(PATIENCE):
            while client.state != state:
                await client._runner.changed.wait()
        retry_in = client.detail.retry_in
        assert retry_in is None if state == "closed" else retry_in is not None and 30 <= retry_in <= 37.5
