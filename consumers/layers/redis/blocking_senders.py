"""What both Redis layers offer to those without an event loop: scripts, threads, task queues."""

from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync

from ...types import Message
from .._observed import operation
from .._options import given_options
from .._overrides import overrides
from ..base import DEFAULT_CODE, Layer, closing
from .process import Process
from .round_trips import Flow

Sent = tuple[str | None, int]
"""The position of a message, and how many wait if a queue is over half full, else 0."""


class BlockingSenders(Layer):
    """Sends without an event loop: blocks. Where a subclass has another `send()`, that does it."""

    @property
    def _process(self) -> Process[Any]:
        raise NotImplementedError

    def _send(self, channel: str, message: Message) -> Flow[int]:
        """Send; return how many messages wait if a queue is over half full, else 0."""
        raise NotImplementedError

    def _checked_send(
        self, group: str, message: Message, id: str | None, keep: bool, exclude: str | Iterable[str]
    ) -> Flow[Sent]:
        """Send to a group; the arguments are yet to be checked."""
        raise NotImplementedError

    def _close_group(self, group: str, message: Message) -> Flow[int]:
        """Have the members of a group closed, then send it the message; return as `_send()`."""
        raise NotImplementedError

    @operation
    def send_sync(self, channel: str, message: Message) -> None:
        """As `send()`, without an event loop: blocks."""
        if overrides(type(self), "send"):
            async_to_sync(self.send)(channel, message)
        else:
            self._process.trips.run_blocking(self._send(channel, message))

    @operation
    def group_send_sync(
        self,
        group: str,
        message: Message,
        id: str | None = None,
        keep: bool = True,
        exclude: str | Iterable[str] = (),
    ) -> str | None:
        """As `group_send()`, without an event loop: blocks."""
        if overrides(type(self), "group_send"):
            return async_to_sync(self.group_send)(group, message, **given_options(id, keep, exclude))
        return self._process.trips.run_blocking(self._checked_send(group, message, id, keep, exclude))[0]

    @operation
    def close_group_sync(self, group: str, code: int = DEFAULT_CODE, reason: str = "") -> None:
        """As `close_group()`, without an event loop: blocks."""
        if overrides(type(self), "close_group"):
            async_to_sync(self.close_group)(group, code, reason)
        else:
            self._process.trips.run_blocking(self._close_group(group, closing(code, reason)))
