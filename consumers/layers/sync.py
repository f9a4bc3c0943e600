"""Sending without an event loop: from scripts, threads and task queues."""

from typing import Any

from asgiref.sync import async_to_sync

from ..exceptions import InvalidChannelLayerError
from ..types import Message
from .loops import running_loop
from .registry import DEFAULT_ALIAS, get_channel_layer


def send_sync(channel: str, message: Message, alias: str = DEFAULT_ALIAS) -> None:
    """Send a message to one channel, and return when that is done.

    Not to be called on an event loop's own thread: await the layer's `send()` there.

    Args:
        channel: the channel.
        message: the message, a dict.
        alias: the layer's.

    Raises:
        InvalidChannelLayerError: if there is no such layer.
        RuntimeError: if an event loop runs in this thread.
        Exception: as the layer's `send()`.
    """
    _call(alias, "send", channel, message)


def group_send_sync(group: str, message: Message, alias: str = DEFAULT_ALIAS) -> None:
    """Send a message to every channel in a group, and return when that is done.

    Not to be called on an event loop's own thread: await the layer's `group_send()` there.

    Args:
        group: the group.
        message: the message, a dict.
        alias: the layer's.

    Raises:
        InvalidChannelLayerError: if there is no such layer.
        RuntimeError: if an event loop runs in this thread.
        Exception: as the layer's `group_send()`.
    """
    _call(alias, "group_send", group, message)


def _call(alias: str, method: str, name: str, message: Message) -> None:
    if running_loop() is not None:
        raise RuntimeError(f"{method}_sync() would block the event loop of this thread: await the layer's {method}()")
    layer: Any = get_channel_layer(alias)
    if layer is None:
        raise InvalidChannelLayerError(
            f"There is no channel layer {alias!r}: configure it by channel_layers.configure()"
        )
    blocking = getattr(layer, f"{method}_sync", None)  # the Redis layers need no event loop
    (blocking or async_to_sync(getattr(layer, method)))(name, message)
