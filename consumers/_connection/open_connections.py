"""The WebSockets that are open on each event loop of this process, for `consumers.server.drain()`, which ends them.

A connection is here from its beginning until nothing is left of it. Once an event loop drains, new ones are refused.
"""

from typing import Protocol

import anyio

from .._aio.loops import PerLoop, running_loop
from ..types import CloseCode, Scope, Send
from . import events
from .sender import NOBODY, Sender


class Drained(Protocol):
    """A connection that can be ended because its server goes away."""

    def _drain(self, reason: str, at_once: bool) -> None:
        """End with 1012: after the handlers that run, or at once. Does nothing to what ends already."""


class OpenConnections:
    """The WebSockets of one event loop.

    Attributes:
        reason: what new ones are refused with; None while they are welcome.
    """

    __slots__ = ("__weakref__", "_are_gone", "_open", "reason")

    def __init__(self) -> None:
        self._open: dict[int, Drained] = {}  # by id(): an application's endpoint may be unhashable
        self._are_gone: anyio.Event | None = None  # while somebody waits for that
        self.reason: str | None = None

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> list[Drained]:
        """Return those that are open now."""
        return list(self._open.values())

    def add(self, connection: Drained) -> None:
        """Note that a connection begins."""
        self._open[id(connection)] = connection

    def discard(self, connection: Drained) -> None:
        """Note that nothing is left of a connection."""
        self._open.pop(id(connection), None)
        if self._are_gone is not None and not self._open:
            self._are_gone.set()

    async def wait_until_gone(self) -> None:
        """Wait until none is open."""
        while self._open:
            if self._are_gone is None or self._are_gone.is_set():
                self._are_gone = anyio.Event()
            await self._are_gone.wait()

    async def refuses(self, scope: Scope, send: Send) -> bool:
        """Refuse a handshake if the event loop drains; tell whether it does."""
        if self.reason is None:
            return False
        sender = Sender(send, NOBODY, can_deny=events.can_deny(scope))
        await sender.end(CloseCode.SERVICE_RESTART, self.reason)
        return True


_of_loops = PerLoop(lambda _: OpenConnections())


def here() -> OpenConnections:
    """Return those of the event loop that is running."""
    return _of_loops.get(running_loop())
