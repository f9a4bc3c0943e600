"""`serve()`: uvicorn with this library's settings, in one process or several."""

import logging
import os
from pathlib import PurePath
from typing import Any, NamedTuple

from .draining import LAST_PART, check_drain

GRACE = 25.0
DRAINING_PART = 0.8
"""The part of the grace time that draining may take. The rest is for other connections, and for the lifespan."""

STARTUP_FAILURE = 3
"""The exit status with which uvicorn says that it could not start."""

MIB = 1024 * 1024

LOG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"handshakes": {"()": "consumers.server.serving.WithoutHandshakes"}},
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s [%(process)d] %(name)s: %(message)s"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO", "filters": ["handshakes"]},
        "uvicorn.access": {"level": "INFO"},
        "consumers": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

SETTINGS: dict[str, Any] = {
    "ws_max_size": MIB,  # bytes; uvicorn's own limit of 16 MiB is memory that each client may ask for
    "ws_per_message_deflate": False,  # which costs more memory than all the rest of a connection
    "ws_ping_interval": 20,  # seconds; proxies end what is idle, most of them after 60
    "ws_ping_timeout": 20,
    "access_log": False,  # a query string may hold a token
    "log_config": LOG,
}
"""What differs from uvicorn's own settings, or must not follow them; and `ws` is `WebSocketProtocol`."""


class WithoutHandshakes(logging.Filter):
    """Keeps out of the log that a client has connected, and with which query string, or has gone."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno != logging.INFO or "websockets" not in PurePath(record.pathname).parts


class Pace(NamedTuple):
    """How a process ends; the arguments are those of `serve()`."""

    grace: float
    retry: tuple[float, float]
    batch: int
    spread: float


def make_pace(grace: float, retry: tuple[float, float], batch: int, spread: float | None) -> Pace:
    """Check the arguments of `serve()` that are no settings of uvicorn's.

    Raises:
        ValueError: one has a value that cannot work.
    """
    if not 0 < grace < float("inf"):
        raise ValueError(f"grace is {grace!r}: give a number of seconds above 0")
    timeout = grace * DRAINING_PART
    if spread is None:
        spread = min(5.0, grace / 4)
    elif spread > timeout * (1 - LAST_PART):
        raise ValueError(
            f"spread is {spread!r}: with a grace of {grace:g} s, give at most {timeout * (1 - LAST_PART):g}"
        )
    check_drain(retry, batch, spread, timeout)
    return Pace(grace, retry, batch, spread)


def serve(
    app: Any,
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
        int: the exit status, 0 after a graceful end of several workers. A single process ends by its signal.

    Raises:
        ImportError: uvicorn is not installed.
        ValueError: an argument has a value that cannot work.
        SystemExit: with status 3 if the application or its port could not be had.
    """
    pace = make_pace(grace, retry, batch, spread)
    if "reload" in settings or "reload_dirs" in settings:
        raise ValueError("serve() does not reload: run `uvicorn --reload` while you develop")
    try:
        import uvicorn
    except ImportError as error:
        raise ImportError("serve() needs uvicorn: pip install 'starlette-consumers[server]'", name="uvicorn") from error
    from .process import run
    from .protocol import WebSocketProtocol
    from .supervisor import Supervisor

    settings = {"ws": WebSocketProtocol, **SETTINGS, **settings}  # uvicorn 0.35 takes no name of a class
    config = uvicorn.Config(app, **settings)
    if config.workers == 1:
        return run(config, pace)
    if not isinstance(app, str):
        raise ValueError(f"{config.workers} workers import the application: give package.module:attribute, not {app!r}")
    try:
        return Supervisor(config, {"app": app, **settings}, pace).run()
    finally:
        if config.uds and os.path.exists(config.uds):
            os.remove(config.uds)
