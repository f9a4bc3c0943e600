"""What consumers are told when the connection to Redis is lost, and when it is back."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from .._lag import gap
from .owner_loop import OwnerLoop, OwnerLoopEnded
from .settings import Event, Settings

if TYPE_CHECKING:
    from .owners import Owners
    from .process import Process

logger = logging.getLogger("consumers.layers")

PROBE_PATIENCE = 0.5
"""Seconds after a return in which the connection for commands shows that it lives, or is replaced."""


class Gaps:
    """Tells the consumers of one process, and the application's functions, of lost messages. On the owner loop.

    Args:
        process: the process.
        owners: know the owner loop.
        settings: the layer's.
    """

    def __init__(self, process: "Process[Any]", owners: "Owners", settings: Settings) -> None:
        self._process = process
        self._owners = owners
        self._settings = settings

    def on_change(self, shard: int, is_up: bool) -> None:
        """Take note that the connection by which the process hears from a shard is lost, or back."""
        if is_up:
            self._process.spawn(self.announce([shard]))
        else:
            self._tell("on_disconnect", self._settings.on_disconnect)

    async def announce(self, shards: Iterable[int], owner: OwnerLoop | None = None) -> None:
        """Restore what the process has at these shards, and tell all consumers that they may have missed messages.

        Args:
            shards: their indexes.
            owner: an owner loop that has begun, and hears from them soon; None: they are back.
        """
        try:
            await asyncio.gather(*(self.restore(shard, owner) for shard in shards))
        finally:
            self._process.local.tell_attached(gap(None), unless_all=self._settings.retention_of)
            if owner is None:
                self._tell("on_reconnect", self._settings.on_reconnect)

    async def restore(self, shard: int, owner: OwnerLoop | None) -> None:
        """Restore what the process has at one shard; see `announce()`."""
        try:
            if owner is not None:
                await owner.receivers[shard].connection.until_up()
            # What has cut one connection may have left the other dead without a sign.
            await self._owners.require().commands[shard].probe(PROBE_PATIENCE)
            await self._process.exchange.restore(shard)
        except OwnerLoopEnded:
            pass  # the next owner loop sees to it
        except RedisError as error:
            if owner is None or owner.is_alive:
                logger.warning("Redis: %s", error)

    def _tell(self, what: str, event: Event) -> None:
        if isinstance(event, str):
            self._process.local.tell_attached({"type": event})
        elif event is not None:
            try:
                result = event()
            except Exception:
                _log_failure(what, event)
                return
            if inspect.isawaitable(result):
                self._process.spawn(_see_through(result, what, event))


async def _see_through(result: Awaitable[object], what: str, event: Callable[[], object]) -> None:
    try:
        await result
    except Exception:
        _log_failure(what, event)


def _log_failure(what: str, event: Callable[[], object]) -> None:
    logger.exception("Redis: %s failed: %s", what, getattr(event, "__qualname__", repr(event)))
