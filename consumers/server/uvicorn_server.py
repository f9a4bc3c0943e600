"""One process that serves: uvicorn, which drains before it ends."""

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn

from .draining import LAST_PART, drain
from .settings import DRAINING_PART, STARTUP_FAILURE, ShutdownOptions
from .socket_file import SocketFile

logger = logging.getLogger("consumers.server")

FORCED = 2.0
"""Seconds that a process has to end after the second signal, or after its grace time: then it is killed."""

LEAST = 1.0
"""Seconds that requests have to end, at least."""

LIFESPAN_PART = 0.1
"""The part of the grace time that is kept for the application's lifespan, however long requests take."""

FLUSH = 2.0
"""Seconds that a client has to read what has been written to it, once its handlers are cancelled or have ended."""


class Server(uvicorn.Server):
    """uvicorn that drains.

    Args:
        config: uvicorn's.
        options: how it ends.
    """

    _draining: asyncio.Task[None] | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _socket_file: SocketFile | None = None

    def __init__(self, config: uvicorn.Config, options: ShutdownOptions) -> None:
        super().__init__(config)
        self._options = options
        self._killers: list[threading.Timer] = []
        self.is_signalled = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        try:
            await super().startup(sockets)
            if sockets is None and self.config.uds:
                self._socket_file = SocketFile(self.config.uds)
        except OSError as error:  # uvicorn itself expects it of host and port only
            config = self.config
            logger.error(
                "cannot listen on %s: %s", f"file descriptor {config.fd}" if config.uds is None else config.uds, error
            )
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        if self.started and self.should_exit:  # uvicorn 0.35 would leave, and not end the lifespan
            await self.shutdown(sockets)
            self.started = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen no more, send the WebSockets' clients away, then end as uvicorn does."""
        grace = self._options.grace
        ends_at = time.monotonic() + grace
        if not self._killers:  # it ends by itself, after `limit_max_requests`
            self.kill_after(grace + FORCED)
        self._stop_listening(sockets)
        if not self.force_exit:
            self._draining = asyncio.create_task(self._drain())
            with suppress(asyncio.CancelledError):
                await self._draining
        left = ends_at - grace * LIFESPAN_PART - time.monotonic()
        self.config.timeout_graceful_shutdown = max(LEAST, left)  # type: ignore[assignment]
        resetting = asyncio.create_task(self._reset_deaf(FLUSH))
        try:
            await super().shutdown(sockets)
        finally:
            resetting.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, or, at the second signal, end at once."""
        super().handle_exit(sig, frame)
        if self.is_signalled:
            self.end_now(sig)
        else:
            self.is_signalled = True
            self.leave(sig)

    def hang_up(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end as at SIGTERM: what replaces workers finds only this process."""
        logger.info("SIGHUP: this is the only process, so it ends; with --workers 2 each would be replaced")
        self.handle_exit(signal.SIGTERM, frame)

    def leave(self, sig: int = signal.SIGTERM) -> None:
        """Begin to end; may be called in any thread."""
        self.should_exit = True
        self.kill_after(self._options.grace + FORCED, sig)

    def end_now(self, sig: int = signal.SIGTERM) -> None:
        """End without waiting for anybody; may be called in any thread."""
        self.should_exit = self.force_exit = True
        self.kill_after(FORCED, sig)
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._stop_draining)

    def kill_after(self, seconds: float, sig: int = signal.SIGTERM) -> None:
        """Kill the process later: a handler may block the event loop, and a thread or the lifespan never end."""
        self._killers += [
            threading.Timer(seconds, _tell_where_it_hangs),
            threading.Timer(seconds + 0.1, os._exit, [128 + sig]),  # also if nothing can be written
        ]
        for killer in self._killers[-2:]:
            killer.daemon = True
            killer.start()

    def spare(self) -> None:
        """Kill the process no more: it has ended to serve."""
        for killer in self._killers:
            killer.cancel()

    def _stop_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()

    def _stop_listening(self, sockets: list[socket.socket] | None) -> None:
        if self._socket_file is not None:
            self._socket_file.remove()
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()

    async def _drain(self) -> None:
        for connection in list(self.server_state.connections):
            # A proxy would go on to use it, for handshakes too. One without a request is to have its first.
            if not self._is_websocket(connection) and getattr(connection, "cycle", None) is not None:
                connection.shutdown()
        options = self._options
        timeout = options.grace * DRAINING_PART
        last_part = timeout * LAST_PART
        resetting = asyncio.create_task(self._reset_deaf(timeout - last_part + min(FLUSH, last_part / 2)))
        try:
            await drain(retry=options.retry, batch=options.batch, spread=options.spread, timeout=timeout)
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


def run(config: uvicorn.Config, options: ShutdownOptions) -> int:
    """Serve in this process; return the exit status.

    Raises:
        SystemExit: the server could not start.
    """
    server = Server(config, options)
    hears_hangup = (
        hasattr(signal, "SIGHUP")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL  # `nohup` has it ignored
    )
    if hears_hangup:
        signal.signal(signal.SIGHUP, server.hang_up)
    try:
        with suppress(KeyboardInterrupt):  # which uvicorn raises at its end, after SIGINT
            server.run()
    except SystemExit:
        if server.started:  # it is the application's
            raise
        raise SystemExit(STARTUP_FAILURE) from None  # uvicorn's own differs between its versions
    finally:
        server.spare()
        if hears_hangup:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if not (server.started or server.is_signalled):
        raise SystemExit(STARTUP_FAILURE)
    return 0


def _tell_where_it_hangs() -> None:
    logger.error("process %d has not ended in time, and is killed: here is what its threads do", os.getpid())
    faulthandler.dump_traceback()
