"""Shared frames: what is the same for many members of a group is encoded once, and needs no handler's turn.

    group_send() ── deliver_many() ─┬─ Shortcut ── the server writes it         nothing else is on its way to the client
                                    └─ messages ── worker ── handler ── send()  otherwise

Only a server that offers `EXTENSION` has the shortcut. Whichever way a message takes, the client gets the same, in the
same order: the shortcut is open while the worker waits for the next message, and so has sent all that came before.
`_aio.sharing` decides about a whole group at once.
"""

from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from .._aio.sharing import Connection, SharedMessage
from ..types import Message
from .consumer import Consumer
from .frames import FRAME
from .framework import definers, is_framework
from .positions import member_of, shared_with_member

EXTENSION = "consumers.frame"
"""The ASGI extension of a server that writes frames: a dict.

"encode": a plain function that takes the str or bytes of a message, and returns its frame. It is the same for all
    connections of a process.
"connection": a `_aio.sharing.Connection`. It takes frames once the handshake is accepted, until the client does not
    read, or something ends the connection.
"""

Encode = Callable[[str | bytes], bytes]

OF_THE_CONSUMER = ("dispatch", "send", "websocket_send")
"""Methods that see every message. Where an application replaces one, or `base_send`, nothing goes past it."""


class Relay(Protocol):
    """Says what a client gets of a group's message, if that is the same for many members."""

    def fits(self, consumer: Consumer) -> bool:
        """Tell whether the handler of a consumer does no more than this says."""
        ...

    def frame(self, shared: SharedMessage, consumer: Any, encode: Encode) -> bytes | None:
        """Return the frame, made once for all who get the same; None if the handler has to see the message."""
        ...


_relays: WeakKeyDictionary[FunctionType, Relay] = WeakKeyDictionary()


def relays_by(handler: Any, relay: Relay) -> None:
    """Note that a handler does no more than its relay says. No attribute does, which decorators would copy."""
    _relays[handler] = relay


def relay_of(handler: object) -> Relay | None:
    """Return the relay of a handler; None if it has none."""
    return _relays.get(handler) if isinstance(handler, FunctionType) else None


class ContentRelay:
    """A relay whose clients all get the same."""

    def fits(self, consumer: Consumer) -> bool:
        """Tell whether the handler of a consumer does no more than this says."""
        return True

    def content(self, message: Message) -> str | bytes:
        """Return what clients get of a message; what this raises, the handler will raise, too."""
        raise NotImplementedError

    def frame(self, shared: SharedMessage, consumer: Any, encode: Encode) -> bytes | None:
        """Return the frame of what clients get."""
        return frame_of(shared, self, encode, self.content)


def frame_of(
    shared: SharedMessage, key: object, encode: Encode, content: Callable[[Message], str | bytes | None]
) -> bytes | None:
    """Return the frame of a message that is kept with it under a key, and made the first time.

    Args:
        shared: the message.
        key: what all who get this frame have in common.
        encode: the server's.
        content: returns what clients get of the message; None: nothing without the handler.
    """
    try:
        return shared.frames[key]
    except KeyError:
        pass
    frame = None
    try:
        found = content(shared.message)
        if found is not None:
            frame = encode(found)
    except Exception:  # the handler is to raise it: then it counts, and is logged
        frame = None
    shared.frames[key] = frame
    return frame


class _RawFrames(ContentRelay):
    """The relay of events for the server, which need no handler."""

    def frame(self, shared: SharedMessage, consumer: Any, encode: Encode) -> bytes | None:
        """Return the frame; of an object that says where its client is, that of all who are at the same place."""
        member = member_of(consumer, shared.message)
        if member is None:
            return super().frame(shared, consumer, encode)

        def content(message: Message) -> str:
            return shared_with_member(message["text"], *member)

        return frame_of(shared, (self, member), encode, content)

    def content(self, message: Message) -> str | bytes:
        text, data = message.get("text"), message.get("bytes")
        if isinstance(text, str) and data is None:
            return text
        if isinstance(data, bytes) and text is None:
            return data
        raise TypeError("the server decides what of this it sends, if anything")


