"""A consumer's connection that is measured."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar
from weakref import WeakKeyDictionary

from .._connection.connection import Connection
from .._connection.dispatch import OPTIONAL
from .._connection.events import DISCONNECTS
from .._connection.frames import Frames
from .._connection.sender import Socket
from .._connection.shutdown import Handler
from ..types import CloseCode, Deliver, Message, Receive, Send, handler_name
from . import table
from .durations import Attributes, Durations
from .tallies import Tallies, Tally

FROM_CLIENT = frozenset({"websocket.receive", "http.request"})
FOR_CLIENT = frozenset({"websocket.send", "http.response.body"})


class ObservedConnection(Connection):
    """Counts one connection and its messages, and times its handlers.

    Attributes:
        tallies: what it is counted in.
        durations: what its handlers' times are recorded with.
    """

    tallies: ClassVar[Tallies]
    durations: ClassVar[Durations]

    def __init__(self, consumer: Handler, receive: Receive, send: Send) -> None:
        self._tally = tally = self.tallies.tally_for(type(consumer), consumer.scope)
        self._is_accepted = False
        send = counting_send(send, tally)
        super().__init__(consumer, counting_receive(receive, tally), send)
        if self._frames is not None:
            self._frames = ObservedFrames(self._socket, type(consumer), tally)
        # Every message passes it. Not a class attribute, so that those who override it need to know nothing.
        vars(consumer)["dispatch"] = self.durations.timed(consumer, "dispatch", attributes_of(type(consumer)))

    async def run(self) -> None:
        tallies, tally = self.tallies, self._tally
        tallies.opened(tally, self)
        try:
            await super().run()
        finally:
            ending = self._ending
            waiting = sum(not isinstance(entry, tuple) or is_data(entry[0]) for entry in self._mailbox.messages)
            tally.drop(table.ENDING, waiting)
            tally.drop(table.HANDLER_CANCELLED, self._cancelled)
            code: object = ""
            if self._protocol == "websocket":
                code = close_code(
                    self._socket, self._is_accepted, CloseCode.ABNORMAL_CLOSURE if ending is None else ending.code
                )
            tallies.closed(tally, code, self)

    @property
    def waiting(self) -> int:
        """How many messages wait for a handler."""
        return len(self._mailbox.messages)

    @property
    def _deliver(self) -> Deliver:
        return partial(self._count_delivery, self._mailbox)

    def _refuses(self, message: Message) -> bool:
        was_ending = self.is_ending
        refused = super()._refuses(message)
        if refused and not was_ending:
            self._tally.drop(table.LIMIT)
        return refused

    def _count_delivery(self, deliver: Deliver, message: Message) -> int:
        tally = self._tally
        tally.received[table.FROM_LAYER] += 1
        if self._ending is not None:
            tally.drop(table.ENDING)
        waiting = deliver(message)
        if not waiting:
            tally.drop(table.MAILBOX_FULL)
        return waiting

    def _on_socket_change(self, close_code: int | None) -> None:
        self._is_accepted = self._is_accepted or close_code is None
        super()._on_socket_change(close_code)

    def _handling(self, message: Message, is_clients: bool) -> Awaitable[None] | None:
        handling = super()._handling(message, is_clients)
        if handling is None and not _is_optional(message):
            self._tally.drop(table.NO_HANDLER)
        return handling


class ObservedFrames(Frames):
    """Counts the raw frames that are dropped.

    Args:
        socket, consumer_class: as of `Frames`.
        tally: what is counted in.
    """

    __slots__ = ("_tally",)

    def __init__(self, socket: Socket, consumer_class: type, tally: Tally) -> None:
        super().__init__(socket, consumer_class)
        self._tally = tally

    def takes(self, message: Message) -> bool:
        if super().takes(message):
            return True
        self._tally.drop(table.NO_HANDLER)
        return False


def counting_receive(receive: Receive, tally: Tally) -> Receive:
    """Return a `receive` that counts the messages of a connection."""
    if tally.attributes[table.PROTOCOL] == "channel":  # all that comes is a layer's

        async def counting() -> Message:
            message = await receive()
            if message.get("type") not in DISCONNECTS:
                tally.received[table.FROM_LAYER] += 1
            return message

    else:

        async def counting() -> Message:
            message = await receive()
            if message.get("type") in FROM_CLIENT:
                tally.received[table.CLIENT] += 1
            return message

    return counting


def counting_send(send: Send, tally: Tally) -> Send:
    """Return a `send` that counts the messages which the server took."""

    async def counting(event: Message) -> None:
        await send(event)
        if event.get("type") in FOR_CLIENT:
            tally.sent += 1

    return counting


def is_data(message: Message) -> bool:
    """Tell a message of the client's from what opens and ends its connection."""
    return message.get("type") in FROM_CLIENT


def close_code(socket: Socket, is_accepted: bool, ending_code: int) -> object:
    """Return the code that a connection was closed with, or REJECTED."""
    if not is_accepted and socket.answered:
        return table.REJECTED
    return ending_code if socket.close_code is None else socket.close_code


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
