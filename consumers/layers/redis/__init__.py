"""Channel layers across processes, on Redis: `pip install 'starlette-consumers[redis]'`."""

try:
    import redis as _redis
except ImportError as error:
    raise ImportError(
        "consumers.layers.redis needs redis-py: pip install 'starlette-consumers[redis]'", name="redis"
    ) from error

from .pubsub import RedisPubSubChannelLayer as RedisPubSubChannelLayer
from .queue import RedisChannelLayer as RedisChannelLayer

__all__ = ["RedisChannelLayer", "RedisPubSubChannelLayer"]

del _redis
