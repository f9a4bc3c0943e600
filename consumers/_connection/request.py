"""What a consumer reads of the request that opened its connection, under Starlette's names."""

from typing import Any, Generic, TypeVar, overload

from starlette.datastructures import Headers, QueryParams
from starlette.requests import HTTPConnection

from . import events
from .framework import let_own_win

T = TypeVar("T")


class OfRequest(Generic[T]):
    """An attribute of Starlette's `HTTPConnection`, read from the consumer's scope whenever it is asked for.

    It has no `__set__`: what the application assigns on the instance wins, as what its class defines does.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, consumer: None, owner: type) -> "OfRequest[T]": ...

    @overload
    def __get__(self, consumer: Any, owner: type) -> T: ...

    def __get__(self, consumer: Any, owner: type) -> "OfRequest[T] | T":
        if consumer is None:
            return self
        scope = consumer.scope
        # HTTPConnection wants all of these. A test's scope, or a worker's, may have less.
        whole = {"headers": (), "query_string": b"", **scope, "type": "http"}
        value: T = getattr(HTTPConnection({**whole, "path_params": events.url_route(scope)["kwargs"]}), self._name)
        return value


class RequestAttributes:
    """The attributes of the request that opened the connection. An application's own of the same name win."""

    path_params = OfRequest[dict[str, Any]]()
    """The parameters of the route's path, a dict: `self.path_params["room"]`."""

    query_params = OfRequest[QueryParams]()
    """The parameters of the URL's query, Starlette's `QueryParams`: `self.query_params.get("page")`."""

    headers = OfRequest[Headers]()
    """The request's headers, Starlette's `Headers`, in which case does not matter: `self.headers.get("User-Agent")`."""

    cookies = OfRequest[dict[str, str]]()
    """The request's cookies, a dict: `self.cookies.get("session")`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let what an application's class defines win where that stands behind the framework's among its bases."""
        super().__init_subclass__(**kwargs)
        let_own_win(cls, (name for name, value in vars(RequestAttributes).items() if isinstance(value, OfRequest)))
