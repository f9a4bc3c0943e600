"""A consumer's connection that is measured."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar
from weakref import WeakKeyDictionary

from .._connection.connection import Connection
from .._connection.consumer import Consumer
from .._connection.dispatch import OPTIONAL, Dispatcher
from .._connection.events import DISCONNECTS
from .._connection.frames import Frames
from .._connection.sender import Sender
from ..types import CloseCode, Deliver, Message, Receive, Send, handler_name
from . import table
from .counters import Counters, Counts
from .durations import Attributes, Durations

FROM_CLIENT = frozenset({"websocket.receive", "http.request"})
FOR_CLIENT = frozenset({"websocket.send", "http.response.body"})


class ObservedConnection(Connection):
    """Counts one connection and its messages, and times its handlers.

    Attributes:
        counters: what it is counted in.
        durations: what its handlers' times are recorded with.
    """

    counters: ClassVar[Counters]
    durations: ClassVar[Durations]

    def __init__(self, consumer: Consumer, receive: Receive, send: Send) -> None:
        self._counts = counts = self.counters.counts_for(type(consumer), consumer.scope)
        self._is_accepted = False
        send = counting_send(send, counts)
        super().__init__(consumer, counting_receive(receive, counts), send)
        if self._reader.refuses is not None:
            self._reader.refuses = partial(self._refuses, self._reader.refuses)
        # Every message passes it. Not a class attribute, so that those who override it need to know nothing.
        vars(consumer)["dispatch"] = self.durations.timed(consumer, "dispatch", attributes_of(type(consumer)))

    async def run(self) -> None:
        counters, counts, errors = self.counters, self._counts, self._errors
        counters.opened(counts, self)
        try:
            await super().run()
        finally:
            request = self._shutdown.request
            waiting = sum(not isinstance(entry, tuple) or is_data(entry[0]) for entry in self._mailbox.messages)
            counts.drop(table.ENDING, waiting)
            counts.drop(table.HANDLER_CANCELLED, errors.cancelled)
            code: object = ""
            if self._protocol == "websocket":
                code = close_code(
                    self._sender,
                    self._is_accepted,
                    CloseCode.ABNORMAL_CLOSURE if request is None else request.code,
                )
            counters.closed(counts, code, self)

    @property
    def waiting(self) -> int:
        """How many messages wait for a handler."""
        return len(self._mailbox.messages)

    @property
    def _deliver(self) -> Deliver:
        return partial(self._count_delivery, self._mailbox)

    def _refuses(self, refuses: Callable[[Message], bool], message: Message) -> bool:
        was_ending = self.is_ending
        refused = refuses(message)
        if refused and not was_ending:
            self._counts.drop(table.LIMIT)
        return refused

    def _count_delivery(self, deliver: Deliver, message: Message) -> int:
        counts = self._counts
        counts.received[table.FROM_LAYER] += 1
        if self.is_ending:
            counts.drop(table.ENDING)
        waiting = deliver(message)
        if not waiting:
            counts.drop(table.MAILBOX_FULL)
        return waiting

    def _on_sender_change(self, close_code: int | None) -> None:
        self._is_accepted = self._is_accepted or close_code is None
        super()._on_sender_change(close_code)

    def _make_dispatcher(self) -> Dispatcher:
        frames = super()._make_dispatcher().frames
        if frames is not None:
            frames = ObservedFrames(self._sender, type(self._consumer), self._counts)
        return ObservedDispatcher(self._consumer, frames, self._counts)


class ObservedDispatcher(Dispatcher):
    """Counts the messages that nothing handles.

    Args:
        consumer, frames: as of `Dispatcher`.
        counts: what is counted in.
    """

    __slots__ = ("_counts",)

    def __init__(self, consumer: Consumer, frames: Frames | None, counts: Counts) -> None:
        super().__init__(consumer, frames)
        self._counts = counts

    def call(self, message: Message, is_clients: bool) -> Awaitable[None] | None:
        handling = super().call(message, is_clients)
        if handling is None and not _is_optional(message):
            self._counts.drop(table.NO_HANDLER)
        return handling


class ObservedFrames(Frames):
    """Counts the raw frames that are dropped.

    Args:
        sender, consumer_class: as of `Frames`.
        counts: what is counted in.
    """

    __slots__ = ("_counts",)

    def __init__(self, sender: Sender, consumer_class: type, counts: Counts) -> None:
        super().__init__(sender, consumer_class)
        self._counts = counts

    def takes(self, message: Message) -> bool:
        if super().takes(message):
            return True
        self._counts.drop(table.NO_HANDLER)
        return False


def counting_receive(receive: Receive, counts: Counts) -> Receive:
    """Return a `receive` that counts the messages of a connection."""
    if counts.attributes[table.PROTOCOL] == "channel":  # all that comes is a layer's

        async def counting() -> Message:
            message = await receive()
            if message.get("type") not in DISCONNECTS:
                counts.received[table.FROM_LAYER] += 1
            return message

    else:

        async def counting() -> Message:
            message = await receive()
            if message.get("type") in FROM_CLIENT:
                counts.received[table.CLIENT] += 1
            return message

    return counting


def counting_send(send: Send, counts: Counts) -> Send:
    """Return a `send` that counts the messages which the server took."""

    async def counting(event: Message) -> None:
        await send(event)
        if event.get("type") in FOR_CLIENT:
            counts.sent += 1

    return counting


def is_data(message: Message) -> bool:
    """Tell a message of the client's from what opens and ends its connection."""
    return message.get("type") in FROM_CLIENT


def close_code(sender: Sender, is_accepted: bool, ending_code: int) -> object:
    """Return the code that a connection was closed with, or REJECTED."""
    if not is_accepted and sender.answered:
        return table.REJECTED
    return ending_code if sender.close_code is None else sender.close_code


_attributes: WeakKeyDictionary[type, dict[str, Attributes]] = WeakKeyDictionary()


def attributes_of(consumer_class: type) -> Callable[[Message], Attributes]:
    """Return what names the handler of a message: a client may choose the type, so only methods of the class are."""
    known = _attributes.setdefault(consumer_class, {})
    other = {table.CONSUMER: consumer_class.__name__, table.HANDLER: table.OTHER}

    def attributes(message: Message) -> Attributes:
        try:
            name = handler_name(message)
        except ValueError:
            return other
        found = known.get(name)
        if found is None:
            if not callable(next((vars(base)[name] for base in consumer_class.__mro__ if name in vars(base)), None)):
                return other
            found = known[name] = {**other, table.HANDLER: name}
        return found

    return attributes


def _is_optional(message: Message) -> bool:
    """Tell what a layer sends to all consumers, for those that want to know."""
    try:
        return handler_name(message) in OPTIONAL
    except ValueError:
        return False
