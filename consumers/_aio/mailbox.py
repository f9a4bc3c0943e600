"""The messages that wait for one connection's worker: the one place where reader, layer and worker meet.

    reader ─ put() ────────┐             ┌─ serve(): the worker handles one message after the other
                           ├─ messages ──┤
    layer ── deliver, … ───┘             └─ take(), wait(): the worker has handlers run at once

What waits, and how much may, is the same everywhere, and is here. How the worker hears of it is not: `portable` is the
reference, for every event loop; `stepping` does the same for asyncio, at a fraction of the cost.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import anyio

from ..types import ConnectionObserver, DeliversMany, Message
from .budget import ByteBudget
from .loops import checkpoints
from .sharing import SharedMessage, Shortcut, write_shared

FROM_LAYER = -1
"""What `take()` returns in place of the bytes of a client's message."""

Handle = Callable[[Message, bool], Awaitable[None] | None]
"""Returns what handles a message, given whether it is the client's; None if nothing does."""

Failed = Callable[[BaseException, Message], Awaitable[None]]
"""Hears what a handler of a message has raised; raises what ends the worker."""


Entry = Message | SharedMessage | tuple[Message, int]
"""A layer's message, or a client's, with its size in the byte budget."""


class Owner(Protocol):
    """Hears from its mailbox; a bound method would be one more object for each idle connection."""

    def _on_overflow(self) -> None: ...

    def _on_layer_room(self) -> None: ...


