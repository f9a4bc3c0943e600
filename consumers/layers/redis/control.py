"""The connection by which a process hears, from one shard, who comes and goes, and what others ask of it."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

from .hosts import Host
from .reconnect import ReconnectingConnection

QUIET = 5.0
"""Seconds without a message after which Redis is asked for a sign of life."""


class Control:
    """Subscribes to two names, and to them again as often as the connection is lost.

    Args:
        host: the shard.
        timeout: seconds without an answer after which the connection is given up.
        names: what it subscribes to.
        on_change: see `ReconnectingConnection`.
        on_message: takes the name and the payload of a message.

    Attributes:
        connection: what it hears by. The log tells of it at level DEBUG only: another one tells the same.
    """

    def __init__(
        self,
        host: Host,
        timeout: float,
        names: list[str],
        on_change: Callable[[bool], object],
        on_message: Callable[[str, bytes], object],
    ) -> None:
        self.connection = ReconnectingConnection(host, timeout, on_change, logging.DEBUG)
        self._timeout = timeout
        self._names = names
        self._on_message = on_message
        self._heard = 0.0
        self._pinged_at: float | None = None

    async def run(self) -> None:
        """Hear from the shard, for ever.

        Raises:
            redis.exceptions.ResponseError: if Redis refuses the names, to the layer's user say.
        """
        try:
            while True:
                pipelined = await self.connection.open()
                self._heard, self._pinged_at = time.monotonic(), None
                watch = asyncio.create_task(pipelined.watch(self._timeout, self._sign_of_life))
                try:
                    pipelined.write(("SUBSCRIBE", *self._names))
                    left = len(self._names)
                    while True:
                        reply = await pipelined.read()
                        self._heard, self._pinged_at = time.monotonic(), None
                        left -= self._take(reply)
                        if not left:
                            self.connection.note_up()
                        await asyncio.sleep(0)
                except ResponseError:
                    raise
                except Exception as error:
                    reason = error
                finally:
                    watch.cancel()
                await self.connection.lose(reason)
        finally:
            self.connection.end()
            await self.connection.hang_up()

    def _take(self, reply: Any) -> int:
        """Take a reply; return for how many names it says that messages arrive from now on."""
        if isinstance(reply, Exception):
            raise reply
        if reply[0] == b"message":
            self._on_message(reply[1].decode(errors="replace"), reply[2])
        return int(reply[0] == b"subscribe")

    def _sign_of_life(self) -> float | None:
        """Ask for a sign of life when it has been quiet; return what is due, for `PipelinedConnection.watch()`."""
        pipelined = self.connection.pipelined
        if self._pinged_at is None and time.monotonic() - self._heard > QUIET and pipelined is not None:
            pipelined.write(("PING",))
            self._pinged_at = time.monotonic()
        return self._pinged_at
