"""How `serve()` sets uvicorn up, and how it ends it."""

import logging
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
    "filters": {"handshakes": {"()": "consumers.server.settings.WithoutHandshakes"}},
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


class ShutdownOptions(NamedTuple):
    """How a process ends; the arguments are those of `serve()`."""

    grace: float
    retry: tuple[float, float]
    batch: int
    spread: float


def shutdown_options(grace: float, retry: tuple[float, float], batch: int, spread: float | None) -> ShutdownOptions:
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
    return ShutdownOptions(grace, retry, batch, spread)
