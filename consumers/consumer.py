"""The base consumers: an ASGI application that sends every message to the method its type names."""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self, TypeVar, TypeVarTuple

import anyio
from asgiref.sync import markcoroutinefunction
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Router
from starlette.websockets import WebSocket, WebSocketClose

from . import _sync, limits
from ._checks import classes
from ._checks.misused import is_fastapis, refuse_fastapi, refuse_route
from ._connection import events, open_connections
from ._connection.answer import Answer
from ._connection.connection import Connection
from ._connection.dispatch import table_of
from ._connection.framework import is_framework
from ._connection.groups import GroupMethods, PlainGroupMethods
from .layers.base import Layer
from .layers.registry import get_channel_layer, lifespan
from .limits import Limits
from .types import Message, Receive, Scope, Send, handler_name, hook, hook_of_both

logger = logging.getLogger("consumers.connection")

_BY_NAME = inspect.Parameter.KEYWORD_ONLY

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

OPENING_HANDLERS = {"http": "http_request", "websocket": "websocket_connect"}


class ConsumerApplication:
    """The ASGI application that `as_asgi()` returns: one new consumer for every connection.

    It is an endpoint of FastAPI's too: `app.websocket("/ws")(ChatConsumer.as_asgi())`, or `app.get()` for an HTTP
    consumer. FastAPI reads the signature, and passes the connection as the one argument.

    Attributes:
        consumer_class: the consumer's class.
        consumer_initkwargs: the keyword arguments every instance is made with.
    """

    __signature__ = inspect.Signature([inspect.Parameter("scope", _BY_NAME, annotation=HTTPConnection)])

    def __init__(
        self, consumer_class: "type[AsyncConsumer]", initkwargs: dict[str, Any], by_fastapi: bool = False
    ) -> None:
        classes.check_attributes(consumer_class)
        limits.check(consumer_class)
        framework = next(base for base in consumer_class.__mro__ if is_framework(base))
        classes.check_options(consumer_class, framework)
        classes.check_uncalled(consumer_class, framework)
        classes.check_initkwargs(consumer_class, framework, initkwargs, by_fastapi)
        classes.check_hooks(consumer_class, framework, issubclass(consumer_class, SyncConsumer), by_fastapi)
        consumer_class._check_class()
        functools.update_wrapper(self, consumer_class, updated=())
        del self.__wrapped__  # type: ignore[attr-defined]  # who looks there would take this for a class
        markcoroutinefunction(self)  # for Django, which calls what is none in a thread
        self.consumer_class = consumer_class
        self.consumer_initkwargs = initkwargs

    async def __call__(self, scope: Any, receive: Receive | None = None, send: Send | None = None, **more: Any) -> Any:
        """Serve one connection; also the server's lifespan, when this is the whole application.

        Args:
            scope: the connection's ASGI scope; or, called as an endpoint of FastAPI's, the connection itself.
            receive: the server's ASGI `receive`.
            send: the server's ASGI `send`.
            more: nothing.

        Returns:
            As FastAPI's endpoint for HTTP, the response; else None.

        Raises:
            TypeError: it is called in another way, as Django calls what is in its `urlpatterns`.
        """
        if receive is None and isinstance(scope, WebSocket):
            scope, receive, send = scope.scope, scope.receive, scope.send
        if receive is None and isinstance(scope, Request):
            return Answer(self)
        if receive is None or send is None or more:
            raise TypeError(
                f"{self!r} was called as a view, with {type(scope).__name__}, but is an ASGI application: "
                "route it in a URLRouter, not in Django's urlpatterns"
            )
        if scope["type"] == "lifespan":
            await Router(lifespan=lifespan)(scope, receive, send)
        elif not self._speaks(scope["type"]):
            await self._refuse(scope, receive, send)
        else:
            await self.serve(scope, receive, send)
        return None

    def serve(self, scope: Scope, receive: Receive, send: Send, given: dict[str, Any] | None = None) -> Awaitable[Any]:
        """Make a consumer and serve one connection, without a coroutine of its own, which each message would pass.

        Args:
            scope, receive, send: the connection's.
            given: the arguments of `connect()`; None: those that the path has.
        """
        if scope["type"] == "websocket" and (here := open_connections.here()).reason is not None:
            return here.refuses(scope, send)
        consumer = self.consumer_class(**self.consumer_initkwargs)
        if given is not None:
            consumer._given_to_connect = given
        if self.consumer_class.__call__ is self.consumer_class._plain_call:
            return consumer._run_connection(scope, receive, send)
        return consumer(scope, receive, send)

    def _speaks(self, protocol: str) -> bool:
        """Tell whether the consumer has a handler for what opens a connection of this protocol."""
        consumer = self.consumer_class
        return (
            protocol not in OPENING_HANDLERS
            or hasattr(consumer, OPENING_HANDLERS[protocol])
            or consumer.strict_types
            or consumer.dispatch not in (AsyncConsumer.dispatch, SyncConsumer.dispatch)
        )

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        logger.info("%r does not speak %s: %.200r refused", self, scope["type"], scope.get("path"))
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            text = "This is a WebSocket endpoint.\n"
            await PlainTextResponse(text, 426, headers={"upgrade": "websocket"})(scope, receive, send)

    def __repr__(self) -> str:
        return f"{self.consumer_class.__qualname__}.as_asgi()"


