"""`python -m example_project`: serve the example on http://127.0.0.1:8000, or on port PORT.

With REDIS_URL=redis://… its messages go by Redis, and WORKERS=2 serves it by two processes.
"""

import asyncio
import contextlib
import os
import socket
import sys
from typing import Any

import uvicorn

HOST = "127.0.0.1"
DEFAULT_PORT = 8000
SETTINGS: dict[str, Any] = {
    "app": "example_project.app:app",
    "ws": "example_project.cutting:CuttableProtocol",
    "log_level": "warning",
    "ws_max_size": 64 * 1024,  # bytes; no message of the example comes near it
    "timeout_graceful_shutdown": 5,  # seconds
}


def read_port(value: str) -> int:
    """Return the port that a setting names (0: any free one); raise ValueError if it names none."""
    if not (value.isascii() and value.isdigit() and int(value) <= 65535):
        raise ValueError(f"PORT must be a number from 0 to 65535, not {value!r}.")
    return int(value)


def read_workers(value: str, redis_url: str | None) -> int:
    """Return the number of processes that a setting names; raise ValueError if it names none, or Redis is missing."""
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 64):
        raise ValueError(f"WORKERS must be a number from 1 to 64, not {value!r}.")
    if int(value) > 1 and not redis_url:
        raise ValueError(
            f"WORKERS={value} needs Redis, for people in one room to be served by different processes.\n"
            f"Try: REDIS_URL=redis://localhost WORKERS={value} make demo"
        )
    return int(value)


def check_redis(url: str) -> None:
    """Raise ValueError, with the reason, if there is no Redis at this URL."""
    from redis.exceptions import RedisError

    from consumers.layers.redis import RedisPubSubChannelLayer

    try:
        layer = RedisPubSubChannelLayer([url])
        layer.group_send_sync("start", {"type": "start"})
        asyncio.run(layer.close())
    except (RedisError, ValueError) as error:
        raise ValueError(f"REDIS_URL: {error}") from error  # without the URL, which may have a password in it


def listen(port: int) -> socket.socket:
    """Return a listening socket; raise OSError, with advice for its reader, if the port can't be had."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        other = port + 1 if 1023 < port < 65535 else DEFAULT_PORT + 1
        advice = f"Try another one: PORT={other} make demo"
        raise OSError(f"Can't serve on port {port}: {os.strerror(error.errno or 0)}.\n{advice}") from None


class Server(uvicorn.Server):
    """uvicorn, saying where it serves once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            announce(listener.getsockname()[1])


def announce(port: int, how: str = "") -> None:
    """Say where the example is served."""
    print(f"Serving on http://{HOST}:{port}{how} (Ctrl-C ends it)", flush=True)


def main() -> int:
    """Serve until Ctrl-C and return the exit status."""
    redis_url = os.environ.get("REDIS_URL")
    try:
        workers = read_workers(os.environ.get("WORKERS") or "1", redis_url)
        if redis_url:
            check_redis(redis_url)
        listener = listen(read_port(os.environ.get("PORT") or str(DEFAULT_PORT)))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1

    if workers > 1:
        port = listener.getsockname()[1]
        listener.close()  # uvicorn binds the port anew for its processes
        announce(port, f" by {workers} processes")
        uvicorn.run(**SETTINGS, host=HOST, port=port, workers=workers)
    else:
        server = Server(uvicorn.Config(**SETTINGS))
        with listener, contextlib.suppress(KeyboardInterrupt):  # uvicorn shuts down, then raises what it was given
            server.run(sockets=[listener])
        if not server.started:
            return 1
    print("\nBye.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
