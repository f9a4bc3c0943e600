"""The base consumers, with what Channels does differently from `consumers`.

A message of an unknown type raises, and a layer's message may stand for one of the WebSocket's. Plain functions run in
the one thread for thread-sensitive code, and old database connections are closed around every handler. The event loop
turns between two handlers.
"""

from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar, Self, TypeVar

from consumers import consumer as native
from consumers.types import CloseCode, Message, Receive, Scope, Send
from consumers.types import handler_name as get_handler_name

from . import DEFAULT_CHANNEL_LAYER as DEFAULT_CHANNEL_LAYER
from .db import aclose_old_connections, close_old_connections, database_sync_to_async, may_be_open
from .exceptions import StopConsumer
from .layers import get_channel_layer  # connects Django's CHANNEL_LAYERS setting
from .utils import await_many_dispatch

# What Channels' own module imports, projects import from it too.
__all__ = [
    "AsyncConsumer",
    "StopConsumer",
    "SyncConsumer",
    "aclose_old_connections",
    "await_many_dispatch",
    "database_sync_to_async",
    "get_channel_layer",
    "get_handler_name",
]

R = TypeVar("R")

YIELDS_BETWEEN = 6
"""How often the event loop turns between two handlers while more messages wait, as in Channels. Code may rely on it: on
a task that one handler starts to have begun before the next handler runs."""


class AsyncConsumer(native.AsyncConsumer):
    """Channels' asynchronous consumer; see `consumers.AsyncConsumer`."""

    strict_types = True
    _sync = False
    _is_native = False
    # {"type": "send.json", ...} sent to a group reaches every client as it is: a common idiom in Channels projects.
    _open_to_layers = frozenset({"websocket_connect", "websocket_receive", "websocket_disconnect", "send_json"})
    _yields_between: ClassVar[int] = YIELDS_BETWEEN
    _codes_as_reported = True
    _was_disconnected = False
    _has_ended = False  # a generic consumer's own websocket_disconnect() or http_disconnect()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; here, with Channels' signature, where the native one speaks to FastAPI."""
        await super().__call__(scope, receive, send)

    _plain_call: ClassVar[Callable[..., Any]] = __call__

    def _for_connection(self) -> Self:
        """Let an instance that is an application serve one connection after another; its attributes stay.

        While it has one, a copy of it serves the next.
        """
        if not hasattr(self, "_connection"):
            return self
        free = self if self._connection.is_done else copy(self)
        free._forget_connection()
        return free

    def _forget_connection(self) -> None:
        self._was_disconnected = self._has_ended = False

    async def dispatch(self, message: Message) -> None:
        if may_be_open():
            await aclose_old_connections()
        await super().dispatch(self._once(message))

    def _once(self, message: Message) -> Message:
        """Let one disconnect through: behind one that a layer has sent, the connection's own does nothing.

        Raises:
            ValueError: the message's type names no method.
            StopConsumer: it is the second one.
        """
        if get_handler_name(message) != "websocket_disconnect":
            return message
        if self._was_disconnected:
            raise StopConsumer
        self._was_disconnected = True
        if "code" in message and "reason" in message:
            return message
        return {
            **message,
            "code": message.get("code", CloseCode.NO_STATUS_RECEIVED),
            "reason": message.get("reason", ""),
        }


class SyncConsumer(native.SyncConsumer, AsyncConsumer):
    """Channels' consumer of plain functions; see `consumers.SyncConsumer`."""

    strict_types = True
    thread_sensitive = True
    _sync = True

    async def dispatch(self, message: Message) -> None:
        await super().dispatch(self._once(message))

    async def _run_in_thread(self, function: Callable[..., R], *args: Any, ending: bool = False) -> R:
        def run() -> R:
            close_old_connections()
            try:
                return function(*args)
            finally:
                close_old_connections()

        return await super()._run_in_thread(run, ending=ending)
