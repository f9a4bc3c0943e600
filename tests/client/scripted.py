"""A server that says what a test has it say, for what no consumer of this library would."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol


class Gate:
    """An event that can be cleared."""

    def __init__(self) -> None:
        self._opened = anyio.Event()
        self._opened.set()

    def clear(self) -> None:
        self._opened = anyio.Event()

    def set(self) -> None:
        self._opened.set()

    async def wait(self) -> None:
        await self._opened.wait()


class Connection:
    """A client's connection to it.

    Attributes:
        path: what the handshake asked for.
        got: the messages that have come.
        reads: cleared, it reads nothing more.
    """

    def __init__(self, stream: ByteStream, subprotocol: str | None) -> None:
        self._stream = stream
        self._protocol = ServerProtocol(subprotocols=[Subprotocol(subprotocol)] if subprotocol else None)
        self.path = ""
        self.got: list[Any] = []
        self.changed = anyio.Event()
        self.reads = Gate()

    async def tell(self, *messages: Any) -> None:
        """Send messages: texts as they are, and other values as JSON."""
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            self._protocol.send_text(text.encode())
        await self._flush()

    async def leave(self, code: int, reason: str = "") -> None:
        self._protocol.send_close(code, reason)
        await self._flush()

    async def message(self, number: int) -> Any:
        """Wait for a message, and return it."""
        while len(self.got) <= number:
            await self.changed.wait()
        return self.got[number]

    async def serve(self) -> None:
        async with self._stream:
            while data := await _received(self._stream):
                await self.reads.wait()
                self._protocol.receive_data(data)
                for event in self._protocol.events_received():
                    if isinstance(event, Request):
                        self.path = event.path
                        self._protocol.send_response(self._protocol.accept(event))
                    elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        self.got.append(json.loads(bytes(event.data)))
                await self._flush()
                changed, self.changed = self.changed, anyio.Event()
                changed.set()

    async def _flush(self) -> None:
        await self._stream.send(b"".join(self._protocol.data_to_send()))


class Server:
    """Where clients connect to.

    Attributes:
        url: its address.
        connections: all so far.
    """

    def __init__(self, url: str, subprotocol: str | None) -> None:
        self.url = url
        self._subprotocol = subprotocol
        self.connections: list[Connection] = []
        self._changed = anyio.Event()

    async def connection(self, number: int = 0) -> Connection:
        """Wait for a client's handshake, and return its connection."""
        while len(self.connections) <= number:
            await self._changed.wait()
        connection = self.connections[number]
        while not connection.path:
            await connection.changed.wait()
        return connection

    async def handle(self, stream: ByteStream) -> None:
        self.connections.append(Connection(stream, self._subprotocol))
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
        await self.connections[-1].serve()


async def _received(stream: ByteStream) -> bytes:
    try:
        return await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return b""


@asynccontextmanager
async def serving(subprotocol: str | None = "consumers.v1") -> AsyncIterator[Server]:
    """Run one until the end of the block."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = Server(f"ws://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/", subprotocol)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.handle)
        yield server
        tasks.cancel_scope.cancel()
