"""Lets an observer see the operations on a layer.

Our layers mark their operations with `operation`, and call the observer themselves. A layer that has operations of
others' making cannot: its object gets methods in front of its own, which do.
"""

import functools
import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar, cast

from .._observing import observed, observed_plain
from ..types import CallObserver
from ._overrides import overrides
from .base import BaseChannelLayer

F = TypeVar("F", bound=Callable[..., Any])

OPERATIONS = {
    "send": "send",
    "send_sync": "send",
    "group_send": "group_send",
    "group_send_sync": "group_send",
    "group_add": "group_add",
    "group_discard": "group_discard",
    "close_group": "close_group",
    "close_group_sync": "close_group",
}
"""The methods that are seen, and under which names; `receive()` is not one: it waits for others."""


def operation(method: F) -> F:
    """Make a method of a layer of ours an operation that the layer's observer sees. It stays a function of its kind."""
    name = OPERATIONS[method.__name__]

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if layer._observer is None:
                return await method(layer, *args, **kwargs)
            return await observed(layer._observer, name, MethodType(method, layer))(*args, **kwargs)

    else:

        @functools.wraps(method)
        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if layer._observer is None:
                return method(layer, *args, **kwargs)
            return observed_plain(layer._observer, name, MethodType(method, layer))(*args, **kwargs)

    return cast(F, call)


def observe(layer: Any, sees: CallObserver) -> None:
    """Have the operations on a layer seen, until `release()`; once more does it anew.

    Raises:
        AttributeError, TypeError: it is a foreign layer whose object takes no attributes.
    """
    if _sees_to_it(layer):
        layer._observer = sees
    else:
        _put_in_front(layer, sees)


def release(layer: Any) -> None:
    """Have them seen no more."""
    attributes = getattr(layer, "__dict__", {})
    attributes.pop("_observer", None)
    for name in OPERATIONS:
        if isinstance(in_front_of := getattr(attributes.get(name), "in_front_of", None), dict):
            del attributes[name]
            attributes.update(in_front_of)


def _sees_to_it(layer: Any) -> bool:
    """Tell whether all of a layer's operations are ours, so that it calls its observer itself."""
    is_ours = isinstance(layer, BaseChannelLayer) and not overrides(type(layer), *OPERATIONS)
    return is_ours and not OPERATIONS.keys() & vars(layer).keys()


def _put_in_front(layer: Any, sees: CallObserver) -> None:
    """Put methods in front of a foreign layer's: it knows of no observer, and stays the object that it was."""
    own = dict(getattr(layer, "__dict__", {}))
    for name, operation_name in OPERATIONS.items():
        method = getattr(layer, name, None)
        if callable(method):
            observes = observed_plain if name.endswith("_sync") else observed
            seen: Any = observes(sees, operation_name, method)
            seen.in_front_of = {name: own[name]} if name in own else {}
            setattr(layer, name, seen)
