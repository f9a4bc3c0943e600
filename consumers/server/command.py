"""The options of `python -m consumers serve`."""

import argparse
import re
from typing import Any

from .settings import GRACE, ShutdownOptions, shutdown_options

ENDING = ("grace", "retry", "batch", "spread")
FLAG = argparse.BooleanOptionalAction
LEVELS = ("critical", "error", "warning", "info", "debug", "trace")

UVICORN: dict[str, dict[str, Any]] = {
    "--host": {"help": "the address to listen on (default: 127.0.0.1)"},
    "--port": {"type": int, "help": "the port, 0 for a free one (default: 8000)"},
    "--uds": {"metavar": "PATH", "help": "listen on a Unix domain socket instead"},
    "--fd": {"type": int, "metavar": "NUMBER", "help": "listen on a socket that this process was started with"},
    "--workers": {"type": int, "metavar": "N", "help": "how many processes (default: $WEB_CONCURRENCY, or 1)"},
    "--root-path": {"metavar": "PATH", "help": "the path below which a proxy serves the application"},
    "--proxy-headers": {"action": FLAG, "help": "believe X-Forwarded-For and -Proto of trusted proxies (default)"},
    "--forwarded-allow-ips": {"metavar": "IPS", "help": "which proxies are trusted (default: 127.0.0.1)"},
    "--ssl-certfile": {"metavar": "FILE", "help": "serve with TLS, and this certificate"},
    "--ssl-keyfile": {"metavar": "FILE", "help": "the key of the certificate"},
    "--ssl-keyfile-password": {"metavar": "TEXT", "help": "the password of the key"},
    "--ws-max-size": {
        "type": int,
        "metavar": "BYTES",
        "help": "how large a message of a client may be (default: 1 MiB)",
    },
    "--ws-ping-interval": {"type": float, "metavar": "SECONDS", "help": "seconds between two pings (default: 20)"},
    "--ws-ping-timeout": {"type": float, "metavar": "SECONDS", "help": "seconds to wait for a pong (default: 20)"},
    "--ws-per-message-deflate": {"action": FLAG, "help": "compress messages (default: no)"},
    "--limit-concurrency": {"type": int, "metavar": "N", "help": "answer HTTP 503 beyond so many connections"},
    "--limit-max-requests": {"type": int, "metavar": "N", "help": "end, or replace a worker, after so many requests"},
    "--backlog": {"type": int, "metavar": "N", "help": "how many connections may wait to be accepted (default: 2048)"},
    "--timeout-keep-alive": {
        "type": int,
        "metavar": "SECONDS",
        "help": "seconds to wait for the next HTTP request (default: 5)",
    },
    "--loop": {"help": "auto, asyncio or uvloop (default: uvloop if it is installed)"},
    "--reload": {"action": "store_true", "help": argparse.SUPPRESS},  # for the answer that `serve()` has
    "--factory": {"action": "store_true", "help": "the application is what a function returns"},
    "--access-log": {"action": FLAG, "help": "log HTTP requests (default: no)"},
    "--log-config": {"metavar": "FILE", "help": "the logging, as uvicorn takes it"},
    "--log-level": {"choices": LEVELS, "metavar": "LEVEL", "help": f"{', '.join(LEVELS)} (default: info)"},
}
"""uvicorn's settings that a server needs; where one is not given, `serve()` or uvicorn decides."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options to the command."""
    ending = command.add_argument_group("its end")
    ending.add_argument(
        "--grace",
        type=float,
        default=GRACE,
        metavar="SECONDS",
        help="seconds that the end may take (default: %(default)g)",
    )
    ending.add_argument(
        "--retry",
        type=retry_of,
        default=(5, 20),
        metavar="SECONDS-SECONDS",
        help="the seconds after which clients are to come back, at least and at most (default: 5-20)",
    )
    ending.add_argument(
        "--batch",
        type=int,
        default=100,
        metavar="N",
        help="how many clients are told at once, at least (default: %(default)s)",
    )
    ending.add_argument(
        "--spread",
        type=float,
        metavar="SECONDS",
        help="seconds within which all are told (default: 5, or a quarter of grace)",
    )
    server = command.add_argument_group("uvicorn")
    for flag, arguments in UVICORN.items():
        server.add_argument(flag, default=argparse.SUPPRESS, **arguments)


def arguments_of(options: argparse.Namespace) -> tuple[ShutdownOptions, dict[str, Any]]:
    """Return how the server ends, and uvicorn's settings.

    Raises:
        ValueError: a value cannot work.
    """
    given, names = vars(options), [flag.removeprefix("--").replace("-", "_") for flag in UVICORN]
    ending = shutdown_options(**{name: given[name] for name in ENDING})
    return ending, {name: given[name] for name in names if name in given}


def retry_of(text: str) -> tuple[float, float]:
    """Return the two numbers of an option such as `5-20`.

    Raises:
        argparse.ArgumentTypeError: it is not valid.
    """
    numbers = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text)
    if numbers is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 5-20")
    return float(numbers[1]), float(numbers[2])
