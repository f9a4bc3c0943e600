"""What a subclass replaces of this package's classes, and how its consumers therefore get their messages.

Ours hand messages over by `attach()`, which goes past `receive()` and `new_channel()`. Where an application has its
own, they are called as in Channels: the connection asks for a channel, and pumps it.
"""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

PACKAGES = frozenset({"consumers", "compat"})

RULES_FOR_NAMES = ("require_valid_channel_name", "require_valid_group_name", "match_type_and_length")

_pumped: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def overrides(cls: type, *names: str) -> bool:
    """Tell whether a class has one of these methods from outside of this library's packages."""
    return any(_is_foreign(base) for name in names if (base := _definer(cls, name)) is not None)


def is_pumped(layer: Any) -> bool:
    """Tell whether a layer's consumers are to call its `new_channel()` and `receive()`, instead of being attached."""
    cls = type(layer)
    found = _pumped.get(cls)
    if found is None:
        found = _pumped[cls] = overrides(cls, "receive", "new_channel") and not overrides(cls, "attach")
    return found or not hasattr(layer, "attach")


def refuse(cls: type, instead: Mapping[str, str]) -> None:
    """Check that a class overrides nothing that is never called.

    Args:
        cls: the class.
        instead: what to do instead, by the methods' names.

    Raises:
        TypeError: if it does.
    """
    for name, advice in instead.items():
        if overrides(cls, name):
            raise TypeError(f"{cls.__name__} overrides {name}(), which nothing calls here: {advice}")


def _definer(cls: type, name: str) -> type | None:
    return next((base for base in cls.__mro__ if name in vars(base)), None)


def _is_foreign(cls: type) -> bool:
    return cls.__module__.partition(".")[0] not in PACKAGES
