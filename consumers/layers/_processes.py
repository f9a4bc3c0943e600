"""How many processes serve the application, as far as this one can know.

A server runs its event loop inside of functions of its own, so those that have called the running code tell whose
process this is, and with which settings.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

Locals = Mapping[str, Any]


def _of_uvicorn(names: Locals) -> int:
    config = names["self"].config
    return 1 if config.should_reload else int(config.workers)


def _of_gunicorn(names: Locals) -> int:
    return int(names["self"].num_workers)


def _of_hypercorn(names: Locals) -> int:
    return int(names["config"].workers)


SERVERS: dict[str, tuple[str, Callable[[Locals], int]]] = {
    "uvicorn.server": ("uvicorn", _of_uvicorn),
    "gunicorn.arbiter": ("gunicorn", _of_gunicorn),
    "hypercorn.asyncio.run": ("hypercorn", _of_hypercorn),
    "hypercorn.trio.run": ("hypercorn", _of_hypercorn),
}
"""By the module of a function that has called: the server's name, and what reads the number out of its variables."""


def server_processes() -> tuple[int, str]:
    """Return how many processes serve, and what says so: a server's name, or WEB_CONCURRENCY. 1 if nothing does.

    Not seen are other servers, a thread of its own that the server runs in, and processes started one by one.
    """
    frame = sys._getframe()
    while (caller := frame.f_back) is not None:
        frame = caller
        known = SERVERS.get(frame.f_globals.get("__name__", ""))
        if known is not None:
            server, count = known
            try:
                return count(frame.f_locals), server
            except (AttributeError, KeyError, TypeError, ValueError):  # another function there, or another version
                continue
    setting = os.environ.get("WEB_CONCURRENCY", "")
    return (int(setting) if setting.isdecimal() else 1), "WEB_CONCURRENCY"
