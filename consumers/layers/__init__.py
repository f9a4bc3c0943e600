"""Channel layers: how one part of an application sends messages to another, or to many at once."""

from ._closing import close_group as close_group
from ._presence import Presence as Presence
from .base import BaseChannelLayer as BaseChannelLayer
from .memory import InMemoryChannelLayer as InMemoryChannelLayer
from .registry import channel_layers as channel_layers
from .registry import get_channel_layer as get_channel_layer
from .send import close_group_sync as close_group_sync
from .send import group_channels_sync as group_channels_sync
from .send import group_count_sync as group_count_sync
from .send import group_send_sync as group_send_sync
from .send import presence_count_sync as presence_count_sync
from .send import presence_sync as presence_sync
from .send import send_sync as send_sync

__all__ = [
    "BaseChannelLayer",
    "InMemoryChannelLayer",
    "Presence",
    "channel_layers",
    "close_group",
    "close_group_sync",
    "get_channel_layer",
    "group_channels_sync",
    "group_count_sync",
    "group_send_sync",
    "presence_count_sync",
    "presence_sync",
    "send_sync",
]
