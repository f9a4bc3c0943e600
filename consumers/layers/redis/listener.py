"""The connection by which a process hears from one shard: kept, lost, opened again."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import ClassVar

from redis.exceptions import ConnectionError

from .hosts import CONNECT_TIMEOUT, Host, IsCluster
from .pipelined import FAILURES, PipelinedConnection, connect

logger = logging.getLogger("consumers.layers")

FIRST_DELAY = 0.05
LONGEST_DELAY = 0.8
"""Seconds before an attempt to connect again; doubled each time, up to the longest, and shortened by chance."""


class Listener:
    """Keeps a connection open, in the task that calls `run()`. What it is for is a subclass' `listen()`.

    Attributes:
        takes_alone: whether what it receives is gone from Redis, so that no other listener can receive it.

    Args:
        host: the shard.
        timeout: seconds without an answer after which the connection is given up.
        on_change: told when the connection is lost, or cannot be made (False), and when it is there after that (True).
    """

    takes_alone: ClassVar[bool] = False

    def __init__(self, host: Host, timeout: float, on_change: Callable[[bool], object]) -> None:
        self.host = host
        self.timeout = timeout
        self._on_change = on_change
        self._lost_at: float | None = None
        self.has_been_up = False
        self.reason = "it is being connected to"
        self._up = asyncio.Event()
        self._decided = asyncio.Event()  # it is up, or waiting for that is in vain
        self._link: PipelinedConnection | None = None
        self._is_over = False

    async def listen(self, link: PipelinedConnection) -> None:
        """Receive until the connection ends; call `note_up()` when nothing can be missed any more.

        Raises:
            redis.exceptions.RedisError: when it ends.
        """
        raise NotImplementedError

    async def take_the_rest(self, link: PipelinedConnection) -> None:
        """Receive what has come, or is on its way, since `listen()` was cancelled; no more comes after that.

        Raises:
            redis.exceptions.RedisError: if the connection ends before.
        """
        raise NotImplementedError

    async def run(self) -> None:
        """Listen for ever. Cancelled, it leaves its connection to `finish()` and `hang_up()`."""
        failures = 0
        while True:
            started, reason, is_vain = time.monotonic(), "", False
            try:
                # A host whose own `socket_connect_timeout` is longer is waited for as long as that.
                self._link = await connect(self.host, max(CONNECT_TIMEOUT * 1.5, self.host.connect_timeout))
                await self.listen(self._link)
            except FAILURES as error:
                reason, is_vain = str(error), isinstance(error, IsCluster)
            except Exception as error:
                logger.exception("Redis at %s: the receiver failed and is started again", self.host)
                reason = repr(error)
            await self.hang_up()
            self._note_down(reason, is_vain)
            failures = 0 if time.monotonic() - started > 10 * LONGEST_DELAY else failures + 1
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures, 10))
            await asyncio.sleep(delay * random.uniform(0.5, 1))

    async def finish(self) -> None:
        """Take what has come after all, when `run()` has been cancelled."""
        if self._link is not None and self._link.is_open:
            self._link.resume()
            with contextlib.suppress(*FAILURES):
                await self.take_the_rest(self._link)

    async def hang_up(self) -> None:
        """End the connection, if there is one."""
        link, self._link = self._link, None
        if link is not None:
            await link.end()

    def end(self) -> None:
        """Take note, when `run()` has been cancelled, that it will not listen again: who waits for it waits in vain."""
        self._is_over, self.reason = True, "the layer was closed, or lives on another event loop now"
        self._up.clear()
        self._decided.set()

    @property
    def is_up(self) -> bool:
        """Whether everything arrives now."""
        return self._up.is_set()

    async def until_up(self, deadline: float | None = None) -> None:
        """Wait until it listens.

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
            logger.warning("Redis at %s: connected%s after %.1f s%s", self.host, again, time.monotonic() - lost_at, gap)
            self._on_change(True)  # of a first time too: groups may have been joined by another connection, and be lost
        self.has_been_up = True

    def _note_down(self, reason: str, is_vain: bool) -> None:
        self._up.clear()
        self._decided.set() if is_vain else self._decided.clear()
        self.reason = reason
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            logger.warning("Redis at %s: no connection, trying again and again: %s", self.host, reason)
            self._on_change(False)
