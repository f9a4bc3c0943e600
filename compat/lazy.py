"""The base of what stands in a scope before it is known: Django's LazyObject, or a small one of the same kind."""

from typing import TYPE_CHECKING, Any

from .conf import has_django

if TYPE_CHECKING or not has_django():

    class LazyObject:
        """Stands for `_wrapped`, once that is set; before, `_setup()` has to set it or to raise."""

        _wrapped: Any

        def __init__(self) -> None:
            self.__dict__["_wrapped"] = None

        def _setup(self) -> None:
            raise NotImplementedError(f"{type(self).__name__} has no _setup()")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._object(), name)

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "_wrapped":
                self.__dict__["_wrapped"] = value
            else:
                setattr(self._object(), name, value)

        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            return self._object().__class__

        def __eq__(self, other: object) -> bool:
            return bool(self._object() == other)

        def __hash__(self) -> int:
            return hash(self._object())

        def __bool__(self) -> bool:
            return bool(self._object())

        def __str__(self) -> str:
            return str(self._object())

        def _object(self) -> Any:
            if self._wrapped is None:
                self._setup()
            return self._wrapped

else:
    from django.utils.functional import LazyObject as LazyObject