class AsyncConsumer(GroupMethods, Limits):
    """A consumer whose methods are coroutines: a message of type `chat.message` goes to `chat_message(message)`.

    The further limits, which are off, are those of `consumers.limits.Limits`.
    """

    channel_layer_alias: ClassVar[str] = "default"
    """Which channel layer to use."""

    max_tasks: int = 1
    """How many handlers run at once. 1, the default: strictly in order of arrival."""

    inbox_limit: int = 100
    """How many of the client's messages may wait before reading stops (100)."""

    inbox_bytes: int = 4 * 1024 * 1024
    """Bytes of the client's messages that may wait or be handled before reading stops (4 MiB). A larger one is read."""

    disconnect_timeout: float = 10.0
    """Seconds that handlers have to finish after the client's disconnect (10.0)."""

    cleanup_timeout: float = 60.0
    """Seconds that the rest of an ending has, `disconnect()` included (60.0)."""

    stall_timeout: float = 30.0
    """Seconds that reading may stop before the connection is closed with 1013 (30.0)."""

    overflow: Literal["drop", "close"] = "drop"
    """What happens when more layer messages wait than the layer's capacity.

    "drop", the default, drops the message. "close" closes the connection with 1013.
    """

    strict_types: bool = False
    """Raise ValueError for a layer message without a handler, as Channels does, instead of dropping it (False)."""

    shared_frames: bool = True
    """Let what many members of a group get go past their handlers, and past middleware, where the server can (True)."""

    raw_frames: bool = False
    """Pass layer messages of type "websocket.send" on to the client without a handler (False).

    Their "text" or "bytes" is the frame. A class that defines `websocket_send()` gets them there. Whoever can choose a
    message's type can then choose what the client gets.
    """

    show_content: bool = False
    """Write the message too, not only its type, beneath the traceback of a handler's exception (False)."""

    scope: Scope
    """The connection's ASGI scope. `scope["url_route"]["kwargs"]` holds the path parameters."""

    channel_layer: Layer | Any  # or None; without Any, type checkers would want an assertion at every use
    """The channel layer; None if `channel_layer_alias` is not configured."""

    channel_name: str
    """The name of this connection's channel; "" without a layer."""

    base_send: Callable[[Message], Any]
    """The function that every ASGI event is sent with."""

    _given_to_connect: dict[str, Any] | None = None  # the arguments of `connect()`, if FastAPI has solved them
    _open_to_layers: ClassVar[frozenset[str]] = frozenset()  # the framework's methods that a layer's message may reach
    _closed_to_layers: ClassVar[frozenset[str]] = frozenset()  # the application's that none may reach
    _codes_as_reported: bool = False  # whether `disconnect()` gets the server's code of an application's own close
    _is_native: ClassVar[bool] = True  # else what Channels takes without a word is only logged
    _takes_early: Callable[[Message], bool] | None = None  # takes a client's message before its turn; says if it did
    _yields_between: ClassVar[int] = 0  # to the loop, between two handlers, while more messages wait

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse to be called as an ASGI application, which is what a route does with a class."""
        if is_fastapis(kwargs) or (args and isinstance(args[0], dict) and "type" in args[0]):
            raise TypeError(f"{cls.__name__} is a class, not an ASGI application: write {cls.__name__}.as_asgi()")
        return super().__new__(cls)

    @classmethod
    def as_asgi(cls, *called_by_a_route: Any, **initkwargs: Any) -> ConsumerApplication:
        """Return an ASGI application that makes a new consumer, with `initkwargs`, for every connection.

        Args:
            called_by_a_route: nothing; a route that takes the method itself for its endpoint is refused.
            initkwargs: what `__init__()` of each consumer gets.

        Raises:
            TypeError: a hook is `async def` or plain where it must be the other, or takes other arguments; `__init__()`
                does not take `initkwargs`, or needs more; or a class attribute is a misspelt option or hook.
            ValueError: a class attribute has a value that cannot work.
        """
        refuse_route(cls.__name__, "as_asgi", called_by_a_route, initkwargs)
        return cls._application(initkwargs)

    @classmethod
    def _application(cls, initkwargs: dict[str, Any], by_fastapi: bool = False) -> ConsumerApplication:
        return ConsumerApplication(cls, initkwargs, by_fastapi)

    @classmethod
    def _check_class(cls) -> None:
        """Find mistakes of a kind of consumer, when a class of it is made an application."""
        table_of(cls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI 3).

        Raises:
            RuntimeError: this instance has served one before.
            TypeError: it is called as an endpoint of FastAPI's.
        """
        if is_fastapis({"scope": scope, "receive": receive, "send": send}):
            name = type(self).__name__
            raise TypeError(f"{name}() would serve a single connection: write {name}.as_asgi()")
        await self._for_connection()._run_connection(scope, receive, send)

    _plain_call: ClassVar[Callable[..., Any]] = __call__  # while nobody replaces it, `ConsumerApplication` goes past it

    def _for_connection(self) -> Self:
        """Return the consumer that is to serve a connection which was brought to this one.

        Raises:
            RuntimeError: this one has served one before.
        """
        if hasattr(self, "_connection"):
            name = type(self).__name__
            raise RuntimeError(f"{name}() serves a single connection, and has had it: write {name}.as_asgi()")
        return self

    def _run_connection(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Serve one, without a coroutine of its own, which each message would pass through."""
        scope["url_route"] = events.url_route(scope)
        if scope.get("subprotocols"):
            scope["subprotocols"] = [name.strip() for name in scope["subprotocols"]]  # some servers leave blanks
        self.scope = scope
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        self.channel_name = ""
        self._connection = Connection(self, receive, send)
        self.base_send = self._connection.send
        return self._connection.run()

    def dispatch(self, message: Message) -> Awaitable[None]:
        """Pass `message` to the method its type names; every message comes through here.

        To be awaited, and to be overridden by an `async def`. What replaces it on an instance must be there when
        `connect()` has ended: where it is nobody's own, the rest of the connection calls handlers directly.

        Raises:
            ValueError: there is no such method.
        """
        handler = table_of(type(self)).find(self, handler_name(message)) or self._no_handler(message)
        result: Awaitable[None] | None = handler(message)
        if result is None:
            raise TypeError(
                f"{type(self).__name__}.{handler.__name__}() must be `async def`: this is an async consumer"
            )
        return result

    async def send(self, message: Message) -> None:
        """Send an ASGI event.

        Raises:
            starlette.websockets.WebSocketDisconnect: the client has gone.
        """
        await _sync.awaitable(self.base_send(message))

    @hook_of_both
    async def on_error(self, exc: Exception, message: Message | None) -> None:
        """Decide what a handler's exception does. The base raises it, which ends the connection with 1011.

        Returning normally lets the connection live on.

        Args:
            exc: what the handler raised.
            message: what it was handling; None for a background task.
        """
        raise exc

    def start_background_task(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> anyio.CancelScope:
        """Run an async function beside the handlers, until it returns or the connection ends.

        It never delays a disconnect. Its exception counts as a handler's.

        Args:
            function: the async function.
            args: its positional arguments.

        Returns:
            What stops the task by its `cancel()`. If the connection is ending, it is cancelled already.

        Raises:
            TypeError: `function` is no function, but for instance what calling it returned.
        """
        classes.check_background_function(function, is_async=True)
        return self._connection.start_background_task(function, *args)

    def _no_handler(self, message: Message) -> NoReturn:
        raise ValueError(f"No handler for message type {message['type']}")

    async def _on_error(self, exc: Exception, message: Message | None) -> None:
        await self.on_error(exc, message)


refuse_fastapi(AsyncConsumer.__new__)
refuse_fastapi(AsyncConsumer.__call__)
AsyncConsumer.__call__.__defaults__ = (None, None, None)  # FastAPI passes one argument; type checkers see three
refuse_fastapi(AsyncConsumer.as_asgi.__func__)  # type: ignore[attr-defined]


class SyncConsumer(PlainGroupMethods, AsyncConsumer):
    """A consumer whose methods are plain functions, each run whole in a worker thread. Needs asyncio."""

    thread_sensitive: bool = False
    """Run the methods in asgiref's one thread for thread-sensitive code, as Channels does (False).

    Otherwise they run in 40 threads of this library's own.
    """

    def _run_connection(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        self._threads = _sync.Threads(self.thread_sensitive)
        running = super()._run_connection(scope, receive, send)
        self._connection.threads = self._threads
        self.base_send = _sync.run_on_loop(self.base_send)
        return running

    async def dispatch(self, message: Message) -> None:
        handler = table_of(type(self)).find(self, handler_name(message)) or self._no_handler(message)
        if inspect.iscoroutinefunction(handler):
            raise TypeError(
                f"{type(self).__name__}.{handler.__name__}() must be a plain `def`: this is a sync consumer"
            )
        await self._run_in_thread(handler, message, ending=message["type"] in events.DISCONNECTS)

    if TYPE_CHECKING:

        def send(self, message: Message) -> Any: ...
    else:
        send = _sync.sync_method(AsyncConsumer.send)

    @hook
    def on_error(self, exc: Exception, message: Message | None) -> None:
        """Decide what a handler's exception does, as in `AsyncConsumer`."""
        raise exc

    def start_background_task(self, function: Callable[[*Ts], object], *args: *Ts) -> _sync.LoopScope:  # type: ignore[override]
        """Run a function beside the handlers, as in `AsyncConsumer`.

        An async function runs on the connection's event loop, and awaits `self.send()` there. A plain one runs in a
        thread, which nothing can stop: it has to return by itself.
        """
        classes.check_background_function(function)

        async def run_in_thread(*args: Any) -> None:
            if hasattr(await self._run_in_thread(function, *args), "__await__"):
                raise TypeError(f"{function!r} returned an awaitable: pass the async function itself")

        on_loop = function if inspect.iscoroutinefunction(function) else run_in_thread
        scope = self._threads.start_on_loop(lambda: self._connection.start_background_task(on_loop, *args))
        return _sync.LoopScope(scope, self._threads.loop)

    async def _on_error(self, exc: Exception, message: Message | None) -> None:
        await self._run_in_thread(self.on_error, exc, message, ending=self._connection.is_ending)

    async def _run_in_thread(self, function: Callable[..., R], *args: Any, ending: bool = False) -> R:
        return await self._threads.run(function, *args, ending=ending)
