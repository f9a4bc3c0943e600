"""Mistakes in a consumer class, found when `as_asgi()` is called and not when a client arrives."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

HOOKS = ("connect", "receive", "receive_json", "disconnect", "handle", "on_error")
"""The methods that applications override and the framework calls."""


def check_attributes(consumer_class: Any) -> None:
    """Raise ValueError for a class attribute that cannot work, before a client finds out."""
    for name in ("max_tasks", "inbox_limit", "inbox_bytes"):
        value = getattr(consumer_class, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{consumer_class.__name__}.{name} must be an int of 1 or more, not {value!r}")
    for name in ("disconnect_timeout", "cleanup_timeout", "stall_timeout"):
        value = getattr(consumer_class, name)
        if not isinstance(value, int | float) or not value >= 0 or (name == "cleanup_timeout" and not value):
            raise ValueError(f"{consumer_class.__name__}.{name} must be a number of seconds, not {value!r}")
    if consumer_class.overflow not in ("drop", "close"):
        raise ValueError(
            f'{consumer_class.__name__}.overflow must be "drop" or "close", not {consumer_class.overflow!r}'
        )
    groups = getattr(consumer_class, "groups", None)
    if isinstance(groups, str):
        raise ValueError(
            f"{consumer_class.__name__}.groups must be a list of names, not the str {groups!r}: [{groups!r}]?"
        )


def check_hooks(consumer_class: type, framework: type, sync: bool) -> None:
    """Raise TypeError for an overridden method that the framework cannot call, before a client finds out.

    Args:
        consumer_class: the application's class.
        framework: the framework's class that it derives from; a method that this one lacks is the application's own.
        sync: whether its methods run in threads.
    """
    for name in HOOKS:
        if sync and hasattr(framework, name) and inspect.iscoroutinefunction(getattr(consumer_class, name)):
            raise TypeError(f"{consumer_class.__name__}.{name}() must be a plain `def`: this is a sync consumer")
    if hasattr(framework, "receive") and not takes(consumer_class.receive):  # type: ignore[attr-defined]
        raise TypeError(
            f"{consumer_class.__name__}.receive() must take text_data, bytes_data or both, by these names; "
            "what may be missing needs a default"
        )


@lru_cache(maxsize=1024)
def takes(function: Callable[..., Any]) -> frozenset[str]:
    """Return which of the frame arguments, text_data and bytes_data, `function` can be called with by name, alone."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built in functions have none
        return frozenset({"text_data", "bytes_data"})
    return frozenset(name for name in ("text_data", "bytes_data") if _binds(signature, name))


def _binds(signature: inspect.Signature, name: str) -> bool:
    try:
        signature.bind(None, **{name: None})  # None stands for self
    except TypeError:
        return False
    return True


def check_background_function(function: object) -> None:
    if inspect.iscoroutine(function):
        function.close()  # it would warn that it was never awaited
    if not callable(function):
        raise TypeError(
            "start_background_task() takes an async function and its arguments, as in "
            f"start_background_task(self.push, 'news'), not {function!r}"
        )
