"""WebSocket clients that cost next to nothing: they compare the bytes that come with the bytes that should."""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from . import PLACEHOLDER

AT_ONCE = 200
"""Handshakes under way at the same time."""

PATIENCE = 30.0
"""Seconds until frames that have not come are missed."""

IN_FLIGHT = 2
"""Messages to the group under way at the same time, so that the server never waits for the clients."""

NOTHING = b"nothing"
"""Not a frame: ends what a client may expect."""

TEXT_FRAME = 0x81
MASKED = 0x80


class WireError(Exception):
    """Something else came from the server than what was expected, or nothing."""


def frame(text: str, masked: bool) -> bytes:
    """A text frame; the mask is zero, which leaves the payload as it is."""
    payload = text.encode()
    flag = MASKED if masked else 0
    if len(payload) < 126:
        head = struct.pack("!BB", TEXT_FRAME, flag | len(payload))
    else:
        head = struct.pack("!BBH", TEXT_FRAME, flag | 126, len(payload))
    return head + (b"\0\0\0\0" if masked else b"") + payload


@dataclass
class Address:
    """Where a peer's server listens and how its clients talk: the first line that `benchmarks.wire.server` prints."""

    port: int
    targets: dict[str, str]
    frames: dict[str, str]
    hello: list[str]
    opening: int
    versions: str


class Client(asyncio.Protocol):
    """One connection.

    Args:
        swarm: what it belongs to.
    """

    __slots__ = ("_buffer", "_handle", "_opening", "frames", "ready", "swarm", "transport")

    def __init__(self, swarm: "Swarm") -> None:
        self.swarm = swarm
        self.ready = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self.frames = 0
        self._buffer = b""
        self._opening = swarm.address.opening
        self._handle: Callable[[bytes], None] = self._on_handshake

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.swarm.handshake)

    def data_received(self, data: bytes) -> None:
        self._handle(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.swarm.fail("a connection was closed by the server")

    def abort(self) -> None:
        """Drop the connection at once, so that its port is free again."""
        self.swarm.closing = True
        sock = self.transport.get_extra_info("socket")
        if sock is not None:  # else the server has closed it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _on_handshake(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            self.swarm.fail(f"no handshake but {head[:100]!r}")
            return
        for text in self.swarm.address.hello:
            self.transport.write(frame(text, masked=True))
        self._buffer = b""
        self._handle = self._on_opening
        self._on_opening(rest)

    def _on_opening(self, data: bytes) -> None:
        self._buffer += data
        while self._opening and len(self._buffer) > 1:
            size, start = self._buffer[1], 2
            if size == 126:
                size, start = int.from_bytes(self._buffer[2:4]), 4
            if len(self._buffer) < start + size:
                return
            self._buffer = self._buffer[start + size :]
            self._opening -= 1
        if not self._opening and not self.ready.done():
            self._handle = self._on_frames
            self.ready.set_result(None)

    def _on_frames(self, data: bytes) -> None:
        swarm = self.swarm
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            expected = swarm.script[self.frames]
            if self._buffer == expected:
                self._buffer = b""
            elif self._buffer.startswith(expected):
                self._buffer = self._buffer[len(expected) :]
            elif expected.startswith(self._buffer):
                return  # a part of it
            else:
                swarm.fail(f"{self._buffer[:100]!r} came where {expected!r} was expected")
                return
            self.frames += 1
            swarm.on_frame(self)


class Swarm:
    """Clients of one endpoint.

    Args:
        address: the server.
        endpoint: which of its endpoints.
        size: how many clients.
    """

    def __init__(self, address: Address, endpoint: str, size: int) -> None:
        self.address, self.endpoint, self.size = address, endpoint, size
        self.clients: list[Client] = []
        self.closing = False
        self.script: list[bytes] = [NOTHING]
        self.on_frame: Callable[[Client], None] = lambda client: None
        self.handshake = (
            f"GET {address.targets[endpoint]} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{address.port}\r\n"
            "Connection: Upgrade\r\n"
            "Upgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()
        self._failure: str | None = None
        self._complete: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        for start in range(0, self.size, AT_ONCE):
            await self._connect(min(AT_ONCE, self.size - start))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing = True
        for client in self.clients:
            client.abort()
        self.clients.clear()

    def fail(self, why: str) -> None:
        """End what is being measured with an error."""
        if self.closing:
            return
        self._failure = self._failure or why
        for future in [self._complete, *(client.ready for client in self.clients)]:
            if future is not None and not future.done():
                future.set_exception(WireError(why))

    def require_whole(self) -> None:
        """Raise WireError if a connection was lost."""
        if self._failure is not None:
            raise WireError(self._failure)

    async def echo(self, count: int) -> None:
        """Let each client send so many messages, the next when the last has come back."""
        request, answer = self._frames("a line of chat, neither long nor short")
        complete = self._begin([answer] * count)
        left = self.size

        def on_frame(client: Client) -> None:
            nonlocal left
            if client.frames < count:
                client.transport.write(request)
            else:
                left -= 1
                if not left:
                    complete.set_result(None)

        self.on_frame = on_frame
        for client in self.clients:
            client.transport.write(request)
        await self._wait(complete)
        self._check(count)

    async def fan_out(self, count: int, times: int = 1, length: int = 0) -> None:
        """Let one client send so many messages to all, the next when the last but one has reached everyone.

        Args:
            count: how many.
            times: how often everyone gets each of them.
            length: of each, in characters, if that is more than a line of chat.
        """
        frames = [self._frames(f"a line of chat, number {number:08}".ljust(length, ".")) for number in range(count)]
        complete = self._begin([message for _, message in frames for _ in range(times)])
        left = [self.size] * count
        requests = iter([request for request, _ in frames])
        speaker = self.clients[0].transport

        def on_frame(client: Client) -> None:
            number, others = divmod(client.frames, times)
            if others:
                return
            number -= 1
            left[number] -= 1
            if left[number]:
                return
            if number == count - 1:
                complete.set_result(None)
            else:
                speaker.write(next(requests, b""))

        self.on_frame = on_frame
        speaker.write(b"".join(islice(requests, IN_FLIGHT)))
        await self._wait(complete)
        self._check(count * times)

    async def _connect(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        connected = [loop.create_connection(lambda: Client(self), "127.0.0.1", self.address.port) for _ in range(count)]
        clients = [client for _, client in await asyncio.gather(*connected)]
        self.clients += clients
        self.require_whole()
        await self._wait(asyncio.gather(*(client.ready for client in clients)))

    def _frames(self, text: str) -> tuple[bytes, bytes]:
        text = self.address.frames[self.endpoint].replace(PLACEHOLDER, text)
        return frame(text, masked=True), frame(text, masked=False)

    def _begin(self, script: list[bytes]) -> asyncio.Future[None]:
        self.require_whole()
        self.script = [*script, NOTHING]
        for client in self.clients:
            client.frames = 0
        self._complete = asyncio.get_running_loop().create_future()
        return self._complete

    async def _wait(self, future: Awaitable[Any]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await future
        except TimeoutError:
            raise WireError(f"frames are missing {PATIENCE:.0f} s after they were asked for") from None

    def _check(self, count: int) -> None:
        wrong = {client.frames for client in self.clients} - {count}
        if wrong or self._failure is not None:
            raise WireError(self._failure or f"a client got {wrong} frames, {count} were expected")


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used: what /proc/PID/stat says, but finer than its hundredths of a second."""
    # The number of another process's CPU clock is made as in the C library's clock_getcpuclockid().
    return time.clock_gettime(~pid << 3 | 2)
