"""`serve()`: uvicorn with this library's settings, in one process or several."""

import os
from collections.abc import Callable
from typing import Any

from ..types import ASGIApp
from .settings import GRACE, SETTINGS, shutdown_options


def serve(
    app: ASGIApp | Callable[..., Any] | str,
    *,
    grace: float = GRACE,
    retry: tuple[float, float] = (5, 20),
    batch: int = 100,
    spread: float | None = None,
    **settings: Any,
) -> int:
    """Serve an application with uvicorn until SIGTERM or SIGINT.

    At the signal the process closes its listener first. Then it asks its WebSockets to come back, in batches: see
    `drain()`. Then uvicorn ends: it waits for requests, and the application's lifespan ends. A second signal ends it at
    once. With several workers each process does so. SIGHUP replaces the workers, one after the other.

    Args:
        app: the application, or `package.module:attribute`. Several workers need the latter.
        grace: seconds that the end may take (25). Give less than what starts the process waits before it kills it.
            Kubernetes waits 30 s, Docker 10 s.
        retry: as of `drain()`: the seconds after which clients are to come back, at least and at most (5 to 20).
        batch: as of `drain()`: how many clients are told at once, at least (100).
        spread: as of `drain()`: seconds within which all have been told (5, or a quarter of `grace` if that is less).
        settings: those of `uvicorn.Config`, such as `host`, `port` and `workers`. Without one for WebSockets,
            `ws_max_size` is 1 MiB, `ws_per_message_deflate` is off, and handshakes are not logged.

    Returns:
        The exit status, 0 after a graceful end of several workers. A single process ends by its signal.

    Raises:
        ImportError: uvicorn is not installed.
        ValueError: an argument has a value that cannot work.
        SystemExit: with status 3 if the application or its port could not be had.
    """
    options = shutdown_options(grace, retry, batch, spread)
    if "reload" in settings or "reload_dirs" in settings:
        raise ValueError("serve() does not reload: run `uvicorn --reload` while you develop")
    try:
        import uvicorn
    except ImportError as error:
        raise ImportError("serve() needs uvicorn: pip install 'starlette-consumers[server]'", name="uvicorn") from error
    from .protocol import WebSocketProtocol
    from .supervisor import Supervisor
    from .uvicorn_server import run

    settings = {"ws": WebSocketProtocol, **SETTINGS, **settings}  # uvicorn 0.35 takes no name of a class
    config = uvicorn.Config(app, **settings)
    if config.workers == 1:
        return run(config, options)
    if not isinstance(app, str):
        raise ValueError(f"{config.workers} workers import the application: give package.module:attribute, not {app!r}")
    try:
        return Supervisor(config, {"app": app, **settings}, options).run()
    finally:
        if config.uds and os.path.exists(config.uds):
            os.remove(config.uds)