class Mailbox(DeliversMany):
    """A queue with one reader, the connection's worker, and two sources with a limit each.

    Called, it takes a message from the channel layer, as a `Deliver`.

    Args:
        client_limit: how many of the client's messages may wait before `is_full`.
        byte_limit: how many bytes of them may be held before that; see `ByteBudget`.
        layer_limit: how many of the layer's messages may wait.
        owner: told when the layer calls with a message that there is no room for, and when it may go on with
            those of groups with history.

    Attributes:
        messages: what waits, oldest first; `take()` takes them out.
        layer_count: how many of them are the layer's.
        is_closed: whether the layer's messages are taken no more.
        is_stopped: whether no more messages are to be handled.
        observer: the connection's, if it has one: sees the layer's messages.
        is_idle: whether the worker waits, and nothing has told it to go on.
        shortcut: the way of a group's messages past the worker, if there is one; see `_connection.shared`.
    """

    __slots__ = (
        "_budget",
        "_client_limit",
        "_client_room",
        "_has_refused",
        "_layer_room",
        "is_closed",
        "is_idle",
        "is_stopped",
        "layer_count",
        "layer_limit",
        "messages",
        "observer",
        "owner",
        "shortcut",
    )

    def __init__(self, client_limit: int, byte_limit: int, layer_limit: int, owner: Owner | None = None) -> None:
        self.owner = owner
        self.observer: ConnectionObserver | None = None
        self.shortcut: Shortcut | None = None
        self.is_idle = False
        self._client_limit = client_limit
        self._budget = ByteBudget(byte_limit, client_limit)
        self.layer_limit = layer_limit
        # Small: there are ten thousand of them, most are empty, and an empty deque takes as much as half a connection.
        # One list: the garbage collector would look at a pair for every message of a fan-out.
        self.messages: list[Entry] = []
        self.layer_count = 0
        self.is_closed = False
        self.is_stopped = False
        self._client_room: anyio.Event | None = None
        self._layer_room: anyio.Event | None = None
        self._has_refused = False  # a message of a group with history, which waits in its log

    # The client's messages

    @property
    def is_full(self) -> bool:
        """Whether the client's messages have reached a limit; in step with the end of `put()`."""
        return len(self.messages) - self.layer_count >= self._client_limit or self._budget.is_spent

    def put(self, message: Message) -> bool:
        """Add a message of the client's. Only the reader calls this, while `feed()` runs it.

        Returns:
            Whether there is room for another.
        """
        size = self._budget.size_of(message)
        if size:
            self._budget.take(size)
        self.messages.append((message, size))
        # `not self.is_full`, without one more call for each message.
        return len(self.messages) - self.layer_count < self._client_limit and not self._budget.is_spent

    async def wait_for_room(self) -> None:
        """Wait, as the reader, until a message of the client's has been taken."""
        while self.is_full:
            self._client_room = anyio.Event()
            await self._client_room.wait()

    # The layer's

    def __call__(self, message: Message) -> int:
        if self.observer is not None:
            self.observer.received("layer")
        if self.is_closed:
            if self.observer is not None:
                self.observer.dropped("ending")
            return 1
        waiting = self.put_layer(message)
        if not waiting:
            if self.observer is not None:
                self.observer.dropped("mailbox_full")
            if self.owner is not None:
                self.owner._on_overflow()
        return waiting

    @staticmethod
    def deliver_many(receivers: Sequence["Mailbox"], message: Message) -> list["Mailbox"]:
        """Put a message into all mailboxes that it makes no more than half full; see `consumers.types.DeliverMany`.

        Those with a shortcut may not need that.
        """
        others, shared = [], SharedMessage(message)
        for mailbox in write_shared(receivers, shared):
            if mailbox.is_closed or 2 * mailbox.layer_count + 2 > mailbox.layer_limit:
                others.append(mailbox)
                continue
            if mailbox.observer is not None:
                mailbox.observer.received("layer")
            mailbox.layer_count += 1
            mailbox.messages.append(shared)
            mailbox.notify()
        return others

    @staticmethod
    def deliver_uncopied(receivers: Sequence["Mailbox"], message: Message) -> list["Mailbox"]:
        """Have those take a message who have a shortcut for it; see `consumers.types.DeliversMany`."""
        return write_shared(receivers, SharedMessage(message))

    def room(self) -> int:
        """See `Room`. Messages of groups with history fill half of the mailbox; the rest is for others."""
        if self.is_closed:  # for ever
            return 0
        room = max(1, self.layer_limit // 2) - self.layer_count
        if room <= 0:
            self._has_refused = True
            return 0
        return room

    def put_layer(self, message: Message) -> int:
        """Add a message of the layer's and return how many wait now, or 0 if it was not added: too many wait."""
        return 0 if self.layer_count >= self.layer_limit else self.put_anyhow(message)

    def put_anyhow(self, message: Message) -> int:
        """Add a message of the layer's, whatever its limit, and return how many wait now."""
        self.layer_count += 1
        self.messages.append(message)
        self.notify()
        return self.layer_count

    async def wait_for_layer_room(self) -> None:
        """Wait, as the pump of a foreign layer, until one more of its messages can be added."""
        while self.layer_count >= self.layer_limit:
            if self._layer_room is None:  # else another waits, too
                self._layer_room = anyio.Event()
            await self._layer_room.wait()

    # The worker

    async def wait_for_message(self) -> bool:
        """Wait until a message waits; return False if the mailbox is closed before."""
        while not self.messages:
            if self.is_closed:
                return False
            await self.wait()
        return True

    def take(self) -> tuple[Message, int]:
        """Take the oldest message; return it with its size, for `release()` when it is handled, or `FROM_LAYER`."""
        entry = self.messages.pop(0)
        if isinstance(entry, tuple):
            if self._client_room is not None:
                self._tell_reader()
            return entry
        self.layer_count -= 1
        if self._layer_room is not None:
            self._layer_room.set()
            self._layer_room = None
        # At a quarter: not at each free place, or every message would resume the layer.
        if self._has_refused and self.layer_count <= self.layer_limit // 4 and self.owner is not None:
            self._has_refused = False
            self.owner._on_layer_room()
        return (entry.message.copy() if isinstance(entry, SharedMessage) else entry), FROM_LAYER

    def release(self, size: int) -> None:
        """Note that a message which `take()` returned has been handled."""
        if size > 0:
            self._budget.give_back(size)
            if self._client_room is not None:
                self._tell_reader()

    def _tell_reader(self) -> None:
        """Have the reader, which waits for room, look again."""
        assert self._client_room is not None
        self._client_room.set()
        self._client_room = None

    async def serve_in_turn(self, handle: Handle, failed: Failed, yields_between: int) -> None:
        """Handle one message after the other, until the mailbox is closed and empty.

        Args:
            handle: handles a message.
            failed: called if that raises.
            yields_between: how often to yield to the loop between two messages.
        """
        messages = self.messages
        while True:
            while messages and not self.is_stopped:
                message, size = self.take()
                try:
                    handling = handle(message, size != FROM_LAYER)
                    if handling is not None:
                        await handling
                except BaseException as error:
                    await failed(error, message)
                if size > 0:
                    self.release(size)
                if yields_between and (messages or self.is_closed) and not self.is_stopped:
                    await checkpoints(yields_between)
            if self.is_closed and not messages:
                return
            message, handling = {}, None  # an idle connection is not to keep them
            await self.wait()

    # How it hears, which differs

    def notify(self) -> None:
        """Wake the worker, if it waits; to be called on its event loop."""
        raise NotImplementedError

    def notify_now(self) -> None:
        """Wake the worker; where the event loop allows it, the worker takes its next step before this returns."""
        self.notify()

    def wait(self) -> Awaitable[Any]:
        """Wait, as the worker, for the next message or `notify()`; a wake-up that nobody waits for is not kept."""
        raise NotImplementedError

    def serve(self, handle: Handle, failed: Failed, yields_between: int = 0) -> Awaitable[None]:
        """Do as `serve_in_turn()`, as the worker."""
        raise NotImplementedError

    def feed(self, reading: Coroutine[Any, Any, None]) -> Awaitable[None]:
        """Run the reader, and have the worker hear of what it has put before it waits for more."""
        raise NotImplementedError
