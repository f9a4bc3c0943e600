"""The options of `group_add()` and `group_send()`, checked before anything is done."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..types import Message
from ._history import EXCLUDE, HISTORY, MAX_ID_LENGTH, NOBODY, Channels, Joined, Mark, Retention

LONGEST_PAGE = 1000
"""Messages that `history()` returns at most, however many it is asked for."""


class Options(NamedTuple):
    """How a message to a group is sent.

    Attributes:
        retention: how much of the group's messages is kept; None: this one is not.
        id: what tells the message from others, or None.
        excluded: the channels that do not get it.
    """

    retention: Retention | None = None
    id: str | None = None
    excluded: Channels = NOBODY


PLAIN = Options()


def checked_options(
    retention: Retention | None, message: Message, id: object, keep: bool, exclude: str | Iterable[str]
) -> Options:
    """Check the options of `group_send()`.

    Args:
        retention: how much of the group's messages is kept; None: it has no history.
        message: the message.
        id, keep, exclude: the options.

    Raises:
        TypeError: if `exclude` is neither a channel's name nor several, or `id` is no str; if the message is no dict,
            though it is to have its place in a history.
        ValueError: if the `id` cannot be, or the message has a key that the layer sets.
    """
    if isinstance(message, dict):  # ported code may send something else
        require_unmarked(message, retention)
    elif retention is not None:
        raise TypeError(f"A message to a group with history must be a dict, not {type(message).__name__}")
    checked_id = require_id(id, retention, keep)
    return Options(retention if keep else None, checked_id, excluded_channels(exclude))


def excluded_channels(exclude: str | Iterable[str]) -> Channels:
    """Return the channels that `group_send()` is to leave out.

    Raises:
        TypeError: if it is neither a channel's name nor several.
    """
    if not exclude:
        return NOBODY
    if isinstance(exclude, str):
        return frozenset((exclude,))
    names = list(exclude) if isinstance(exclude, Iterable) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise TypeError(f"exclude must be a channel's name, or several in a list, not {exclude!r:.80}")
    return frozenset(names)


def given_options(id: str | None, keep: bool, exclude: str | Iterable[str]) -> dict[str, Any]:
    """Return the options of `group_send()` that differ from their defaults: not every layer takes them."""
    options: dict[str, Any] = {}
    if id is not None:
        options["id"] = id
    if not keep:
        options["keep"] = keep
    if exclude:
        options["exclude"] = exclude
    return options


def take_excluded(message: Any) -> Channels:
    """Remove the excluded channels from a message, and return them. Anybody may write to Redis: they are checked."""
    names = message.pop(EXCLUDE, None) if isinstance(message, dict) else None
    if not isinstance(names, list | tuple):
        return NOBODY
    return frozenset(name for name in names if isinstance(name, str))


def checked_exclusion(id: object, keep: bool, exclude: str | Iterable[str]) -> Channels:
    """Check the options of a `group_send()` to a group without history.

    Returns:
        The channels that do not get the message.

    Raises:
        TypeError: if `exclude` is neither a channel's name nor several, or `id` is no str.
        ValueError: if there is an `id`.
    """
    require_id(id, None, keep)
    return excluded_channels(exclude)


def require_id(id: object, retention: Retention | None, is_kept: bool) -> str | None:
    """Return the `id` argument of `group_send()`.

    Args:
        id: the argument; None is none.
        retention: what the group keeps.
        is_kept: whether the message is to be kept.

    Raises:
        TypeError: if it is no str.
        ValueError: if its length is wrong, or the message is not kept.
    """
    if id is None:
        return None
    if not isinstance(id, str):
        raise TypeError(f"id must be a str, not {id!r:.80}")
    if not 1 <= len(id) <= MAX_ID_LENGTH:
        raise ValueError(f"id must have 1 to {MAX_ID_LENGTH} characters, not {len(id)}: {id!r:.40}")
    if retention is None:
        raise ValueError("id needs a group with history: name the group in the layer's `history` option")
    if not is_kept:
        raise ValueError("id needs a kept message: remove keep=False, or remove id")
    return id


def require_unmarked(message: Message, retention: Retention | None) -> None:
    """Check that an application's message has none of the keys that the layers set.

    Raises:
        ValueError: if it has one.
    """
    if retention is not None and HISTORY in message:
        raise ValueError(f"a message to a group with history must not have a key {HISTORY!r}: the layer sets it")
    if EXCLUDE in message:
        raise ValueError(f"a message must not have a key {EXCLUDE!r}: use group_send(..., exclude=…)")


def unkept(group: str, message: Message) -> Message:
    """Return the event of a message to a group with history that is not kept."""
    return {**message, HISTORY: Mark(group, None, replayed=False)}


def require_last(last: object) -> None:
    """Check the `last` argument of `group_add()`.

    Raises:
        ValueError: if it is no number of messages.
    """
    if isinstance(last, bool) or not isinstance(last, int) or last < 0:
        raise ValueError(f"last must be a number of messages, 0 or more, not {last!r:.80}")


def require_new(group: str, channel: str, since: str | None, last: int) -> None:
    """Check that a channel which is a member already does not ask for what it has missed.

    Raises:
        ValueError: if it does.
    """
    if since is not None or last:
        raise ValueError(
            f"channel {channel!r:.200} is in group {group!r:.200} already, and gets what is new: leave `since` and "
            "`last` out, or group_discard() it first"
        )


def checked_limit(limit: object) -> int:
    """Return how many messages `history()` returns at most.

    Raises:
        ValueError: if its `limit` argument is no number of messages.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ValueError(f"limit must be a number of messages, 1 or more, not {limit!r:.80}")
    return min(limit, LONGEST_PAGE)


def without_history(since: object, last: object = 0) -> Joined:
    """Return what joining a group without history returns.

    Raises:
        ValueError: if `last` is no number of messages.
    """
    require_last(last)
    return Joined(None, since is None, 0)
