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
    """The options of `Client`, by name.

    Attributes:
        token: what proves who the client is, or a function that returns it, async or not. The function is called for
            each connection (None: there is no token).
        since: `positions` of another client, to go on from (none).
        on_state: called with the state and a `Detail`, when the block begins and at each change. A plain function that
            returns soon.
        on_gap: called with a label when messages of that group are missing: load anew what you have of it. It is called
            where they are missing, between two messages of the iteration; may be async. (None: the log has a line.)
        on_expires: called with the seconds after which the token expires; may be async. It has a task of its own.
        retry: called with a close code and a reason; returns whether to try again. (None: by the protocol's table.)
        heartbeat: seconds of silence after which the client asks whether the connection still works; None: never (25).
        queue_limit: messages that may wait for a connection or for an answer (100).
        inbox_limit: messages that may wait for the iteration (1000). Then the client reads no more until there is room.
        max_size: bytes of the largest message that the client takes (1 MiB). A larger one closes it with 1009.
        id_key: the consumer's ("id").
        headers: what else goes into the handshake (nothing).
        ssl_context: for `wss` (None: Python's default).
        connect: connects to a host and a port (`anyio.connect_tcp`).
        clock: where the time comes from (the event loop).
        chance: where random numbers come from (the system).
    """

    token: Token
    since: Mapping[str, str]
    on_state: Callable[[State, Detail], object] | None
    on_gap: Callable[[str], object] | None
    on_expires: Callable[[float], object] | None
    retry: Callable[[int, str], bool] | None
    heartbeat: float | None
    queue_limit: int
    inbox_limit: int
    max_size: int
    id_key: str
    headers: Mapping[str, str]
    ssl_context: ssl.SSLContext | None
    connect: Connect
    clock: Clock
    chance: random.Random


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
    "max_size": 1024 * 1024,
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