RAW_FRAMES = _RawFrames()


class Relays:
    """What the clients of one consumer class get of messages.

    Args:
        relays: by the names of handlers, and by some types of messages, what a client gets.
        names: the names of handlers by the types of messages.
    """

    __slots__ = ("_names", "relays")

    def __init__(self, relays: Mapping[str | None, Relay], names: Mapping[str, str | None]) -> None:
        self.relays = relays
        self._names = names

    def frame(self, shared: SharedMessage, consumer: Consumer, encode: Encode) -> bytes | None:
        """Return the frame of a message for one of them; None if the handler has to see it."""
        relay = self.relays.get(shared.kind) or self.relays.get(self._names[shared.kind])
        return None if relay is None else relay.frame(shared, consumer, encode)


class Shortcut:
    """The way of a group's messages to one client, past its worker.

    Args:
        consumer: the client's.
        relays: those of its class.
        extension: the server's, see `EXTENSION`.

    Attributes:
        connection: the server's.
        common: the relays; None if the client knows groups by labels, and so gets frames that others do not.
    """

    __slots__ = ("_consumer", "_encode", "_relays", "common", "connection")

    def __init__(self, consumer: Consumer, relays: Relays, extension: Mapping[str, Any]) -> None:
        self._consumer = consumer
        self._relays = relays
        self._encode: Encode = extension["encode"]
        self.connection: Connection = extension["connection"]
        self.common: Relays | None = None if consumer._has_labels else relays

    def frame(self, shared: SharedMessage) -> bytes | None:
        """Return the frame of a message for the client; None if the handler has to see it."""
        return self._relays.frame(shared, self._consumer, self._encode)


def shortcut_of(
    consumer: Consumer,
    base_send: object,
    relays: Mapping[str, Relay],
    names: Mapping[str, str | None],
    has_raw_frames: bool,
) -> Shortcut | None:
    """Return the shortcut of a connection whose `connect()` has returned; None if nothing may go past its handlers.

    Args:
        consumer: the consumer.
        base_send: the framework's own, which the consumer has had at first.
        relays: those of its class, by the names of handlers.
        names: the names of handlers by the types of messages.
        has_raw_frames: whether it passes raw frames on.
    """
    extension = (consumer.scope.get("extensions") or {}).get(EXTENSION)
    if extension is None or not consumer.shared_frames or consumer.max_tasks > 1:
        return None
    if vars(consumer).get("base_send") is not base_send or replaces(consumer, OF_THE_CONSUMER):
        return None
    found: dict[str | None, Relay] = {}
    for name, relay in relays.items():
        if _is_still(consumer, name, relay) and relay.fits(consumer):
            found[name] = found[name.replace("_", ".")] = relay
    if has_raw_frames:
        found[FRAME] = RAW_FRAMES
    if not found:
        return None
    known = _found.get(type(consumer))
    if known is None or known.relays != found:  # the same for all connections, nearly always
        known = _found[type(consumer)] = Relays(found, names)
    return Shortcut(consumer, known, extension)


_found: WeakKeyDictionary[type, Relays] = WeakKeyDictionary()


def replaces(consumer: Consumer, names: Iterable[str]) -> bool:
    """Tell whether an application has a method of its own in the place of one of the framework's."""
    own = vars(consumer)
    return any(
        name in own or any(not is_framework(definer) for definer in definers(type(consumer), name)[:1])
        for name in names
    )


def _is_still(consumer: Consumer, name: str, relay: Relay) -> bool:
    """Tell whether a handler is that of a relay: also a class may have another one by now."""
    found = definers(type(consumer), name)
    return name not in vars(consumer) and bool(found) and relay_of(vars(found[0])[name]) is relay
