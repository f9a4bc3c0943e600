"""The messages that wait for one connection's worker."""

from collections import deque

import anyio

from .types import Message


class Inbox:
    """A queue with one reader, the connection's worker, and two sources with a limit each.

    Args:
        client_limit: how many of the client's messages may wait before `is_full`.
        layer_limit: how many of the layer's messages may wait.
    """

    __slots__ = ("_client", "_layer", "_messages", "_room", "_wake", "client_limit", "layer_limit")

    def __init__(self, client_limit: int, layer_limit: int) -> None:
        self.client_limit = client_limit
        self.layer_limit = layer_limit
        self._messages: deque[tuple[Message, bool]] = deque()
        self._client = 0
        self._layer = 0
        self._wake: anyio.Event | None = None
        self._room: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_full(self) -> bool:
        """Whether the client's messages have reached their limit."""
        return self._client >= self.client_limit

    def put_client(self, message: Message) -> None:
        """Add a message of the client's; the caller minds `is_full`."""
        self._client += 1
        self._messages.append((message, False))
        self.notify()

    def put_layer(self, message: Message) -> int:
        """Add a message of the layer's and return how many wait now, or 0 if it was not added: too many wait."""
        if self._layer >= self.layer_limit:
            return 0
        self._layer += 1
        self._messages.append((message, True))
        self.notify()
        return self._layer

    def pop(self) -> tuple[Message, bool]:
        """Take the oldest message; the second value tells whether it came from the layer."""
        entry = self._messages.popleft()
        if entry[1]:
            self._layer -= 1
        else:
            self._client -= 1
        if self._room is not None:
            self._room.set()
        return entry

    def notify(self) -> None:
        """Wake the worker."""
        if self._wake is not None:
            self._wake.set()

    async def wait(self) -> None:
        """Wait, as the worker, for the next `notify()`."""
        self._wake = anyio.Event()
        try:
            await self._wake.wait()
        finally:
            self._wake = None

    async def wait_for_room(self) -> None:
        """Wait, as the reader, until a message of the client's has been taken."""
        while self.is_full:
            await self._next_pop()

    async def wait_for_layer_room(self) -> None:
        """Wait, as the pump of a foreign layer, until one more of its messages can be added."""
        while self._layer >= self.layer_limit:
            await self._next_pop()

    async def _next_pop(self) -> None:
        if self._room is None or self._room.is_set():
            self._room = anyio.Event()
        await self._room.wait()
