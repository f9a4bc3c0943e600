"""What `as_endpoint()` makes: a function that FastAPI calls with the solved parameters of `connect()`.

FastAPI reads a function's signature and calls it with keyword arguments. Nothing of FastAPI is imported for that.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from ._checks import connecting
from ._checks.misused import refuse_fastapi, refuse_route
from ._connection.dispatch import table_of

logger = logging.getLogger("consumers.connection")

Endpoint = Callable[..., Coroutine[Any, Any, None]]

CONNECTION = "connection_of_the_consumer"
"""The parameter that FastAPI passes the WebSocket in."""

_BY_NAME = inspect.Parameter.KEYWORD_ONLY

IN_PLACE_OF: dict[type, str] = {
    WebSocket: "self.accept(), self.send() and self.close(), and read self.scope or self.headers",
    HTTPConnection: "self.headers, self.cookies, self.query_params, self.path_params or self.scope",
    BackgroundTask: "self.start_background_task(function)",
    Response: "self.accept(headers=...) or self.deny(status, body, headers)",
}
"""What a consumer writes where an endpoint of FastAPI's has a parameter of these types."""


class Connectable:
    """A consumer with a `connect()`, whose parameters a route's path or FastAPI fills."""

    @classmethod
    def as_endpoint(cls: Any, *called_by_a_route: Any, **initkwargs: Any) -> Endpoint:
        """Return an endpoint for FastAPI, which fills the parameters of `connect()`.

        For `app.add_api_websocket_route(path, ...)`, `app.websocket(path)(...)` and the same of an `APIRouter`. Each
        connection gets a new consumer, made with `initkwargs`.

        Args:
            called_by_a_route: nothing; a route that takes the method itself for its endpoint is refused.
            initkwargs: what `__init__()` of each consumer gets.

        Raises:
            TypeError: as of `as_asgi()`; or a parameter of `connect()` is a `WebSocket`, for instance, or has an
                annotation with an unknown name.
            ValueError: as of `as_asgi()`.
        """
        refuse_route(cls.__name__, "as_endpoint", called_by_a_route, initkwargs)
        return _endpoint(cls._application(initkwargs, by_fastapi=True))

    def _arguments_of_connect(self: Any) -> dict[str, Any]:
        """Return the arguments of `connect()`."""
        if self._given_to_connect is not None:
            return self._given_to_connect  # type: ignore[no-any-return]
        names = table_of(type(self)).connects_with
        return connecting.from_path(type(self), names, self.scope["url_route"]["kwargs"]) if names else {}


refuse_fastapi(Connectable.as_endpoint.__func__)  # type: ignore[attr-defined]


def _endpoint(application: Any) -> Endpoint:
    """Return the function that FastAPI calls; `application` is the consumer's."""
    consumer_class = application.consumer_class
    name = consumer_class.__name__

    async def endpoint(*args: Any, **given: Any) -> None:
        websocket = given.pop(CONNECTION, None)
        if args or not isinstance(websocket, WebSocket):
            raise TypeError(
                f"{name}.as_endpoint() is for FastAPI's app.add_api_websocket_route() and app.websocket(): "
                f"write {name}.as_asgi() elsewhere"
            )
        if websocket.application_state is WebSocketState.DISCONNECTED:
            logger.info("%s: a dependency has closed %.200r", name, websocket.scope.get("path"))
            return
        if websocket.client_state is not WebSocketState.CONNECTING:
            raise RuntimeError(
                f"a dependency of {name}.connect() has accepted or read the WebSocket: leave that to the consumer"
            )
        await application.serve(websocket.scope, websocket.receive, websocket.send, given)

    endpoint.__signature__ = signature_of(consumer_class)  # type: ignore[attr-defined]
    functools.update_wrapper(endpoint, consumer_class, updated=())
    del endpoint.__wrapped__  # type: ignore[attr-defined]  # who looks there would take this for a class
    endpoint.consumer_class = consumer_class  # type: ignore[attr-defined]
    endpoint.consumer_initkwargs = application.consumer_initkwargs  # type: ignore[attr-defined]
    return endpoint


def signature_of(consumer_class: type) -> inspect.Signature:
    """Return what FastAPI is to read: the parameters of a consumer's `connect()`, and the connection.

    Raises:
        TypeError: a parameter cannot be filled, or has an annotation with an unknown name.
    """
    listed = [inspect.Parameter(CONNECTION, _BY_NAME, annotation=WebSocket)]
    for taken in connecting.parameters(consumer_class).values():
        annotation = _resolved(consumer_class.__name__, taken)
        parameter = taken.parameter.replace(kind=_BY_NAME, annotation=annotation)
        if not any(connecting.fastapis(parameter)):
            _refuse(consumer_class.__name__, parameter.name, annotation)
        listed.append(parameter)
    return inspect.Signature(listed)


def _resolved(name: str, taken: connecting.Taken) -> Any:
    parameter = taken.parameter
    try:
        return taken.resolved()
    except NameError as error:
        raise TypeError(
            f"{name}.connect(): {error}, in the annotation {parameter.annotation!r} of {parameter.name}: define it at "
            f"the top of the module, or call {name}.as_endpoint() in the function that defines it"
        ) from None


def _refuse(name: str, parameter: str, annotation: Any) -> None:
    """Raise TypeError for a parameter that a consumer has in another way."""
    for kind in _kinds(annotation):
        for base, instead in IN_PLACE_OF.items():
            if issubclass(kind, base):
                raise TypeError(f"{name}.connect() cannot have {parameter}, a {kind.__name__}: use {instead}")


def _kinds(annotation: Any) -> Iterator[type]:
    """Yield the classes that an annotation names, of a union all."""
    if get_origin(annotation) is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif isinstance(annotation, type) and get_origin(annotation) is None:
        yield annotation
    elif get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _kinds(each)
