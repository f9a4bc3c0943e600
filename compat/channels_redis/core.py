"""The layer with queues in Redis."""

import asyncio
import logging
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import redis.asyncio

from consumers.layers import redis as native
from consumers.layers.redis.loop_close import before_close

from ..channels.exceptions import ChannelFull as ChannelFull
from ..channels.layers import BaseChannelLayer
from ..moves import INSTEAD
from .utils import _close_redis, create_pool

logger = logging.getLogger("channels_redis.core")


class RedisChannelLayer(native.RedisChannelLayer, BaseChannelLayer):
    """channels_redis' layer with queues; see `consumers.layers.redis.RedisChannelLayer`.

    Wrong arguments are an `AssertionError` where they are one in channels_redis.

    Attributes:
        client_prefix: what the names of this process' channels have before their "!".
        ring_size: how many hosts there are.
    """

    instead = INSTEAD
    full_level: ClassVar[int] = logging.INFO

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ring_size = len(self.hosts)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Any]] = WeakKeyDictionary()

    def __str__(self) -> str:
        return f"{type(self).__name__}(hosts={[str(host) for host in self.hosts]})"

    @property
    def client_prefix(self) -> str:
        return self._process.id

    def create_pool(self, index: int) -> Any:
        """Make one of redis-py's asyncio connection pools for a host; the layer itself uses none."""
        return create_pool(self.hosts[index].arguments)

    def connection(self, index: int) -> Any:
        """Return redis-py's asyncio client for a host, one for each event loop; it is closed with the loop.

        Raises:
            ValueError: if there is no such host.
            RuntimeError: if no event loop is running.
        """
        if not 0 <= index < self.ring_size:
            raise ValueError(f"There are only {self.ring_size} hosts - you asked for {index}!")
        loop = asyncio.get_running_loop()
        clients = self._clients.get(loop)
        if clients is None:
            clients = self._clients[loop] = {}
            before_close(loop, lambda: _close_all(clients))
        if index not in clients:
            clients[index] = redis.asyncio.Redis(connection_pool=self.create_pool(index))
        return clients[index]

    async def close_pools(self) -> None:
        """Close the connections of the running event loop, unless consumers or `receive()` use them.

        Groups, and messages that wait, stay as they are.
        """
        await _close_all(self._clients.get(asyncio.get_running_loop(), {}))
        await self._rest()

    async def close(self) -> None:
        await _close_all(self._clients.get(asyncio.get_running_loop(), {}))
        await super().close()

    def require_valid_message(self, message: object) -> None:
        """Check that a message is a dict.

        Raises:
            AssertionError: if it is not.
        """
        if not isinstance(message, dict):
            raise AssertionError("message is not a dict")

    def _checked_prefix(self, prefix: str) -> str:
        if not isinstance(prefix, str):
            raise AssertionError("Prefix must be unicode")
        return super()._checked_prefix(prefix)

    def _wrong(self, error: Exception) -> Exception:
        return AssertionError(*error.args)

    def _note_overfull(self, group: str, entries: list[tuple[str, bytes, int]], members: int) -> None:
        self._overfull += len(entries)
        logger.info("%s of %s channels over capacity in group %s", len(entries), members, group)


async def _close_all(clients: dict[int, Any]) -> None:
    while clients:
        _, client = clients.popitem()
        await _close_redis(client)
