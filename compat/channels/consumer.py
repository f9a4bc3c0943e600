"""The base consumers, with what Channels does differently from `consumers`.

A message of an unknown type raises, plain functions run in the one thread for thread-sensitive code, and old database
connections are closed around every handler.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from consumers import consumer as native
from consumers.events import handler_name as get_handler_name
from consumers.exceptions import StopConsumer
from consumers.types import Message

from . import DEFAULT_CHANNEL_LAYER as DEFAULT_CHANNEL_LAYER
from .db import aclose_old_connections, close_old_connections, database_sync_to_async
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


class AsyncConsumer(native.AsyncConsumer):
    """Channels' asynchronous consumer; see `consumers.AsyncConsumer`."""

    strict_types = True
    _sync = False

    async def dispatch(self, message: Message) -> None:
        await aclose_old_connections()
        await super().dispatch(message)


class SyncConsumer(native.SyncConsumer, AsyncConsumer):
    """Channels' consumer of plain functions; see `consumers.SyncConsumer`."""

    strict_types = True
    thread_sensitive = True
    _sync = True

    async def _run_in_thread(self, function: Callable[..., R], *args: Any, ending: bool = False) -> R:
        def run() -> R:
            close_old_connections()
            try:
                return function(*args)
            finally:
                close_old_connections()

        return await super()._run_in_thread(run, ending=ending)
