"""Sending and asking without an event loop: from scripts, threads and task queues."""

from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync

from .._aio.loops import running_loop
from ..types import Message
from ._adapt import options_for, sync_way
from ._presence import Presence
from .base import DEFAULT_CODE
from .registry import DEFAULT_ALIAS, layer_with


def send_sync(channel: str, message: Message, alias: str = DEFAULT_ALIAS) -> None:
    """Send a message to one channel, and return when that is done.

    Not to be called on an event loop's own thread: await the layer's `send()` there.

    Args:
        channel: the channel.
        message: the message, a dict.
        alias: the layer's ("default").

    Raises:
        InvalidChannelLayerError: if there is no such layer.
        RuntimeError: if an event loop runs in this thread.
        Exception: as the layer's `send()`.
    """
    _call(_layer(alias, "send"), "send", channel, message)


def group_send_sync(
    group: str,
    message: Message,
    alias: str = DEFAULT_ALIAS,
    *,
    id: str | None = None,
    keep: bool = True,
    exclude: str | Iterable[str] = (),
) -> str | None:
    """Send a message to every channel in a group, and return when that is done.

    Not to be called on an event loop's own thread: await the layer's `group_send()` there.

    Args:
        group: the group.
        message: the message, a dict.
        alias: the layer's ("default").
        id: names the message, 1 to 200 characters: one with the same `id` is not sent again for five minutes.
        keep: whether a group with history keeps the message (True).
        exclude: a channel that does not get it, or several (none).

    Returns:
        The message's position; None if it is not kept.

    Raises:
        InvalidChannelLayerError: if there is no such layer, or it lacks one of the options.
        RuntimeError: if an event loop runs in this thread.
        Exception: as the layer's `group_send()`.
    """
    layer = _layer(alias, "group_send")
    position: str | None = _call(layer, "group_send", group, message, **options_for(layer, id, keep, exclude))
    return position


def close_group_sync(group: str, code: int = DEFAULT_CODE, reason: str = "", alias: str = DEFAULT_ALIAS) -> None:
    """Close the connection of every member of a group, as `consumers.close_group()`, and return when they are told.

    Not to be called on an event loop's own thread: await `close_group()` there.

    Args:
        group: the group.
        code: the close code (1008): 1000 to 1003, 1007 to 1014, or 3000 to 4999.
        reason: a text for the clients, cut to 123 bytes of UTF-8.
        alias: the layer's ("default").

    Raises:
        InvalidChannelLayerError: if there is no such layer, or it cannot close groups.
        RuntimeError: if an event loop runs in this thread.
        TypeError: if the group's name is invalid or the reason is not a str.
        ValueError: if the code is none that may be sent.
        Exception: as the layer's `group_send()`.
    """
    _call(_layer(alias, "close_group"), "close_group", group, code, reason)


def group_count_sync(group: str, alias: str = DEFAULT_ALIAS) -> int:
    """Return how many channels are in a group, in all processes; see the layer's `group_count()`.

    Not to be called on an event loop's own thread: await the layer's `group_count()` there.

    Args:
        group: the group.
        alias: the layer's ("default").

    Raises:
        InvalidChannelLayerError: if there is no such layer, or it does not know.
        RuntimeError: if an event loop runs in this thread.
        Exception: as the layer's `group_count()`.
    """
    return int(_call(_layer(alias, "group_count"), "group_count", group))


def group_channels_sync(group: str, alias: str = DEFAULT_ALIAS) -> frozenset[str]:
    """Return the channels that are in a group, in all processes; otherwise as `group_count_sync()`.

    Args:
        group: the group.
        alias: the layer's ("default").
    """
    return frozenset(_call(_layer(alias, "group_channels"), "group_channels", group))


def presence_sync(group: str, alias: str = DEFAULT_ALIAS) -> Presence:
    """Return who is in a group, as the layer's `presence()`; otherwise as `group_count_sync()`.

    Args:
        group: the group.
        alias: the layer's ("default").
    """
    there: Presence = _call(_layer(alias, "presence"), "presence", group)
    return there


def presence_count_sync(group: str, alias: str = DEFAULT_ALIAS) -> int:
    """Return how many keys are in a group, those in grace included; otherwise as `group_count_sync()`.

    Args:
        group: the group.
        alias: the layer's ("default").
    """
    return int(_call(_layer(alias, "presence_count"), "presence_count", group))


def _layer(alias: str, method: str) -> Any:
    if running_loop() is not None:
        raise RuntimeError(f"{method}_sync() would block the event loop of this thread: await the layer's {method}()")
    return layer_with(method, alias)


def _call(layer: Any, method: str, *arguments: Any, **options: Any) -> Any:
    return (sync_way(layer, f"{method}_sync") or async_to_sync(getattr(layer, method)))(*arguments, **options)
