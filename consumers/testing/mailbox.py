"""A receiver for the tests of a channel layer, and what else these have in common."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from ..layers.base import Layer
from ..types import Message

PATIENCE = 5.0
"""Seconds that a message has to arrive."""


class Mailbox:
    """A receiver for tests: takes messages while it has room, and can be waited on.

    Args:
        room: how many messages it takes.

    Attributes:
        messages: what it has got.
        closed: the code and the reason that it was closed with; None while it is open.
        threads: in which threads it was called.
    """

    def __init__(self, room: int = 1_000_000) -> None:
        self.messages: list[Message] = []
        self.closed: tuple[int, str] | None = None
        self.threads: set[threading.Thread] = set()
        self.room = room
        self._changed = anyio.Event()

    def deliver(self, message: Message) -> int:
        """Take a message; see `consumers.types.Deliver`."""
        self.threads.add(threading.current_thread())
        if len(self.messages) >= self.room:
            return 0
        self.messages.append(message)
        self._changed.set()
        return len(self.messages)

    def close(self, code: int, reason: str) -> None:
        """Be closed; see `consumers.types.Close`."""
        self.threads.add(threading.current_thread())
        self.closed = code, reason
        self._changed.set()

    async def holds(self, count: int) -> list[Message]:
        """Wait for so many messages, and return all.

        Raises:
            TimeoutError: they did not come within 5 seconds.
        """
        await self._until(lambda: len(self.messages) >= count)
        return self.messages

    async def is_closed(self) -> tuple[int, str] | None:
        """Wait until it is closed, and return the code and the reason.

        Raises:
            TimeoutError: it was not within 5 seconds.
        """
        await self._until(lambda: self.closed is not None)
        return self.closed

    async def _until(self, condition: Callable[[], object]) -> None:
        with anyio.fail_after(PATIENCE):
            while not condition():
                self._changed = anyio.Event()
                await self._changed.wait()


async def receive(layer: Layer, channel: str) -> dict[str, Any]:
    """Receive a message that comes within 5 seconds."""
    with anyio.fail_after(PATIENCE):
        return await layer.receive(channel)


async def refuses(error: type[Exception], method: Callable[..., Awaitable[object]], *args: object) -> None:
    """Check that an asynchronous method raises this error.

    Raises:
        AssertionError: it did not.
        TimeoutError: it did nothing within 5 seconds.
    """
    with anyio.fail_after(PATIENCE):
        try:
            await method(*args)
        except error:
            return
    raise AssertionError(f"{method.__name__}{args} did not raise {error.__name__}")


def change(message: Message) -> None:
    """Change a message, and what is in it."""
    message["type"] = "changed"
    message["value"]["deep"][0]["list"].append("changed")
