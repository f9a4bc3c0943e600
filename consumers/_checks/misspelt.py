"""Class attributes that are an option's name, misspelt: nothing would read them, and nothing would say so.

An application has names of its own, and some are close to an option's: `group`, `rate_limits`. So a name is suspected
only if it is one slip away from an option, if its value could be that option's, and if no code beside it reads it.
"""

import dis
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from ..limits import COUNTS, NUMBERS

LONG_NAME = 14
"""Characters from which on a name may be two slips away from an option's."""

COLLECTIONS = (list, tuple, set, frozenset)

LOOKS_UP = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "STORE_ATTR"})
"""The instructions by which code uses an attribute. A class's body only stores it, as a name."""

NAMES = frozenset({"LOAD_NAME", "LOAD_CONST"})
"""Those by which a class's own code may use one too, as in `getattr(self, "name")`."""


def options(framework: type) -> dict[str, Any]:
    """Return the options of one of the framework's classes, by name, with their defaults."""
    return {
        name: getattr(framework, name)
        for base in framework.__mro__
        for name in inspect.get_annotations(base)
        if not name.startswith("_") and name in vars(base)
    }


def misspelt(consumer_class: type, framework: type) -> Iterator[tuple[type, str, str]]:
    """Yield the class, the name and the option that was meant, for each class attribute that seems misspelt.

    Args:
        consumer_class: the application's class.
        framework: the framework's class that it derives from.
    """
    known = options(framework)
    for base in consumer_class.__mro__:
        for name, value in () if base in framework.__mro__ else vars(base).items():
            if name.startswith("_") or name.isupper() or hasattr(framework, name):
                continue
            option = closest(name, known)
            if option is not None and _fits(value, option, known[option]) and not is_read(name, consumer_class):
                yield base, name, option


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of the known names that `name` is a misspelling of, or None."""
    return next((option for option in known if option != name and _is_slip(name, option)), None)


def _is_slip(name: str, option: str) -> bool:
    words, meant = name.lower().split("_"), option.split("_")
    if "".join(words) == "".join(meant) or sorted(words) == sorted(meant):  # ratelimit, maxTasks, limit_rate
        return True
    if len(meant) == 1:  # `group` and `grouped` are words of their own; `gruops` is none
        return len(name) == len(option) and sorted(name) == sorted(option) and _distance(name, option) == 1
    if [word[:1] for word in words] != [word[:1] for word in meant]:  # nobody mistypes those: end_timeout, date_limit
        return False
    return _distance(name.lower(), option) <= (2 if len(option) >= LONG_NAME else 1)


def is_typo(name: str, word: str) -> bool:
    """Tell whether a name is a word with one letter wrong, and not a form of it: `recieve`, but not `received`."""
    same_ends = (name[0], name[-1]) == (word[0], word[-1])
    return name != word and same_ends and _distance(name, word) == 1


def _distance(one: str, other: str) -> int:
    """Count the letters that are missing, superfluous, wrong, or in the place of their neighbour."""
    before: list[int] = []
    above = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            least = min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                least = min(least, before[j - 2] + 1)
            row.append(least)
        before, above = above, row
    return above[-1]


def _fits(value: object, option: str, default: object) -> bool:
    """Tell whether a value could be the option's."""
    if option == "groups":
        return isinstance(value, COLLECTIONS)
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, str):
        return isinstance(value, str)
    is_number = option in COUNTS or option in NUMBERS or isinstance(default, int | float)
    return is_number and isinstance(value, int | float) and not isinstance(value, bool)


def is_read(name: str, consumer_class: type) -> bool:
    """Tell whether the class's code, or its modules', reads an attribute of this name: then it is the application's."""
    own = {cls.__module__ for cls in consumer_class.__mro__} - {"builtins"}
    theirs = {path for path in own if path.partition(".")[0] != "consumers"}
    modules = [sys.modules[path] for path in theirs if path in sys.modules]
    near = [value for module in modules for value in vars(module).copy().values()]
    return any(_reads(code, name, LOOKS_UP | NAMES) for code in _codes(consumer_class.__mro__, own)) or any(
        _reads(code, name, LOOKS_UP) for code in _codes(near, theirs)
    )


def _codes(values: Iterable[Any], modules: set[str]) -> Iterator[CodeType]:
    """Yield the code of functions and of classes' methods. None of it runs: a value may be a proxy."""
    waiting, seen = list(values), set[int]()
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if kind is FunctionType:
            yield value.__code__
        elif issubclass(kind, type) and value.__module__ in modules:
            waiting += vars(value).values()
        elif kind in (staticmethod, classmethod):
            waiting.append(value.__func__)
        elif kind is property:
            waiting += (value.fget, value.fset)


def _reads(code: CodeType, name: str, ways: frozenset[str]) -> bool:
    if any(found.argval == name and found.opname in ways for found in dis.get_instructions(code)):
        return True
    return any(_reads(inner, name, ways) for inner in code.co_consts if isinstance(inner, CodeType))
