"""Channels' package."""

from consumers.layers.registry import DEFAULT_ALIAS

__version__ = "4.3.2"
"""The version of Channels whose interface this is."""

DEFAULT_CHANNEL_LAYER = DEFAULT_ALIAS
