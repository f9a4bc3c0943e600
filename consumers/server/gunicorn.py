"""A worker class for gunicorn: `gunicorn -k consumers.server.GunicornWorker main:app`."""

import asyncio
import signal
import socket
import sys
from typing import ClassVar

from uvicorn_worker import UvicornWorker

from .protocol import WebSocketProtocol
from .settings import GRACE, SETTINGS, STARTUP_FAILURE, shutdown_options
from .uvicorn_server import LEAST, Server

GRACE_PART = 0.8
"""The part of gunicorn's `graceful_timeout` that the end may take. After all of it, gunicorn kills the worker."""


class NotifyingServer(Server):
    """uvicorn that drains, and tells gunicorn meanwhile that it lives."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End as `Server` does."""
        notifying = asyncio.create_task(self._notify())
        try:
            await super().shutdown(sockets)
        finally:
            notifying.cancel()

    async def _notify(self) -> None:
        while self.config.callback_notify is not None:
            await self.config.callback_notify()
            await asyncio.sleep(self.config.timeout_notify / 2)


class GunicornWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn's worker, with `WebSocketProtocol`, the settings for WebSockets that `serve()` has, and its end.

    It drains when gunicorn ends or replaces it. That takes 25 seconds at most, and four fifths of `graceful_timeout`.
    It needs the packages `gunicorn` and `uvicorn-worker`. Derive a class to change what it has.
    """

    retry: ClassVar[tuple[float, float]] = (5, 20)
    """The seconds after which clients are to come back, at least and at most; as of `drain()`."""

    batch: ClassVar[int] = 100
    """How many clients are told at once, at least; as of `drain()`."""

    CONFIG_KWARGS = {
        **UvicornWorker.CONFIG_KWARGS,
        **{name: value for name, value in SETTINGS.items() if name.startswith("ws_")},
        "ws": WebSocketProtocol,
    }
    """What `uvicorn.Config` is made with in each worker."""

    def run(self) -> None:
        """Serve until gunicorn ends it."""
        grace = min(GRACE, max(LEAST, self.cfg.graceful_timeout * GRACE_PART))
        self.config.app = self.wsgi
        server = NotifyingServer(self.config, shutdown_options(grace, self.retry, self.batch, None))
        signal.signal(signal.SIGQUIT, lambda number, _: server.end_now(number))  # gunicorn's quick end
        server.run(self.sockets)
        if not server.started:
            sys.exit(STARTUP_FAILURE)  # to gunicorn it means the same
