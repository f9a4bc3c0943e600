"""What has come for the application, in order: messages, and what it is to be told between them."""

from collections import deque
from typing import Any, NamedTuple

import anyio
from anyio.lowlevel import checkpoint

from .errors import ClientError

MOST_BYTES = 16 * 1024 * 1024
"""Characters of all texts that wait, whatever their number."""


class Item(NamedTuple):
    """A message, or news of a group.

    Attributes:
        message: the message; None for news.
        label: the group that it is about; None if it is of none.
        position: where the client is in the group once it has the item; None: nowhere that could be named.
        is_gap: whether messages are missing before it.
        size: characters of the text.
    """

    message: dict[str, Any] | None = None
    label: str | None = None
    position: str | None = None
    is_gap: bool = False
    size: int = 0


class Inbox:
    """A queue whose reader may be slow: whoever fills it asks for room first.

    Args:
        limit: items that may wait.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._items: deque[Item] = deque()
        self._size = 0
        self._has_ended = False
        self._error: ClientError | None = None
        self.changed = anyio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def has_room(self, times: int = 1) -> bool:
        """Tell whether one more may be put into it, or into one so many times as large."""
        return len(self._items) < times * self.limit and self._size < times * MOST_BYTES

    def put(self, item: Item) -> None:
        """Add an item."""
        self._items.append(item)
        self._size += item.size
        self.notify()

    def end(self, error: ClientError | None) -> None:
        """Let the reader have what there is, and then an error, or the end."""
        self._has_ended, self._error = True, error
        self.notify()

    async def first(self) -> Item:
        """Return the oldest item, which stays until `drop()`: who is cancelled loses nothing.

        Raises:
            StopAsyncIteration: there will be none.
            ClientError: the same, and something is wrong.
        """
        await checkpoint()
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._has_ended:
                raise StopAsyncIteration
            await self.changed.wait()
        return self._items[0]

    def drop(self) -> None:
        """Take the oldest item out."""
        self._size -= self._items.popleft().size
        self.notify()

    def notify(self) -> None:
        """Wake those who wait for a change."""
        changed, self.changed = self.changed, anyio.Event()
        changed.set()
