"""The layer on Redis' publish and subscribe."""

from functools import partialmethod
from typing import Any, ClassVar

from consumers import Joined
from consumers.layers import redis

from ..channels.layers import BaseChannelLayer
from ..moves import INSTEAD


class RedisPubSubChannelLayer(redis.RedisPubSubChannelLayer, BaseChannelLayer):
    """channels_redis' layer without queues, which checks neither names nor messages. Groups may be named by any object.

    See `consumers.layers.redis.RedisPubSubChannelLayer`.
    """

    instead = INSTEAD
    takes_any_message: ClassVar[bool] = True
    __init__ = partialmethod(redis.RedisPubSubChannelLayer.__init__, validate_names=False)

    def require_valid_message(self, message: object) -> None:
        """Take any value."""

    async def group_add(self, group: Any, channel: str, since: str | None = None, last: int = 0) -> Joined:
        return await super().group_add(str(group), channel, since, last)

    async def group_discard(self, group: Any, channel: str) -> None:
        await super().group_discard(str(group), channel)

    def _named(self, group: Any) -> str:
        return str(group)
