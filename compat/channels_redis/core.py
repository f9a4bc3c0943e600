"""The layer with queues in Redis."""

from consumers.layers import redis

from ..channels.layers import BaseChannelLayer

INSTEAD = {
    "receive_single": "override receive()",
    "connection": "give redis-py's arguments in `hosts`",
    "create_pool": "give redis-py's arguments in `hosts`",
    "close_pools": "override close()",
    "wait_received": "override close()",
}
"""Methods of channels_redis' layers that a subclass cannot override here, and what to do instead."""


class RedisChannelLayer(redis.RedisChannelLayer, BaseChannelLayer):
    """channels_redis' layer with queues; see `consumers.layers.redis.RedisChannelLayer`."""

    instead = INSTEAD
