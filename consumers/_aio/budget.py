"""How many bytes of a client's messages one connection may hold in memory before it reads no more."""

from sys import getsizeof

from ..types import Message

MOST_OF_A_CHARACTER = 8
"""Bytes: four, and as many again where Python keeps the text as UTF-8, too."""

HEAD_OF_A_TEXT = 80
"""Bytes that a text takes beside its characters, at most."""


class ByteBudget:
    """Counts the client's messages that wait or are handled, but not those that are too small to matter.

    Args:
        limit: bytes, in memory, at which no more are read.
        messages: how many messages may be held anyway. So many small ones do not reach the limit and are not counted.

    Attributes:
        is_spent: whether no more is to be read; a single message is never too much, however large it is.
    """

    __slots__ = ("_bytes", "_limit", "_messages", "_short", "is_spent")

    def __init__(self, limit: int, messages: int) -> None:
        self._limit = limit
        self._short = (limit // messages - HEAD_OF_A_TEXT) // MOST_OF_A_CHARACTER  # in characters
        self._bytes = 0
        self._messages = 0
        self.is_spent = False

    def size_of(self, message: Message) -> int:
        """Return how many bytes a message counts for: 0 if it is small."""
        content = message.get("text") or message.get("bytes") or message.get("body")
        if isinstance(content, str) and len(content) <= self._short:
            return 0  # without a question that takes as long as a function call
        size = getsizeof(content)
        return size if size > MOST_OF_A_CHARACTER * self._short + HEAD_OF_A_TEXT else 0

    def take(self, size: int) -> None:
        """Count a message of this size, as `size_of()` returned it."""
        if size:
            self._count(size, 1)

    def give_back(self, size: int) -> None:
        """Count it no more."""
        if size:
            self._count(-size, -1)

    def _count(self, size: int, messages: int) -> None:
        self._bytes += size
        self._messages += messages
        self.is_spent = self._bytes >= self._limit and self._messages > 1
