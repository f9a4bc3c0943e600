"""The messages that wait for one connection's worker."""

from collections.abc import Awaitable
from typing import Any

from .types import Message
from .wake import Waker, make_crowd_waker, make_waker

Entry = Message | tuple[Message]
"""A layer's message, or, alone in a tuple, a client's."""


class Inbox:
    """A queue with one reader, the connection's worker, and two sources with a limit each.

    Args:
        client_limit: how many of the client's messages may wait before `is_full`.
        layer_limit: how many of the layer's messages may wait.

    Attributes:
        messages: what waits, oldest first.
        is_awaited: whether the worker waits for something to do.
        is_closed: whether the client sends no more.
        running: how many handlers run beside the worker, or are about to.
        worker: what the worker awaits: see `wait()`.
    """

    __slots__ = (
        "_client_room",
        "_layer",
        "_layer_room",
        "client_limit",
        "is_awaited",
        "is_closed",
        "layer_limit",
        "messages",
        "running",
        "worker",
    )

    def __init__(self, client_limit: int, layer_limit: int) -> None:
        self.client_limit = client_limit
        self.layer_limit = layer_limit
        # Small: there are ten thousand of them, most are empty, and an empty deque takes as much as half a connection.
        # One list: the garbage collector would look at a pair for every message of a fan-out.
        self.messages: list[Entry] = []
        self._layer = 0  # how many of them are the layer's
        self.worker = make_crowd_waker()
        self.is_awaited = False
        self.is_closed = False
        self.running = 0
        self._client_room: Waker | None = None  # while somebody waits for it
        self._layer_room: Waker | None = None

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def is_full(self) -> bool:
        """Whether the client's messages have reached their limit."""
        return len(self.messages) - self._layer >= self.client_limit

    def put_client(self, message: Message) -> bool:
        """Add a message of the client's, and return whether the inbox is full of them now: the caller minds that.

        The worker is not woken, but by `on_pause()`.
        """
        self.messages.append((message,))
        return len(self.messages) - self._layer >= self.client_limit

    def put_layer(self, message: Message) -> int:
        """Add a message of the layer's and return how many wait now, or 0 if it was not added: too many wait."""
        if self._layer >= self.layer_limit:
            return 0
        self._layer += 1
        self.messages.append(message)
        if self.is_awaited:
            self.is_awaited = False
            self.worker.wake()
        return self._layer

    def pop(self) -> Entry:
        """Take the oldest message."""
        entry = self.messages.pop(0)
        if isinstance(entry, tuple):
            room = self._client_room
        else:
            room = self._layer_room
            self._layer -= 1
        if room is not None:
            room.wake()
        return entry

    def on_pause(self) -> None:
        """Let the worker go on, if it waits: whoever puts the client's messages has no more for now."""
        if self.is_awaited and (self.messages or self.is_closed):
            self.is_awaited = False
            self.worker.go_on()

    def notify(self) -> None:
        """Wake the worker."""
        self.is_awaited = False
        self.worker.wake()

    def wait(self) -> Awaitable[Any]:
        """Return what the worker is to await, for the next message or `notify()`."""
        self.is_awaited = True
        return self.worker

    async def wait_for_room(self) -> None:
        """Wait, as the reader, until a message of the client's has been taken."""
        self._client_room = make_waker()
        try:
            while self.is_full:
                await self._client_room
        finally:
            self._client_room = None

    async def wait_for_layer_room(self) -> None:
        """Wait, as the pump of a foreign layer, until one more of its messages can be added."""
        self._layer_room = make_waker()
        try:
            while self._layer >= self.layer_limit:
                await self._layer_room
        finally:
            self._layer_room = None
