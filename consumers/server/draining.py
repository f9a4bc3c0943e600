"""Sends the clients of this process away, some at a time, and asks them to come back: to another process."""

import logging
import math
from collections.abc import Sequence

import anyio

from .._connection import open_connections
from .._connection.open_connections import Drained
from .._connection.retry import hint

logger = logging.getLogger("consumers.server")

INTERVAL = 0.1
"""Seconds between two batches."""

LAST_PART = 0.25
"""The part of `timeout` that is left to connections when their handlers are cancelled."""


async def drain(
    *, retry: tuple[float, float] = (5, 20), batch: int = 100, spread: float = 5.0, timeout: float = 20.0
) -> int:
    """End all WebSockets of this event loop with code 1012, and ask their clients to come back.

    Await it before the server tells its connections that it stops; `serve()` does. The clients are told in batches, so
    that neither this process nor those that they come back to have all of them at once. A handler that runs is let
    finish, and messages that wait are handled. A `BaseWSEndpoint` ends as after its client's disconnect: its background
    tasks are cancelled.

    From now on the event loop's new WebSockets are refused, and so are those that `connect()` has not accepted yet: by
    HTTP 503 with the header `Retry-After`, or by HTTP 403 where the server cannot.

    Args:
        retry: the seconds after which clients are to come back, at least and at most: the reason `retry=5-20`.
        batch: how many clients are told at once, at least; a tenth of a second later come the next.
        spread: seconds within which all have been told. There are larger batches if there are more clients.
        timeout: seconds that this may take. Handlers that still run after three quarters of it are cancelled.

    Returns:
        How many connections have not ended in time; 0 if all have.

    Raises:
        ValueError: an argument has a value that cannot work.
    """
    check_drain(retry, batch, spread, timeout)
    here = open_connections.here()
    here.reason = reason = hint(retry)
    if here:
        logger.info("%d WebSockets are told to come back in %g to %g s", len(here), *retry)
    with anyio.move_on_after(timeout) as patience:
        with anyio.move_on_after(timeout * (1 - LAST_PART)):
            await _tell(here.all(), reason, batch, spread)
            await here.wait_until_gone()
        for connection in here.all():
            connection._drain(reason, at_once=True)
        await here.wait_until_gone()
    if patience.cancelled_caught:
        logger.warning("%d WebSockets have not ended within %g s", len(here), timeout)
    return len(here)


async def _tell(connections: Sequence[Drained], reason: str, batch: int, spread: float) -> None:
    """End these connections, a batch after the other."""
    batch = max(batch, math.ceil(len(connections) * INTERVAL / spread)) if spread else max(1, len(connections))
    began = anyio.current_time()
    for number, start in enumerate(range(0, len(connections), batch)):
        await anyio.sleep_until(began + number * INTERVAL)
        for connection in connections[start : start + batch]:
            connection._drain(reason, at_once=False)


def check_drain(retry: tuple[float, float], batch: int, spread: float, timeout: float) -> None:
    """Check the arguments of `drain()`.

    Raises:
        ValueError: one has a value that cannot work.
    """
    if not 0 <= retry[0] <= retry[1] < math.inf:
        raise ValueError(f"retry is {retry!r}: give two numbers of seconds, at least and at most")
    if not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch is {batch!r}: give the number of clients that are told at once")
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout is {timeout!r}: give a number of seconds above 0")
    if not 0 <= spread <= timeout * (1 - LAST_PART):
        raise ValueError(f"spread is {spread!r}: give seconds, at most three quarters of timeout, which is {timeout:g}")
