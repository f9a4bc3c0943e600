"""What is no endpoint of FastAPI's, which takes any callable for one: told to say so when it is called as one.

FastAPI reads the signature. It would take the parameters for required ones of the query, and reject every client
without a word. Where they are annotated as a connection, it passes that, and what it has called can say what to write.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

from starlette.endpoints import WebSocketEndpoint
from starlette.requests import HTTPConnection


def refuse_fastapi(called: Callable[..., Any]) -> None:
    """Annotate the parameters of a method, but the first, so that FastAPI passes the connection to one of them."""
    called.__annotations__ = dict.fromkeys([*inspect.signature(called).parameters][1:], HTTPConnection)


def is_fastapis(called_with: Mapping[str, Any]) -> bool:
    """Tell whether FastAPI has made a call, by its keyword arguments."""
    return any(isinstance(value, HTTPConnection) for value in called_with.values())


def refuse_route(name: str, method: str, called_with: tuple[Any, ...], initkwargs: Mapping[str, Any]) -> None:
    """Raise TypeError if one of a consumer class's own methods was called with what a route passes to an endpoint.

    Args:
        name: the class's name.
        method: the method's name, which makes an endpoint and takes none but keyword arguments.
        called_with: its positional arguments.
        initkwargs: its keyword arguments.
    """
    if is_fastapis(initkwargs) or isinstance(next(iter(called_with), None), dict | HTTPConnection):
        raise TypeError(f"{name}.{method} is a method, not an ASGI application: write {name}.{method}()")
    if called_with:
        raise TypeError(
            f"{name}.{method}() takes arguments for {name}.__init__(), each by its name; "
            f"got {called_with[0]!r:.80} without one"
        )


class StarletteEndpoint(WebSocketEndpoint):
    """A class that is an endpoint of Starlette's, and not of FastAPI's."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if StarletteEndpoint in cls.__bases__:
            refuse_fastapi(cls.__init__)  # which some versions of Python read, and others __new__()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse to be an endpoint of FastAPI's."""
        if is_fastapis(kwargs):
            name = cls.__name__
            raise TypeError(
                f"{name} is an endpoint of Starlette's, not of FastAPI's: "
                f"write app.router.routes.append(WebSocketRoute(path, {name}))"
            )
        return super().__new__(cls)


refuse_fastapi(StarletteEndpoint.__new__)
