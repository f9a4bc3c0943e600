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
        messages: what waits, oldest first; `pop()` takes them out.
        layer_count: how many of them are the layer's.
        client_room, layer_room: who waits for room for more of a source's.
        is_awaited: whether the worker waits for something to do.
        is_closed: whether the client sends no more.
        running: how many handlers run beside the worker, or are about to.
        worker: what the worker awaits: see `wait()`.
    """

    __slots__ = (
        "client_limit",
        "client_room",
        "is_awaited",
        "is_closed",
        "layer_count",
        "layer_limit",
        "layer_room",
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
        self.layer_count = 0
        self.worker = make_crowd_waker()
        self.is_awaited = False
        self.is_closed = False
        self.running = 0
        self.client_room: Waker | None = None
        self.layer_room: Waker | None = None

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def is_full(self) -> bool:
        """Whether the client's messages have reached their limit."""
        return len(self.messages) - self.layer_count >= self.client_limit

    def put_client(self, message: Message) -> bool:
        """Add a message of the client's, and return whether the inbox is full of them now: the caller minds that.

        The worker is not woken, but by `on_pause()`.
        """
        self.messages.append((message,))
        return len(self.messages) - self.layer_count >= self.client_limit

    def put_layer(self, message: Message) -> int:
        """Add a message of the layer's and return how many wait now, or 0 if it was not added: too many wait."""
        if self.layer_count >= self.layer_limit:
            return 0
        self.layer_count += 1
        self.messages.append(message)
        if self.is_awaited:
            self.is_awaited = False
            self.worker.wake()
        return self.layer_count

    def pop(self) -> Entry:
        """Take the oldest message."""
        entry = self.messages.pop(0)
        if isinstance(entry, tuple):
            room = self.client_room
        else:
            room = self.layer_room
            self.layer_count -= 1
        if room is not None:
            room.wake()
        return entry

    def on_pause(self) -> None:
        """Let the worker go on, if it waits: whoever puts the client's messages has no more for now."""
        if self.is_awaited and (self.messages or self.is_closed):
            self.is_awaited = False
            self.worker.go_on(self.is_closed)

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
        self.client_room = make_waker()
        try:
            while self.is_full:
                await self.client_room
        finally:
            self.client_room = None

    async def wait_for_layer_room(self) -> None:
        """Wait, as the pump of a foreign layer, until one more of its messages can be added."""
        self.layer_room = make_waker()
        try:
            while self.layer_count >= self.layer_limit:
                await self.layer_room
        finally:
            self.layer_room = None
