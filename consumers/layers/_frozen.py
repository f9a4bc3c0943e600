"""Values that all members of a group share, and that refuse changes for that reason.

They are dicts and lists, and so they are JSON.
"""

from typing import Any, ClassVar, NoReturn


class FrozenDict(dict[str, Any]):
    """A dict that refuses changes."""

    _what: ClassVar[str] = "this dict"

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(f"{self._what} is shared by all members of the group: copy it with dict() to change it")

    __setitem__ = __delitem__ = update = setdefault = pop = popitem = clear = __ior__ = _refuse

    def __copy__(self) -> "FrozenDict":
        return self

    def __deepcopy__(self, _: object) -> "FrozenDict":
        return self

    def __reduce__(self) -> Any:
        return type(self), (dict(self),)


class FrozenList(list[Any]):
    """A list that refuses changes."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this list is shared by all members of the group: copy it with list() to change it")

    __setitem__ = __delitem__ = append = extend = insert = pop = remove = clear = sort = reverse = _refuse
    __iadd__ = __imul__ = _refuse

    def __copy__(self) -> "FrozenList":
        return self

    def __deepcopy__(self, _: object) -> "FrozenList":
        return self

    def __reduce__(self) -> Any:
        return type(self), (list(self),)


def frozen(value: Any) -> Any:
    """Return a value of JSON's that refuses changes, however deep."""
    if isinstance(value, dict):
        return FrozenDict((key, frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return FrozenList(map(frozen, value))
    return value
