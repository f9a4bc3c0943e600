"""What is clearly no ASGI application, found when a router is made and not when a client arrives."""

import inspect
from types import FunctionType, MethodType
from typing import Any

from .wrappers import unbound


def require_application(application: Any, place: str, takes_instances: bool = True) -> None:
    """Raise TypeError, saying what to write, if `application` is clearly no ASGI application.

    Args:
        application: what the user gave.
        place: where, for the message.
        takes_instances: whether it may be an instance of a consumer, which natively serves one connection only.
    """
    kind = type(application)  # not isinstance(), which may run the application's code
    if issubclass(kind, type) and unbound(application, "as_asgi"):
        name = application.__name__
        raise TypeError(f"{place}: {name} is a class, not an ASGI application: write {name}.as_asgi()")
    if kind is FunctionType and "consumer_class" in vars(application):
        name = application.consumer_class.__name__
        raise TypeError(f"{place}: {name}.as_endpoint() is for FastAPI: write {name}.as_asgi()")
    if kind is MethodType and maker(application):
        name = application.__self__.__name__
        raise TypeError(f"{place}: {name}.as_asgi is a method, not an ASGI application: write {name}.as_asgi()")
    if not takes_instances and unbound(kind, "as_asgi"):
        name = kind.__name__
        raise TypeError(f"{place}: {name}() would serve a single connection: write {name}.as_asgi()")
    if issubclass(kind, list | tuple):
        raise TypeError(f"{place}: a list is no ASGI application: write URLRouter([...]) around a list of routes")
    if not callable(application):
        raise TypeError(f"{place}: {application!r} is no ASGI application, such as ChatConsumer.as_asgi()")
    _require_signature(application, place)


def maker(method: MethodType) -> str | None:
    """Return the name of a consumer class' `as_asgi` or `as_endpoint`, if a method is one, which was not called."""
    name = getattr(method.__func__, "__name__", "")
    return name if issubclass(type(method.__self__), type) and name in ("as_asgi", "as_endpoint") else None


def _require_signature(application: Any, place: str) -> None:
    """Raise TypeError if it cannot be called with a scope, `receive` and `send`."""
    function, bound = _called(application)
    if type(function) is not FunctionType or "__signature__" in vars(function):
        return
    signature = inspect.signature(function, follow_wrapped=False)  # not what a decorator hides
    try:
        signature.bind(*[None] * (bound + 3))
        return
    except TypeError:
        pass
    takes = list(signature.parameters)[bound:]
    name = function.__qualname__.rpartition("<locals>.")[2]
    if issubclass(type(application), type):
        name = application.__name__
        instead = f"{name}({takes[0]})" if len(takes) == 1 else f"an instance, {name}(...)"
        raise TypeError(f"{place}: {name} is a class, not an ASGI application: write {instead}")
    raise TypeError(f"{place}: {name}({', '.join(takes)}) is no ASGI application, which takes (scope, receive, send)")


def _called(application: Any) -> tuple[object, int]:
    """Return the function that a call runs, and how many arguments it has beside the call's.

    It is looked up without running anything: an application may be a proxy for what is not there yet.
    """
    kind = type(application)
    if kind is FunctionType:
        return application, 0
    if kind is MethodType:
        return application.__func__, 1
    if not issubclass(kind, type):
        return unbound(kind, "__call__"), 1
    makes = unbound(kind, "__call__") is unbound(type, "__call__") and unbound(application, "__new__") is object.__new__
    return (unbound(application, "__init__") if makes else None), 1
