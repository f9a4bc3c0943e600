"""The layer with queues in Redis."""

from consumers.layers import redis

from ..channels.layers import BaseChannelLayer


class RedisChannelLayer(redis.RedisChannelLayer, BaseChannelLayer):
    """channels_redis' layer with queues; see `consumers.layers.redis.RedisChannelLayer`."""
