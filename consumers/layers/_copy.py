"""Copies of messages, so that no receiver sees what another, or the sender, does to its own."""

from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from ..types import Message
from ._frozen import FrozenDict, FrozenList
from ._history import Mark

Copier = Callable[[Any], Any]

PLAIN = frozenset(
    {str, bytes, int, float, complex, bool, type(None), date, datetime, time, timedelta, Decimal, UUID}
    | {Mark, FrozenDict, FrozenList}
)


def choose_copier(message: Message) -> tuple[Copier, Message]:
    """Find the cheapest function that copies a message so that nothing mutable is shared.

    Args:
        message: the message, a dict.

    Returns:
        The function, and what to apply it to: the message itself, or a first copy of it.

    Raises:
        Exception: what `deepcopy` raises, if the message cannot be copied.
    """
    if type(message) is dict and PLAIN.issuperset(map(type, message.values())):
        return dict.copy, message
    try:
        return copy_tree, copy_tree(message)
    except (_NotATree, RecursionError):
        return deepcopy, deepcopy(message)


def copy_tree(value: Any) -> Any:
    """Copy a tree of dicts, lists and tuples with plain values as leaves, much faster than `deepcopy`."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is dict:
        return {key: item if type(item) in PLAIN else copy_tree(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind([item if type(item) in PLAIN else copy_tree(item) for item in value])
    raise _NotATree


class _NotATree(Exception):
    """There is something else in it."""
