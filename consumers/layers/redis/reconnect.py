"""The connection by which a process hears from one shard: kept, lost, opened again.

                  opened                note_up()
connecting ───────────────► receiving ───────────► up: nothing can be missed
    ▲                           │                   │
    │    a pause that grows     ▼                   │
    └────────────────────────  lost  ◄──────────────┘

end(): over, whatever it was before; who waits for it is told so
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from redis.exceptions import ConnectionError

from .hosts import CONNECT_TIMEOUT, Host, IsCluster
from .pipelined import FAILURES, PipelinedConnection, connect

logger = logging.getLogger("consumers.layers")

FIRST_DELAY = 0.05
LONGEST_DELAY = 0.8
"""Seconds before an attempt to connect again; doubled each time, up to the longest, and shortened by chance."""


class ReconnectingConnection:
    """Opens a connection to a shard, as often as it is lost.

    Args:
        host: the shard.
        timeout: seconds without an answer after which the connection is given up.
        on_change: told when the connection is lost, or cannot be made (False), and when it is there after that (True).
        level: the level at which the log tells of that.

    Attributes:
        pipelined: the connection that is open now, or None.
        has_been_up: whether everything has arrived at some time.
        reason: why it is not up.
        is_over: whether it was ended.
    """

    def __init__(
        self, host: Host, timeout: float, on_change: Callable[[bool], object], level: int = logging.WARNING
    ) -> None:
        self.host = host
        self.timeout = timeout
        self.pipelined: PipelinedConnection | None = None
        self.has_been_up = False
        self.reason = "it is being connected to"
        self.is_over = False
        self._on_change = on_change
        self._level = level
        self._started = 0.0  # the last attempt
        self._failures = 0  # attempts in a row whose connections did not last
        self._lost_at: float | None = None
        self._up = asyncio.Event()
        self._decided = asyncio.Event()  # it is up, or waiting for that is in vain

    @property
    def is_up(self) -> bool:
        """Whether everything arrives now."""
        return self._up.is_set()

    async def open(self) -> PipelinedConnection:
        """Connect, at the first attempt that succeeds. Cancelled later, its user leaves it to `hang_up()`."""
        while True:
            self._started = time.monotonic()
            try:
                # A host whose own `socket_connect_timeout` is longer is waited for as long as that.
                self.pipelined = await connect(self.host, max(CONNECT_TIMEOUT * 1.5, self.host.connect_timeout))
                return self.pipelined
            except Exception as error:
                reason = error
            await self.lose(reason)

    async def lose(self, error: Exception) -> None:
        """Take note of what has ended the connection, or an attempt, and pause before the next one."""
        if not isinstance(error, FAILURES):
            logger.error("Redis at %s: the receiver failed and is started again", self.host, exc_info=error)
        await self.hang_up()
        self._note_down(str(error) if isinstance(error, FAILURES) else repr(error), isinstance(error, IsCluster))
        self._failures = 0 if time.monotonic() - self._started > 10 * LONGEST_DELAY else self._failures + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self._failures, 10))
        await asyncio.sleep(delay * random.uniform(0.5, 1))

    async def hang_up(self) -> None:
        """End the connection, if there is one."""
        pipelined, self.pipelined = self.pipelined, None
        if pipelined is not None:
            await pipelined.end()

    def end(self) -> None:
        """Take note, that it will not be opened again: who waits for it waits in vain."""
        self.is_over, self.reason = True, "the layer was closed, or lives on another event loop now"
        self._up.clear()
        self._decided.set()

    async def until_up(self, deadline: float | None = None) -> None:
        """Wait until everything arrives.

        Args:
            deadline: when to give up, by `time.monotonic()`; default: `timeout` seconds from now.

        Raises:
            redis.exceptions.ConnectionError: if it does not in time.
        """
        if self._up.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.timeout if deadline is None else deadline - time.monotonic()):
                await self._decided.wait()
        if not self._up.is_set():
            raise ConnectionError(f"No connection to Redis at {self.host}: {self.reason}")

    def note_up(self) -> None:
        """Take note that everything arrives now."""
        if self._up.is_set():
            return
        self._up.set()
        self._decided.set()
        lost_at, self._lost_at = self._lost_at, None
        if lost_at is not None:
            again, gap = (" again", "; messages may have been missed") if self.has_been_up else ("", "")
            since = time.monotonic() - lost_at
            logger.log(self._level, "Redis at %s: connected%s after %.1f s%s", self.host, again, since, gap)
            self._on_change(True)  # of a first time too: groups may have been joined by another connection, and be lost
        self.has_been_up = True

    def _note_down(self, reason: str, is_vain: bool) -> None:
        self._up.clear()
        self._decided.set() if is_vain else self._decided.clear()
        self.reason = reason
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            logger.log(self._level, "Redis at %s: no connection, trying again and again: %s", self.host, reason)
            self._on_change(False)
