"""One of several processes that serve: it does what its supervisor says."""

import signal
import socket
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import uvicorn

from .settings import ShutdownOptions
from .uvicorn_server import Server

READY, LEAVE, END = "ready", "leave", "end"
"""What a worker says, and what it hears: to end as after the first signal, and as after the second one."""


class WorkerServer(Server):
    """uvicorn in a worker.

    Args:
        config: uvicorn's.
        options: how it ends.
        pipe: to the supervisor.
    """

    def __init__(self, config: uvicorn.Config, options: ShutdownOptions, pipe: Connection) -> None:
        super().__init__(config, options)
        self._pipe = pipe

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started and self._loop is not None:
            with suppress(OSError):  # the supervisor is gone, which is noticed below
                self._pipe.send(READY)
            orders = threading.Thread(target=self._follow, name="orders", daemon=True)
            self._loop.call_soon(orders.start)  # not within the start, see `Server.startup()`

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end at a signal that is meant for this process alone.

        Ctrl-C in a terminal reaches all processes. The supervisor then says what to do.
        """
        if sig != signal.SIGINT:
            super().handle_exit(sig, frame)

    def _follow(self) -> None:
        try:
            while self._pipe.recv() == LEAVE:
                self.leave()
            self.end_now()
        except (EOFError, OSError):  # the supervisor is gone: nobody else ends this process
            self.leave()


def work(settings: dict[str, Any], options: ShutdownOptions, sockets: list[socket.socket], pipe: Connection) -> None:
    """Serve, in a process of its own.

    Args:
        settings: uvicorn's.
        options: how it ends.
        sockets: what to listen on.
        pipe: to the supervisor.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is the supervisor's
    server = WorkerServer(uvicorn.Config(**settings), options, pipe)
    with suppress(KeyboardInterrupt):  # before uvicorn has its own handler
        server.run(sockets)
