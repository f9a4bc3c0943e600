"""Real servers for tests."""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import hypercorn.asyncio
import hypercorn.config
import hypercorn.trio
import uvicorn

from consumers.types import ASGIApp


class Server(uvicorn.Server):
    """uvicorn in a thread of its own: `port`, `host` as in a URL, `stop()`."""

    def __init__(self, app: ASGIApp, port: int, options: dict[str, Any]) -> None:
        super().__init__(uvicorn.Config(app, **{"log_level": "warning", **options}))
        self._listener = socket.create_server(("127.0.0.1", port))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run_in_thread, name="uvicorn")
        self.port: int = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when the server accepts connections."""
        self._thread.start()
        self._ready.wait()
        assert self.started, "uvicorn did not start"

    def stop(self) -> None:
        """Shut the server down as a signal does; return when it has ended."""
        self.should_exit = True
        self._thread.join(timeout=30)
        assert not self._thread.is_alive(), "uvicorn did not stop"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    def _run_in_thread(self) -> None:
        with self._listener:
            try:
                self.run(sockets=[self._listener])
            finally:
                self._ready.set()


@contextlib.contextmanager
def uvicorn_server(app: ASGIApp, port: int = 0, **options: Any) -> Iterator[Server]:
    """Serve `app` until the block ends.

    Args:
        app: the ASGI application. It runs in a thread and on an event loop of the server's own.
        port: the port of 127.0.0.1 to listen on; 0 takes a free one.
        options: settings of `uvicorn.Config`.
    """
    server = Server(app, port, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def hypercorn_server(app: ASGIApp, backend: str) -> Iterator[str]:
    """Serve `app` by hypercorn, in a thread of its own, until the block ends.

    Args:
        app: the ASGI application.
        backend: "asyncio" or "trio".

    Yields:
        str: host and port, as in a URL.
    """
    config = hypercorn.config.Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    serve: Any = hypercorn.trio.serve if backend == "trio" else hypercorn.asyncio.serve
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config.bind = [f"fd://{os.dup(listener.fileno())}"]
        with anyio.from_thread.start_blocking_portal(backend) as portal:
            stop = portal.call(anyio.Event)
            serving = portal.start_task_soon(partial(serve, app, config, shutdown_trigger=stop.wait))
            try:
                yield f"127.0.0.1:{listener.getsockname()[1]}"
            finally:
                portal.call(stop.set)
                serving.result(timeout=10)
