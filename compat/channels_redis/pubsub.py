"""The layer on Redis' publish and subscribe."""

from functools import partialmethod

from consumers.layers import redis

from ..channels.layers import BaseChannelLayer
from .core import INSTEAD


class RedisPubSubChannelLayer(redis.RedisPubSubChannelLayer, BaseChannelLayer):
    """channels_redis' layer without queues, which does not check names.

    See `consumers.layers.redis.RedisPubSubChannelLayer`.
    """

    instead = INSTEAD
    __init__ = partialmethod(redis.RedisPubSubChannelLayer.__init__, validate_names=False)
