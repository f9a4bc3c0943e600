"""`python -m example_project`: serve the example on http://127.0.0.1:8000, or on port PORT."""

import contextlib
import os
import socket
import sys

import uvicorn

HOST = "127.0.0.1"
DEFAULT_PORT = 8000


def read_port(value: str) -> int:
    """Return the port that a setting names (0: any free one); raise ValueError if it names none."""
    if not (value.isascii() and value.isdigit() and int(value) <= 65535):
        raise ValueError(f"PORT must be a number from 0 to 65535, not {value!r}.")
    return int(value)


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
            host, port = listener.getsockname()
            print(f"Serving on http://{host}:{port} (Ctrl-C ends it)", flush=True)


def main() -> int:
    """Serve until Ctrl-C and return the exit status."""
    try:
        listener = listen(read_port(os.environ.get("PORT") or str(DEFAULT_PORT)))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1

    server = Server(
        uvicorn.Config(
            "example_project.app:app",
            log_level="warning",
            ws_max_size=64 * 1024,  # bytes; no message of the example comes near it
            timeout_graceful_shutdown=5,  # seconds
        )
    )
    with listener:
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn shuts down properly, then raises what it was given
            server.run(sockets=[listener])
    if not server.started:
        return 1
    print("\nBye.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
