"""The layer on Redis' publish and subscribe."""

from functools import partialmethod
from typing import ClassVar

from consumers.layers import redis

from ..channels.layers import BaseChannelLayer
from .core import INSTEAD


class RedisPubSubChannelLayer(redis.RedisPubSubChannelLayer, BaseChannelLayer):
    """channels_redis' layer without queues, which checks neither names nor messages.

    See `consumers.layers.redis.RedisPubSubChannelLayer`.
    """

    instead = INSTEAD
    takes_any_message: ClassVar[bool] = True
    __init__ = partialmethod(redis.RedisPubSubChannelLayer.__init__, validate_names=False)
