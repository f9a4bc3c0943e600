"""The observer in force, and calls that one sees.

Whoever begins a connection, or takes a layer into use, looks at `observer`. A connection that has begun without one is
never observed.
"""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from .types import CallObserver, Observer

P = ParamSpec("P")
R = TypeVar("R")

observer: Observer | None = None
"""The one in force; None: nobody observes."""


def observe(new: Observer | None) -> None:
    """Have this observer see what begins from now on, in place of the one before; None: nobody does."""
    global observer
    observer = new


def observed(sees: CallObserver | None, name: str, method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Return an asynchronous method as one whose calls are seen; without an observer it is the method itself.

    Args:
        sees: the observer.
        name: the method's name, whatever a decorator has made of it.
        method: the method, bound to its object.
    """
    if sees is None:
        return method
    observer = sees

    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        ends = observer.begins(name)
        try:
            result = await method(*args, **kwargs)
        except BaseException as error:
            ends(error)
            raise
        ends(None)
        return result

    call.__name__ = name
    vars(call)["__wrapped__"] = method  # for its signature
    return call


def observed_plain(sees: CallObserver, name: str, method: Callable[P, R]) -> Callable[P, R]:
    """Return a plain method as one whose calls are seen; see `observed()`."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        ends = sees.begins(name)
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            ends(error)
            raise
        ends(None)
        return result

    call.__name__ = name
    vars(call)["__wrapped__"] = method  # for its signature
    return call
