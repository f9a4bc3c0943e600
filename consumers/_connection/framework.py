"""Which classes are the framework's own, and what an application defines in their place."""

from collections.abc import Iterable

FRAMEWORK_PACKAGES = frozenset({"consumers", "compat"})


def is_framework(consumer_class: type) -> bool:
    """Tell whether a class is the framework's own."""
    return consumer_class.__module__.partition(".")[0] in FRAMEWORK_PACKAGES


def definers(consumer_class: type, name: str) -> list[type]:
    """Return the classes that an attribute is defined in, the one that counts first."""
    return [base for base in consumer_class.__mro__ if name in vars(base)]


def let_own_win(consumer_class: type, names: Iterable[str]) -> None:
    """Let what an application's class defines win where that stands behind the framework's among its bases.

    Args:
        consumer_class: a class that is being made.
        names: the attributes. They came after applications were written, which may have had such names before.
    """
    for name in names:
        found = definers(consumer_class, name)
        own = [base for base in found if not is_framework(base)]
        if own and own[0] is not found[0]:
            setattr(consumer_class, name, vars(own[0])[name])
