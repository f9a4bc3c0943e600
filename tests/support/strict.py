"""A WebSocket client that takes every byte apart: websockets' parser, and nothing is let pass after the close frame."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.streams import StreamReader
from websockets.uri import parse_uri

PATIENCE = 10.0
"""Seconds until a test gives up."""

LITTLE = 4096
"""Bytes that a client takes before it reads: what a server sends piles up soon."""


class StrictClient:
    """A client.

    Attributes:
        frames: what it has read.
        pongs: the payloads of the pongs among that.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._stream = StreamReader()
        self._extensions: Any = []
        self._parsing: Any = None
        self._has_closed = self._is_aborted = False
        self.close_frame: Frame | None = None
        self.frames: list[Frame] = []
        self.pongs: list[bytes] = []

    async def shake_hands(self, url: str, compressed: bool) -> Response:
        """Open the WebSocket; return the server's answer."""
        factories = [ClientPerMessageDeflateFactory()] if compressed else None
        protocol = ClientProtocol(parse_uri(url), extensions=factories)
        protocol.send_request(protocol.connect())
        self._writer.write(b"".join(protocol.data_to_send()))
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE)
        body = b"" if head.startswith(b"HTTP/1.1 101") else await self._reader.read()
        protocol.receive_data(head + body)
        if body or not head.startswith(b"HTTP/1.1 101"):
            protocol.receive_eof()
        response = next(event for event in protocol.events_received() if isinstance(event, Response))
        self._extensions = protocol.extensions
        if response.status_code == 101:
            assert bool(self._extensions) is compressed
        return response

    def send(self, content: str | bytes, opcode: Opcode | None = None) -> None:
        """Send a frame: of text or binary, unless another opcode is given."""
        if opcode is None:
            opcode = Opcode.TEXT if isinstance(content, str) else Opcode.BINARY
        data = content.encode() if isinstance(content, str) else content
        if self._writer.is_closing() or self._has_closed:
            return
        self._has_closed = opcode is Opcode.CLOSE
        self._writer.write(Frame(opcode, data).serialize(mask=True))

    def ping(self, payload: bytes) -> None:
        self.send(payload, Opcode.PING)

    def close(self, code: int = 1000) -> None:
        self.send(Close(code, "").serialize(), Opcode.CLOSE)

    def abort(self) -> None:
        """Vanish."""
        self._is_aborted = True
        self._writer.transport.abort()

    async def read(self) -> Frame | None:
        """Return the next frame; None at the end of the stream, which nothing but a close frame may stand before."""
        while True:
            if self._parsing is None:
                self._parsing = Frame.parse(
                    self._stream.read_exact, mask=False, max_size=None, extensions=self._extensions
                )
            try:
                next(self._parsing)
            except StopIteration as parsed:
                self._parsing = None
                return self._note(parsed.value)
            data = await asyncio.wait_for(self._reader.read(65536), PATIENCE)
            if not data and self._is_aborted:
                raise ConnectionAbortedError
            if not data:
                assert not self._stream.buffer, "the stream ends within a frame"
                return None
            self._stream.feed_data(data)

    def _note(self, frame: Frame) -> Frame:
        assert frame.fin, "the server sends no fragments"
        # uvicorn answers pings while it waits for the client's close frame: RFC 6455 forbids only data then.
        assert self.close_frame is None or frame.opcode is Opcode.PONG, f"{frame} after the close frame"
        self.frames.append(frame)
        if frame.opcode is Opcode.CLOSE:
            self.close_frame = frame
        if frame.opcode is Opcode.PONG:
            self.pongs.append(bytes(frame.data))
        return frame

    async def next(self) -> str | bytes:
        """Return the content of the next message."""
        while True:
            frame = await self.read()
            assert frame is not None, "the connection has ended"
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                data = bytes(frame.data)
                return data.decode() if frame.opcode is Opcode.TEXT else data
            assert frame.opcode is not Opcode.CLOSE, frame

    async def rest(self) -> list[str | bytes]:
        """Read up to the end of the stream, answering a close frame; return the messages."""
        seen = len(self.frames)
        try:
            while (frame := await self.read()) is not None:
                if frame.opcode is Opcode.CLOSE:
                    self.close(Close.parse(bytes(frame.data)).code)
        except ConnectionError:  # the close frame crossed another
            pass
        return [
            bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
            for frame in self.frames[seen:]
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        ]

    @property
    def close_code(self) -> int | None:
        """The code of the close frame; None: there has been none."""
        return None if self.close_frame is None else Close.parse(bytes(self.close_frame.data)).code


@asynccontextmanager
async def dialing(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[StrictClient]:
    """Connect a client that has little room."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    options: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": "localhost"}
    reader, writer = await asyncio.open_connection(sock=raw, limit=LITTLE, **options)
    try:
        yield StrictClient(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def opening(
    port: int, path: str = "/", *, compressed: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[StrictClient]:
    """Connect a client whose handshake succeeds."""
    async with dialing(port, tls) as client:
        response = await client.shake_hands(f"ws://localhost:{port}{path}", compressed)
        assert response.status_code == 101, response
        yield client
