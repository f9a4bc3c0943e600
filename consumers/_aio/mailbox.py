"""The messages that wait for one connection's worker."""

from collections.abc import Awaitable
from typing import Any, Protocol

from ..types import Batching, Message
from .budget import ByteBudget
from .wake import Waker, make_crowd_waker, make_waker


class Shared:
    """One of the layer's messages in the inboxes of many, each of whom takes a copy when it is to be handled.

    A thousand copies at once would be more than the processor's cache holds, and the garbage collector would look at
    each. One that is handled before the next is made is made of memory that is still in use.

    Args:
        message: the message, with values that nobody can change; the sender may go on to change the message itself.

    Attributes:
        kind: its type, if that is a str, else None.
        message: the copy of it that is copied for each.
    """

    __slots__ = ("kind", "message")

    def __init__(self, message: Message) -> None:
        self.message: dict[str, Any] = dict(message)
        kind = message.get("type")
        self.kind = kind if type(kind) is str else None


Entry = Message | Shared | tuple[Message, int]
"""A layer's message, or a client's, with its size in the byte budget."""


class Owner(Protocol):
    """Hears from its inbox; a bound method would be one more object for each idle connection."""

    def _on_overflow(self) -> None: ...


class Inbox(Batching):
    """A queue with one reader, the connection's worker, and two sources with a limit each.

    Called, it takes a message from the channel layer, as a `Deliver`.

    Args:
        client_limit: how many of the client's messages may wait before `is_full`.
        byte_limit: how many bytes of them may be held before that; see `ByteBudget`.
        layer_limit: how many of the layer's messages may wait.
        owner: told when the layer calls with a message that there is no room for.

    Attributes:
        messages: what waits, oldest first; `pop()` takes them out.
        budget: the bytes of the client's messages that wait or are handled.
        layer_count: how many of them are the layer's.
        client_room, layer_room: who waits for room for more of a source's.
        is_ending: whether the layer's messages are taken no more.
        is_stopped: whether no more messages are to be handled.
        running: how many handlers run beside the worker, or are about to.
        worker: what the worker awaits: see `wait()`.
    """

    __slots__ = (
        "budget",
        "client_limit",
        "client_room",
        "is_ending",
        "is_stopped",
        "layer_count",
        "layer_limit",
        "layer_room",
        "messages",
        "owner",
        "running",
        "worker",
    )

    def __init__(self, client_limit: int, byte_limit: int, layer_limit: int, owner: Owner | None = None) -> None:
        self.owner = owner
        self.client_limit = client_limit
        self.budget = ByteBudget(byte_limit, client_limit)
        self.layer_limit = layer_limit
        # Small: there are ten thousand of them, most are empty, and an empty deque takes as much as half a connection.
        # One list: the garbage collector would look at a pair for every message of a fan-out.
        self.messages: list[Entry] = []
        self.layer_count = 0
        self.worker = make_crowd_waker()
        self.is_ending = False
        self.is_stopped = False
        self.running = 0
        self.client_room: Waker | None = None
        self.layer_room: Waker | None = None

    def __call__(self, message: Message) -> int:
        if self.is_ending:
            return 1
        waiting = self.put_layer(message)
        if not waiting and self.owner is not None:
            self.owner._on_overflow()
        return waiting

    @staticmethod
    def batch(receivers: list[Any], message: Message) -> list[Any]:
        """Put a message into all inboxes that it makes no more than half full, and wake their workers: a `Batch`."""
        others, own, shared = [], Inbox.batch, Shared(message)
        for receiver in receivers:
            inbox: Any = receiver.deliver
            if receiver.batch is not own or inbox.is_ending or 2 * inbox.layer_count + 2 > inbox.layer_limit:
                others.append(receiver)
                continue
            inbox.layer_count += 1
            inbox.messages.append(shared)
            inbox.worker.wake()
        return others

    @property
    def is_full(self) -> bool:
        """Whether the client's messages have reached a limit."""
        return len(self.messages) - self.layer_count >= self.client_limit or self.budget.is_spent

    def put_client(self, message: Message) -> None:
        """Add a message of the client's; its reader tells the worker, and minds `is_full`."""
        size = self.budget.size_of(message)
        self.budget.take(size)
        self.messages.append((message, size))

    def give_back(self, entry: Entry) -> None:
        """Note that an entry which `pop()` returned has been handled."""
        if type(entry) is tuple and entry[1]:
            self.budget.give_back(entry[1])
            if self.client_room is not None:
                self.client_room.wake()

    def put_layer(self, message: Message) -> int:
        """Add a message of the layer's and return how many wait now, or 0 if it was not added: too many wait."""
        return 0 if self.layer_count >= self.layer_limit else self.put_anyhow(message)

    def put_anyhow(self, message: Message) -> int:
        """Add a message of the layer's, whatever its limit, and return how many wait now."""
        self.layer_count += 1
        self.messages.append(message)
        self.worker.wake()
        return self.layer_count

    def pop(self) -> Message | tuple[Message, int]:
        """Take the oldest message; `give_back()` it when it is handled."""
        entry = self.messages.pop(0)
        if isinstance(entry, tuple):
            room = self.client_room
        else:
            room = self.layer_room
            self.layer_count -= 1
        if room is not None:
            room.wake()
        return entry.message.copy() if isinstance(entry, Shared) else entry

    def notify(self) -> None:
        """Wake the worker."""
        self.worker.wake()

    def wait(self) -> Awaitable[Any]:
        """Return what the worker is to await, for the next message or `notify()`."""
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
