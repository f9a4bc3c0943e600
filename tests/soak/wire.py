"""One client's connection, down to the bytes, so that it can also misbehave."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

from benchmarks.wire.client import frame

from .records import Kind, Recorder

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA

MASK = b"\0\0\0\0"  # leaves the payload as it is

TCP_REPAIR = 19
"""Linux: a socket in this state is closed without a word to the other side; for the superuser only."""

ACCEPTED = b"HTTP/1.1 101 "

NORMAL = (1000).to_bytes(2, "big")
"""What a close frame says when all is well."""


def measure(buffer: bytes, at: int) -> tuple[int, int]:
    """Return the size of the payload of a frame at a place, of at most 64 KiB, and where it starts."""
    size = buffer[at + 1]
    if size == 126:
        return int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
    return size, at + 2


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a frame that is not masked."""
    return frame[measure(frame, 0)[1] :]


class Connection(asyncio.Protocol):
    """A WebSocket client that notes which messages come.

    Args:
        conn: the connection's number.
        target: what it asks for.
        record: where to note.

    Attributes:
        answered: set when the handshake has been answered, or never will be.
        closed: set when the connection is over.
        is_open: whether the server has accepted.
        got_close: whether the server has sent a close frame, or answered ours.
        frames: how many frames have been written.
    """

    def __init__(self, conn: int, target: str, record: Recorder) -> None:
        self.conn = conn
        self.answered = asyncio.Event()
        self.closed = asyncio.Event()
        self.is_open = self.got_close = self.sent_close = False
        self.frames = 0
        self.transport: Any = None
        self.request = (
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()
        self._record = record
        self._buffer = b""
        self._in_order = False

    @classmethod
    async def to(
        cls, port: int, conn: int, target: str, record: Recorder, receive_buffer: int | None = None
    ) -> "Connection":
        """Connect, without a handshake.

        Raises:
            OSError: if there is no connection.
        """
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        try:
            sock.setblocking(False)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            _, connection = await loop.create_connection(lambda: cls(conn, target, record), sock=sock)
        except BaseException:
            sock.close()
            raise
        return connection

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.answered.set()
        if not self.closed.is_set():
            self.closed.set()
            if self.frames or self.is_open:
                self._record(Kind.LEFT, self.conn, self.frames, int(self._in_order))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.is_open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self._buffer = rest
            self.is_open = head.startswith(ACCEPTED)
            self.answered.set()
            if not self.is_open:
                self.transport.close()
                return
        self._read_frames()

    def handshake(self) -> None:
        """Ask for the WebSocket."""
        self.transport.write(self.request)

    def say(self, text: str) -> None:
        """Send a text."""
        if self.is_open and not self.got_close and not self.sent_close and not self.transport.is_closing():
            self.frames += 1
            self.transport.write(frame(text, masked=True))

    def close(self) -> None:
        """Begin to close in order."""
        if self.is_open and not self.sent_close and not self.transport.is_closing():
            self._send_close()

    def stop_reading(self) -> None:
        """Read no more."""
        with suppress(RuntimeError):
            self.transport.pause_reading()

    def abort(self) -> None:
        """Reset the connection."""
        sock = self.transport.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def vanish(self) -> None:
        """Go without a word to the server, as when a cable is cut; where that is not allowed, reset the connection."""
        sock = self.transport.get_extra_info("socket")
        try:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except OSError:
            self.abort()
        else:
            self.transport.abort()

    def _read_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            size, start = measure(buffer, at)
            if len(buffer) < start + size:
                break
            self._on_frame(buffer[at] & 0xF, buffer[start : start + size])
            at = start + size
        self._buffer = buffer[at:]

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            _, conn, number, *_ = payload.split(b" ", 3)
            self._record(Kind.CAME, self.conn, int(conn), int(number))
        elif opcode == PING:
            self.transport.write(struct.pack("!BB", 0x80 | PONG, 0x80 | len(payload)) + MASK + payload)
        elif opcode == CLOSE:
            self.got_close = True
            self._in_order = self.sent_close and payload[:2] == NORMAL
            if not self.sent_close:
                self._send_close()

    def _send_close(self) -> None:
        self.sent_close = True
        self.transport.write(struct.pack("!BB", 0x80 | CLOSE, 0x82) + MASK + NORMAL)
