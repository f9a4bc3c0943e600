"""`serve()`: uvicorn with this library's settings, in one process or several."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from ..types import ASGIApp
from .settings import GRACE, SETTINGS, ShutdownOptions, shutdown_options

FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs", "log_config")
"""Settings that may name a file; uvicorn would not say which of them there is none of."""

MOST_PORTS = 65_535


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
            Kubernetes waits 30 s, Docker 10 s. What hangs is killed two seconds later.
        retry: as of `drain()`: the seconds after which clients are to come back, at least and at most (5 to 20).
        batch: as of `drain()`: how many clients are told at once, at least (100).
        spread: as of `drain()`: seconds within which all have been told (5, or a quarter of `grace` if that is less).
        settings: those of `uvicorn.Config`, such as `host`, `port` and `workers`. Without one for WebSockets,
            `ws_max_size` is 1 MiB, `ws_per_message_deflate` is off, and handshakes are not logged.

    Returns:
        The exit status after a graceful end of several workers, 0. A single process ends by its signal, if SIGTERM.

    Raises:
        ImportError: uvicorn is not installed.
        ValueError: an argument has a value that cannot work.
        SystemExit: with status 3 if the application or its port could not be had.
    """
    return prepare(app, shutdown_options(grace, retry, batch, spread), settings)()


def prepare(app: Any, options: ShutdownOptions, settings: dict[str, Any]) -> Callable[[], int]:
    """Return what serves, once all arguments are known to be right. Only then is the application imported.

    Args:
        app: as of `serve()`.
        options: how it ends.
        settings: as of `serve()`.

    Raises:
        ImportError, ValueError: as of `serve()`.
    """
    _check(settings)
    try:
        import uvicorn
    except ImportError as error:
        raise ImportError("serve() needs uvicorn: pip install 'starlette-consumers[server]'", name="uvicorn") from error
    from .protocol import WebSocketProtocol
    from .supervisor import Supervisor
    from .uvicorn_server import run

    settings = {"ws": WebSocketProtocol, **SETTINGS, **settings}  # uvicorn 0.35 takes no name of a class
    config = uvicorn.Config(app, **settings)
    if config.workers < 1:
        raise ValueError(f"workers is {config.workers!r}: give the number of processes, at least 1")
    if config.workers == 1:
        return partial(run, config, options)
    if not isinstance(app, str):
        raise ValueError(f"{config.workers} workers import the application: give package.module:attribute, not {app!r}")
    return Supervisor(config, {"app": app, **settings}, options).run


def _check(settings: dict[str, Any]) -> None:
    """Find what uvicorn would not say, or not clearly.

    Raises:
        ValueError: a setting cannot work.
    """
    if settings.get("reload") or settings.get("reload_dirs"):
        raise ValueError("serve() does not reload: run `uvicorn --reload` while you develop")
    port = settings.get("port")
    if port is not None and not 0 <= port <= MOST_PORTS:  # uvloop would take another one
        raise ValueError(f"port is {port!r}: give a number up to {MOST_PORTS}, or 0 for a free one")
    for name in FILES:
        path = settings.get(name)
        if isinstance(path, str | os.PathLike) and not os.path.isfile(path):
            raise ValueError(f"{name} is {path!r}: there is no such file")
