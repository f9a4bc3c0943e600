"""The groups, and the channel layer that all processes share."""

import os

from consumers import channel_layers

HISTORY = {"room.*": {"size": 1000, "ttl": 7 * 24 * 3600}}

channel_layers.configure(
    {
        "default": {
            "BACKEND": "consumers.layers.redis.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [os.environ.get("REDIS_URL", "redis://localhost")], "history": HISTORY},
        }
    }
)


def of_room(name: str) -> str:
    return f"room.{name}"


def of_user(name: str) -> str:
    return f"user.{name}"
