"""What a subclass replaces of this package's classes."""

from collections.abc import Mapping

PACKAGES = frozenset({"consumers", "compat"})

RULES_FOR_NAMES = ("require_valid_channel_name", "require_valid_group_name", "match_type_and_length")

AGAINST_HISTORY = dict.fromkeys(
    ("attach", "send", "receive", "new_channel"),
    "what groups with history keep does not go through it, so leave `history` out, or the override",
)
"""Methods that a subclass may not override whose groups have a history, and what to do instead."""


def overrides(cls: type, *names: str) -> bool:
    """Tell whether a class has one of these methods from outside of this library's packages."""
    return any(_is_foreign(base) for name in names if (base := _definer(cls, name)) is not None)


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
