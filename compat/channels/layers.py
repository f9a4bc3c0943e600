"""Channel layers, configured by Django's CHANNEL_LAYERS setting or by `compat.configure()`."""

import sys
from collections.abc import Mapping
from typing import Any

from consumers.layers import base, memory
from consumers.layers.registry import ChannelLayerManager as ChannelLayerManager
from consumers.layers.registry import channel_layers as channel_layers
from consumers.layers.registry import get_channel_layer as get_channel_layer

from ..conf import django_channel_layers, has_django
from ..layer_views import Channels, Groups
from . import DEFAULT_CHANNEL_LAYER as DEFAULT_CHANNEL_LAYER
from .exceptions import ChannelFull as ChannelFull
from .exceptions import InvalidChannelLayerError as InvalidChannelLayerError

if sys.version_info >= (3, 13):
    from warnings import deprecated
else:
    from typing_extensions import deprecated  # which anyio needs there, too


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

    @deprecated("valid_channel_name is deprecated, use require_valid_channel_name instead.")
    def valid_channel_name(self, channel_name: str, receive: bool = False) -> bool:
        """Check a channel name, as `require_valid_channel_name()`."""
        return self.require_valid_channel_name(channel_name, receive)

    @deprecated("valid_group_name is deprecated, use require_valid_group_name instead.")
    def valid_group_name(self, group_name: str) -> bool:
        """Check a group name, as `require_valid_group_name()`."""
        return self.require_valid_group_name(group_name)


class InMemoryChannelLayer(memory.InMemoryChannelLayer, BaseChannelLayer):
    """Channels' layer inside one process; see `consumers.InMemoryChannelLayer`.

    Attributes:
        channels: a dict of the channels and their queues, for tests; a channel can be deleted, not added.
        groups: a dict of the groups and dicts of their channels, for tests.
    """

    def require_valid_message(self, message: object) -> None:
        """Check that a message is a dict.

        Raises:
            AssertionError: it is not.
        """
        if not isinstance(message, dict):  # `python -O` would remove an assertion
            raise AssertionError(f"message is not a dict but {type(message).__name__}")

    @property
    def channels(self) -> Any:
        return Channels(self._local, self.get_capacity)

    @channels.setter
    def channels(self, value: Mapping[str, Any]) -> None:
        self.channels.replace(value)

    @property
    def groups(self) -> Any:
        return Groups(self._local)

    @groups.setter
    def groups(self, value: Mapping[str, Any]) -> None:
        self.groups.replace(value)


def _reset(*, setting: str, **signal: Any) -> None:
    if setting == "CHANNEL_LAYERS":
        channel_layers.configure_from(django_channel_layers)


channel_layers.configure_from(django_channel_layers)
if has_django():
    from django.core.signals import setting_changed

    setting_changed.connect(_reset)
