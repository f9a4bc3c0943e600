"""A TCP proxy that misbehaves on demand."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator


class Proxy:
    """Passes bytes on between clients and a server of 127.0.0.1; runs on the test's event loop.

    Attributes:
        port: where it listens.
        flowing: cleared, nothing is passed on, though connections are accepted and kept.
        delay: seconds that what the server sends is held back for.
        cut_after: bytes from the server after which a connection is reset; None: never.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.delay = 0.0
        self.cut_after: int | None = None
        self.connections = 0
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._abandoned: set[int] = set()
        self._ports: set[int] = set()

    def abandon(self, port: int) -> None:
        """Pass nothing on any more between the server and the client with this port, which is not told."""
        self._abandoned.add(port)

    def abandon_all(self) -> None:
        """Do so with all clients that are connected now."""
        self._abandoned |= self._ports

    def cut(self) -> None:
        """Reset all connections (RST, not FIN)."""
        for writer in list(self._writers):
            _reset(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        port = writer.get_extra_info("peername")[1]
        with contextlib.suppress(OSError):
            upstream, downstream = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, downstream}
            self._ports.add(port)
            try:
                await asyncio.gather(
                    self._pass(reader, downstream, port, False), self._pass(upstream, writer, port, True)
                )
            finally:
                self._writers -= {writer, downstream}
                self._ports.discard(port)
                downstream.close()
        writer.close()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, port: int, is_answer: bool
    ) -> None:
        while data := await source.read(65536):
            await self.flowing.wait()
            if port in self._abandoned:
                continue
            if is_answer:
                await asyncio.sleep(self.delay)
            if is_answer and self.cut_after is not None:
                if len(data) >= self.cut_after:
                    target.write(data[: self.cut_after])
                    await target.drain()
                    _reset(target)
                    self.cut_after = None
                    return
                self.cut_after -= len(data)
            target.write(data)
            await target.drain()
        if target.can_write_eof() and not (is_answer and port in self._abandoned):
            target.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


@contextlib.asynccontextmanager
async def proxying(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy to a port of 127.0.0.1 until the end of the block."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy.flowing.set()
        server.close()
        proxy.cut()
        while proxy._writers:
            await asyncio.sleep(0.005)
