"""How many bytes of a client's messages one connection may hold in memory before it reads no more."""

from sys import getsizeof

from ..types import Message

MAX_BYTES_PER_CHARACTER = 8
"""What a character of a str takes at most: four bytes, and four more once Python keeps the text as UTF-8, too."""

MAX_STR_OVERHEAD = 80
"""Bytes that a str takes beside its characters, at most."""


class ByteBudget:
    """Counts the client's messages that wait or are handled, but not the small ones.

    Small is what takes no more than its share of the limit: as many of these as may be held do not reach it.

    Args:
        limit: bytes, in memory, at which no more are read.
        messages: how many messages may be held anyway.

    Attributes:
        is_spent: whether no more is to be read; a single message is never too much, however large it is.
    """

    __slots__ = ("_bytes", "_limit", "_messages", "_share", "_short", "is_spent")

    def __init__(self, limit: int, messages: int) -> None:
        self._limit = limit
        self._share = limit // messages
        self._short = (self._share - MAX_STR_OVERHEAD) // MAX_BYTES_PER_CHARACTER  # so many characters are small
        self._bytes = 0
        self._messages = 0
        self.is_spent = False

    def size_of(self, message: Message) -> int:
        """Return how many bytes a message counts for: 0 if it is small."""
        content = message.get("text") or message.get("bytes") or message.get("body")
        if isinstance(content, str) and len(content) <= self._short:
            return 0  # `getsizeof()` takes as long as a function of ours
        size = getsizeof(content)
        return size if size > self._share else 0

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
