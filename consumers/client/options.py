"""What can be set of a client, and its defaults."""

import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TypedDict

import anyio
from anyio.abc import ByteStream

from .rules import Detail, State
from .timers import Clock

Token = str | Callable[[], str | Awaitable[str | None] | None] | None
Connect = Callable[[str, int], Awaitable[ByteStream]]


class Options(TypedDict, total=False):
    """The options of `Client`, by name."""

    token: Token
    """What proves who the client is, or a function that returns it, async or not.

    The function is called for each connection (None: there is no token).
    """

    since: Mapping[str, str]
    """`positions` of another client, to go on from (none)."""

    on_state: Callable[[State, Detail], object] | None
    """Called with the state and a `Detail`, when the block begins and at each change.

    A plain function that returns soon.
    """

    on_gap: Callable[[str], object] | None
    """Called with a label when messages of that group are missing: load anew what you have of it.

    It is called where they are missing, between two messages of the iteration; may be async. (None: the log has a
    line.)
    """

    on_expires: Callable[[float], object] | None
    """Called with the seconds after which the token expires; may be async. It has a task of its own."""

    retry: Callable[[int, str], bool | None] | None
    """Called with a close code and a reason; returns whether to try again, or None: as usual. (None: as usual.)"""

    heartbeat: float | None
    """Seconds of silence after which the client asks whether the connection still works; None: never (25)."""

    queue_limit: int
    """Messages that may wait for a connection or for an answer (100)."""

    inbox_limit: int
    """Messages that may wait for the iteration (1000). Then the client reads no more until there is room."""

    max_size: int
    """Bytes of the largest message that the client takes (2 MiB). A larger one closes it with 1009."""

    id_key: str
    """The key under which a message has its id, the consumer's `id_key` ("id")."""

    headers: Mapping[str, str]
    """Further HTTP headers of the handshake (none)."""

    ssl_context: ssl.SSLContext | None
    """How `wss` connections are checked and encrypted (None: as Python does by default)."""

    connect: Connect
    """Connects to a host and a port (`anyio.connect_tcp`)."""

    clock: Clock
    """Where the time comes from (the event loop)."""

    chance: random.Random
    """Where random numbers come from (the system)."""


async def _connect(host: str, port: int) -> ByteStream:
    return await anyio.connect_tcp(host, port)


DEFAULTS: Options = {
    "token": None,
    "since": {},
    "on_state": None,
    "on_gap": None,
    "on_expires": None,
    "retry": None,
    "heartbeat": 25.0,
    "queue_limit": 100,
    "inbox_limit": 1000,
    "max_size": 2 * 1024 * 1024,
    "id_key": "id",
    "headers": {},
    "ssl_context": None,
    "connect": _connect,
    "clock": Clock(),
    "chance": random.SystemRandom(),
}


def checked(options: Options) -> Options:
    """Return options with the defaults of those that are not given.

    Raises:
        TypeError: there is no such option.
        ValueError: a number is not positive.
    """
    unknown = sorted(options.keys() - DEFAULTS.keys())
    if unknown:
        raise TypeError(f"Client has no option {unknown[0]!r}: there are {', '.join(DEFAULTS)}")
    complete: Options = {**DEFAULTS, **options}
    for name in ("heartbeat", "queue_limit", "inbox_limit", "max_size"):
        value = complete[name]
        if value is not None and value <= 0:
            raise ValueError(f"{name} must be positive, not {value!r}")
    return complete
