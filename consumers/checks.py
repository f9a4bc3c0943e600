"""Mistakes in a consumer class, found when `as_asgi()` is called and not when a client arrives."""

import inspect
from collections.abc import Callable
from typing import Any

HOOKS = ("connect", "receive", "receive_json", "disconnect", "handle")
"""The methods that applications override and the framework calls."""


def check_attributes(consumer_class: Any) -> None:
    """Raise ValueError for a class attribute that cannot work, before a client finds out."""
    for name in ("max_tasks", "inbox_limit"):
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


def check_hooks(consumer_class: type, sync: bool) -> None:
    """Raise TypeError for an overridden method that the framework cannot call, before a client finds out."""
    for name in HOOKS:
        hook = getattr(consumer_class, name, None)
        method = f"{consumer_class.__name__}.{name}()"
        if sync and inspect.iscoroutinefunction(hook):
            raise TypeError(f"{method} must be a plain `def`: this is a sync consumer")
        # A decorator may well return a plain function that returns a coroutine: only a literal `def` is wrong.
        is_plain = inspect.isfunction(hook) and not inspect.iscoroutinefunction(hook) and hook.__code__.co_name == name
        if not sync and is_plain:
            raise TypeError(f"{method} must be `async def`: this is an async consumer")
    receive = getattr(consumer_class, "receive", None)
    if receive is not None and not {"text_data", "bytes_data"} & takes(receive):
        raise TypeError(f"{consumer_class.__name__}.receive() must take text_data, bytes_data or both, by these names")


def takes(function: Callable[..., Any]) -> set[str]:
    """Return which of the frame arguments, text_data and bytes_data, can be passed to `function` by name."""
    parameters = inspect.signature(function).parameters
    names = {"text_data", "bytes_data"}
    return names if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else names & set(parameters)


def check_background_function(function: object) -> None:
    if inspect.iscoroutine(function):
        function.close()  # it would warn that it was never awaited
    if not callable(function):
        raise TypeError(
            "start_background_task() takes an async function and its arguments, as in "
            f"start_background_task(self.push, 'news'), not {function!r}"
        )
