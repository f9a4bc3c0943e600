"""Lets an observer see the operations on a layer.

Our layers mark their operations with `operation`, and call the observer themselves. A layer that has operations of
others' making cannot: its object gets methods in front of its own, which do.
"""

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


class _Operation:
    """A method of a layer. Without an observer it is found as if this were not there, and no call of it is dearer."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self._name = OPERATIONS[method.__name__]
        self._observes = observed if inspect.iscoroutinefunction(method) else observed_plain

    def __get__(self, layer: Any, owner: type) -> Any:
        if layer is None:
            return self._method
        method = MethodType(self._method, layer)
        return method if layer._observer is None else self._observes(layer._observer, self._name, method)


def operation(method: F) -> F:
    """Mark a method of a layer of ours as an operation that the layer's observer sees."""
    return cast(F, _Operation(method))


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
