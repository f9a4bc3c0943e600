"""uvicorn in a thread."""

import socket
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

from consumers.types import ASGIApp

try:
    import uvicorn
except ImportError as error:
    raise ImportError(
        "ChannelsLiveServerTestCase needs uvicorn: pip install 'starlette-consumers[server]'", name="uvicorn"
    ) from error

GRACE = 5
"""Seconds that clients and the application have to end when the server stops."""


class ServerThread(uvicorn.Server):
    """A server in a thread and on an event loop of its own, on a free port; for who uses it, it looks like a process.

    Args:
        application: the ASGI application; the server's lifespan is kept from it, as Channels' own server does.
        host: the host to listen on.
        clean_up: called on the server's loop at its end.

    Attributes:
        ready: is set when the server accepts connections, or has failed.
        port: has the port's number as its `value`.
    """

    def __init__(self, application: ASGIApp, host: str, clean_up: Callable[[], Awaitable[None]]) -> None:
        super().__init__(uvicorn.Config(application, lifespan="off", log_config=None, timeout_graceful_shutdown=GRACE))
        self._clean_up = clean_up
        self._listener = socket.create_server((host, 0))
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._run_in_thread, name="live server", daemon=True)
        self.port = SimpleNamespace(value=self._listener.getsockname()[1])

    def start(self) -> None:
        """Return when the server accepts connections.

        Raises:
            RuntimeError: it does not start; the log says why.
        """
        self._thread.start()
        self.ready.wait()
        if not self.started:
            raise RuntimeError("The live server did not start: see the log of uvicorn.error")

    def is_alive(self) -> bool:
        """Tell whether the server runs."""
        return self._thread.is_alive()

    def terminate(self) -> None:
        """Begin to shut the server down."""
        self.should_exit = True

    def join(self) -> None:
        """Return when the server has ended.

        Raises:
            RuntimeError: it does not end.
        """
        self._thread.join(2 * GRACE)
        if self._thread.is_alive():
            raise RuntimeError(f"The live server did not stop within {2 * GRACE} s: does the application block?")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._clean_up()

    def _run_in_thread(self) -> None:
        with self._listener:
            try:
                self.run(sockets=[self._listener])
            finally:
                self.ready.set()
