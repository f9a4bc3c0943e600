"""The messages that wait for one connection's worker."""

from collections import deque
from collections.abc import Awaitable
from typing import Any

from .types import Message
from .wake import Waker, make_waker


class Inbox:
    """A queue with one reader, the connection's worker, and two sources with a limit each.

    Args:
        client_limit: how many of the client's messages may wait before `is_full`.
        layer_limit: how many of the layer's messages may wait.

    Attributes:
        messages: what waits, oldest first.
        is_awaited: whether the worker waits for something to do.
    """

    __slots__ = (
        "_are_layers",
        "_client_room",
        "_layer",
        "_layer_room",
        "_wait",
        "_wake",
        "client_limit",
        "is_awaited",
        "layer_limit",
        "messages",
    )

    def __init__(self, client_limit: int, layer_limit: int) -> None:
        self.client_limit = client_limit
        self.layer_limit = layer_limit
        self.messages: deque[Message] = deque()
        # Beside it, not in pairs with it: the garbage collector would look at thousands of pairs after a fan-out.
        self._are_layers: deque[bool] = deque()
        self._layer = 0  # how many of them are the layer's
        worker = make_waker()
        self._wait, self._wake = worker.wait, worker.wake
        self.is_awaited = False
        self._client_room: Waker | None = None  # while somebody waits for it
        self._layer_room: Waker | None = None

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def is_full(self) -> bool:
        """Whether the client's messages have reached their limit."""
        return len(self.messages) - self._layer >= self.client_limit

    def put_client(self, message: Message) -> bool:
        """Add a message of the client's, and return whether the inbox is full of them now: the caller minds that."""
        self.messages.append(message)
        self._are_layers.append(False)
        if self.is_awaited:
            self.is_awaited = False
            self._wake()
        return len(self.messages) - self._layer >= self.client_limit

    def put_layer(self, message: Message) -> int:
        """Add a message of the layer's and return how many wait now, or 0 if it was not added: too many wait."""
        if self._layer >= self.layer_limit:
            return 0
        self._layer += 1
        self.messages.append(message)
        self._are_layers.append(True)
        if self.is_awaited:
            self.is_awaited = False
            self._wake()
        return self._layer

    def pop(self) -> tuple[Message, bool]:
        """Take the oldest message; the second value tells whether it came from the layer."""
        is_layers = self._are_layers.popleft()
        if is_layers:
            self._layer -= 1
            room = self._layer_room
        else:
            room = self._client_room
        if room is not None:
            room.wake()
        return self.messages.popleft(), is_layers

    def notify(self) -> None:
        """Wake the worker."""
        self.is_awaited = False
        self._wake()

    def wait(self) -> Awaitable[Any]:
        """Return what the worker is to await, for the next message or `notify()`."""
        self.is_awaited = True
        return self._wait()

    async def wait_for_room(self) -> None:
        """Wait, as the reader, until a message of the client's has been taken."""
        self._client_room = make_waker()
        try:
            while self.is_full:
                await self._client_room.wait()
        finally:
            self._client_room = None

    async def wait_for_layer_room(self) -> None:
        """Wait, as the pump of a foreign layer, until one more of its messages can be added."""
        self._layer_room = make_waker()
        try:
            while self._layer >= self.layer_limit:
                await self._layer_room.wait()
        finally:
            self._layer_room = None
