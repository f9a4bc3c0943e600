"""A message that many get, and the way of what all get alike past their workers: see `_connection.shared`."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from ..types import Message


class SharedMessage:
    """One of the layer's messages in the mailboxes of many, each of whom takes a copy when it is to be handled.

    A thousand copies at once would be more than the processor's cache holds, and the garbage collector would look at
    each. One that is handled before the next is made is made of memory that is still in use.

    Args:
        message: the message, with values that nobody can change; the sender may go on to change the message itself.

    Attributes:
        message: the message.
        kind: its type; "" for one that is none.
        frames: what clients get of it, made once for all who get the same.
    """

    __slots__ = ("frames", "kind", "message")

    def __init__(self, message: Message) -> None:
        self.message: dict[str, Any] = dict(message)
        kind = message.get("type")
        self.kind = kind if type(kind) is str else ""
        self.frames: dict[object, bytes | None] = {}


class Connection(Protocol):
    """The server's side of a connection: what a shortcut ends in.

    Attributes:
        takes_frames: whether it may be given frames now.
    """

    takes_frames: bool

    def write_all(self, connections: list[Any], frame: bytes) -> None:
        """Write a frame to connections of this kind that take frames, none twice."""
        ...


class Shortcut(Protocol):
    """The way of a group's messages past one member's worker.

    Attributes:
        connection: where it ends.
        common: what it has in common with others' who get the same frame of every message; None: it is alone.
    """

    connection: Connection
    common: Any

    def frame(self, shared: SharedMessage) -> bytes | None:
        """Return what the client gets of a message; None if the handler has to see it."""
        ...


class HasShortcut(Protocol):
    """A mailbox, as far as it matters here."""

    shortcut: Shortcut | None
    messages: list[Any]
    is_idle: bool


M = TypeVar("M", bound=HasShortcut)


def write_shared(mailboxes: Sequence[M], shared: SharedMessage) -> list[M]:
    """Write a message to those clients that nothing else is on its way to; return the mailboxes of the others.

    Nothing is called for each of those who get the same frame: with a thousand members, that would be most of the cost.
    """
    others: list[M] = []
    by_frame: dict[bytes, list[Connection]] = {}
    by_common: dict[object, list[Connection] | None] = {}

    def those_alike(shortcut: Shortcut) -> list[Connection] | None:
        """Return those who get the same frame, which may be nobody yet; None if the handler has to see the message."""
        common = shortcut.common
        if common is not None and common in by_common:
            return by_common[common]
        frame = shortcut.frame(shared)
        alike = None if frame is None else by_frame.setdefault(frame, [])
        if common is not None:
            by_common[common] = alike
        return alike

    last: object = None  # most members of a group are of one class
    alike: list[Connection] | None = None
    for mailbox in mailboxes:
        shortcut = mailbox.shortcut
        if shortcut is None or mailbox.messages or not mailbox.is_idle or not shortcut.connection.takes_frames:
            others.append(mailbox)
            continue
        if last is None or shortcut.common is not last:
            last, alike = shortcut.common, those_alike(shortcut)
        if alike is None:
            others.append(mailbox)
        else:
            alike.append(shortcut.connection)
    for frame, connections in by_frame.items():
        connections[0].write_all(connections, frame)
    return others
