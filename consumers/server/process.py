"""One process that serves: uvicorn, which drains before it ends."""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn

from .draining import LAST_PART, drain
from .serving import DRAINING_PART, STARTUP_FAILURE, Pace

logger = logging.getLogger("consumers.server")

FORCED = 2.0
"""Seconds that a process has to end after the second signal."""

LEAST = 1.0
"""Seconds that uvicorn has for its own end, at least."""

FLUSH = 2.0
"""Seconds that a client has to read what has been written to it, once its handlers are cancelled or have ended."""


class Server(uvicorn.Server):
    """uvicorn that drains.

    Args:
        config: uvicorn's.
        pace: how it ends.
    """

    def __init__(self, config: uvicorn.Config, pace: Pace) -> None:
        super().__init__(config)
        self._pace = pace
        self._signals = 0
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen no more, send the WebSockets' clients away, then end as uvicorn does."""
        ends_at = time.monotonic() + self._pace.grace
        self._stop_listening(sockets)
        if not self.force_exit:
            self._draining = asyncio.create_task(self._drain())
            with suppress(asyncio.CancelledError):
                await self._draining
        self.config.timeout_graceful_shutdown = max(LEAST, ends_at - time.monotonic())  # type: ignore[assignment]
        resetting = asyncio.create_task(self._reset_deaf(FLUSH))
        try:
            await super().shutdown(sockets)
        finally:
            resetting.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, or, at the second signal, end at once."""
        super().handle_exit(sig, frame)
        self._signals += 1
        if self._signals > 1:
            self.end_now(sig)

    def end_now(self, sig: int = signal.SIGTERM) -> None:
        """End without waiting for anybody; may be called in any thread."""
        self.should_exit = self.force_exit = True
        killer = threading.Timer(FORCED, os._exit, [128 + sig])
        killer.daemon = True
        killer.start()
        with suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._stop_draining)

    def _stop_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()

    def _stop_listening(self, sockets: list[socket.socket] | None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()

    async def _drain(self) -> None:
        for connection in list(self.server_state.connections):
            # A proxy would go on to use it, for handshakes too. One without a request is to have its first.
            if not self._is_websocket(connection) and getattr(connection, "cycle", None) is not None:
                connection.shutdown()
        pace = self._pace
        timeout = pace.grace * DRAINING_PART
        last_part = timeout * LAST_PART
        resetting = asyncio.create_task(self._reset_deaf(timeout - last_part + min(FLUSH, last_part / 2)))
        try:
            await drain(retry=pace.retry, batch=pace.batch, spread=pace.spread, timeout=timeout)
        finally:
            resetting.cancel()

    async def _reset_deaf(self, seconds: float) -> None:
        """Reset, after so many seconds, the connections of clients that do not read: else all would wait for them."""
        await asyncio.sleep(seconds)
        for connection in filter(self._is_websocket, list(self.server_state.connections)):
            transport = connection.transport
            if transport.is_closing() or transport.get_write_buffer_size():
                transport.abort()

    def _is_websocket(self, connection: Any) -> bool:
        protocol = self.config.ws_protocol_class
        return protocol is not None and isinstance(connection, protocol)


def run(config: uvicorn.Config, pace: Pace) -> int:
    """Serve in this process; return the exit status.

    Raises:
        SystemExit: the server could not start.
    """
    server = Server(config, pace)
    with suppress(KeyboardInterrupt):  # which uvicorn raises at its end, after SIGINT
        server.run()
    if not server.started:
        raise SystemExit(STARTUP_FAILURE)
    return 0
