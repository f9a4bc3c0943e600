"""Channel layers, configured by Django's CHANNEL_LAYERS setting or by `compat.configure()`."""

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from consumers.exceptions import ChannelFull as ChannelFull
from consumers.exceptions import InvalidChannelLayerError as InvalidChannelLayerError
from consumers.layers import base, memory
from consumers.layers.registry import ChannelLayerManager as ChannelLayerManager
from consumers.layers.registry import channel_layers as channel_layers
from consumers.layers.registry import get_channel_layer as get_channel_layer

from ..conf import django_channel_layers, has_django
from . import DEFAULT_CHANNEL_LAYER as DEFAULT_CHANNEL_LAYER


class BaseChannelLayer(base.BaseChannelLayer):
    """The base of channel layers; see `consumers.BaseChannelLayer`."""

    def match_type_and_length(self, name: object) -> bool:
        """Tell whether `name` is a string of less than MAX_NAME_LENGTH characters."""
        return isinstance(name, str) and len(name) < self.MAX_NAME_LENGTH

    def _fits(self, name: object) -> bool:
        return self.match_type_and_length(name)

    def valid_channel_names(self, names: list[str], receive: bool = False) -> bool:
        """Check a list of channel names, which must not be empty.

        Raises:
            AssertionError: it is no list, or empty.
            TypeError: a name is invalid.
        """
        assert isinstance(names, list) and names, f"names must be a non-empty list, not {names!r}"
        return all(self.require_valid_channel_name(name, receive) for name in names)

    def valid_channel_name(self, channel_name: str, receive: bool = False) -> bool:
        """Check a channel name, by its deprecated name."""
        _deprecated("valid_channel_name")
        return self.require_valid_channel_name(channel_name, receive)

    def valid_group_name(self, group_name: str) -> bool:
        """Check a group name, by its deprecated name."""
        _deprecated("valid_group_name")
        return self.require_valid_group_name(group_name)


class InMemoryChannelLayer(memory.InMemoryChannelLayer, BaseChannelLayer):
    """Channels' layer inside one process; see `consumers.InMemoryChannelLayer`.

    Attributes:
        channels: a view of what waits in which channel, for tests; read only.
        groups: a view of the groups and their channels, for tests; read only.
    """

    @property
    def channels(self) -> Mapping[str, Any]:
        waiting = super().channels
        return MappingProxyType({name: Waiting(count, self.get_capacity(name)) for name, count in waiting.items()})

    @property
    def groups(self) -> Mapping[str, Any]:
        members = super().groups
        return MappingProxyType({name: MappingProxyType(dict.fromkeys(channels)) for name, channels in members.items()})


class Waiting:
    """What a test may ask the queue of a channel.

    Args:
        count: how many messages wait.
        maxsize: how many may.
    """

    def __init__(self, count: int, maxsize: int) -> None:
        self._count = count
        self.maxsize = maxsize

    def qsize(self) -> int:
        """Return how many messages wait."""
        return self._count

    def empty(self) -> bool:
        """Tell whether none waits."""
        return not self._count

    def full(self) -> bool:
        """Tell whether no more fit in."""
        return self._count >= self.maxsize


def _deprecated(name: str) -> None:
    warnings.warn(f"{name}() is deprecated: use require_{name}()", DeprecationWarning, stacklevel=3)


def _reset(*, setting: str, **signal: Any) -> None:
    if setting == "CHANNEL_LAYERS":
        channel_layers.configure_from(django_channel_layers)


channel_layers.configure_from(django_channel_layers)
if has_django():
    from django.core.signals import setting_changed

    setting_changed.connect(_reset)
