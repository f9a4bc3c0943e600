"""Shared frames: what is the same for many members of a group is encoded once, and needs no handler's turn.

    group_send() ── deliver_many() ─┬─ Shortcut ── the server writes it         nothing else is on its way to the client
                                    └─ messages ── worker ── handler ── send()  otherwise

Only a server that offers `EXTENSION` has the shortcut. Whichever way a message takes, the client gets the same, in the
same order: the shortcut is open while the worker waits for the next message, and so has sent all that came before.
"""

from collections.abc import Callable, Mapping
from inspect import unwrap
from typing import Any, Protocol

from .._aio.mailbox import Mailbox, SharedMessage
from ..types import Message
from .consumer import Consumer
from .frames import FRAME
from .framework import definers, is_framework
from .sender import OPEN, Sender

EXTENSION = "consumers.frame"
"""The ASGI extension of a server that writes frames: a dict of two plain functions.

"encode": takes the str or bytes of a message, and returns its frame.
"write": takes such a frame; returns False if it cannot be taken now: the client does not read, or is going away.
"""

Encode = Callable[[str | bytes], bytes]
Write = Callable[[bytes], bool]

RELAY = "__consumers_relay__"
"""The attribute of a handler that only passes on what its relay says."""

OF_THE_CONSUMER = ("dispatch", "send", "websocket_send")
"""Methods that see every message. Where an application replaces one, or `base_send`, nothing goes past it."""


class Relay(Protocol):
    """Says what a client gets of a group's message, if that is the same for many members."""

    def fits(self, consumer_class: type) -> bool:
        """Tell whether the handlers of a class do no more than this says."""
        ...

    def frame(self, shared: SharedMessage, consumer: Any, encode: Encode) -> bytes | None:
        """Return the frame, made once for all who get the same; None if the handler has to see the message."""
        ...


class ContentRelay:
    """A relay whose clients all get the same."""

    def fits(self, consumer_class: type) -> bool:
        """Tell whether the handlers of a class do no more than this says."""
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

    def content(self, message: Message) -> str | bytes:
        text = message.get("text")
        found: str | bytes = message["bytes"] if text is None else text
        if not isinstance(found, str | bytes):
            raise TypeError("a raw frame needs a str as its 'text' or bytes as its 'bytes'")
        return found


RAW_FRAMES = _RawFrames()


class Shortcut:
    """Writes a group's messages to one client, if nothing else is on its way there.

    Args:
        consumer: the client's.
        mailbox: the connection's.
        sender: the connection's.
        relays: by the types of messages, what the client gets of them.
        extension: the server's, see `EXTENSION`.
    """

    __slots__ = ("_consumer", "_encode", "_mailbox", "_relays", "_sender", "_write")

    def __init__(
        self,
        consumer: Consumer,
        mailbox: Mailbox,
        sender: Sender,
        relays: Mapping[str, Relay],
        extension: Mapping[str, Any],
    ) -> None:
        self._consumer = consumer
        self._mailbox = mailbox
        self._sender = sender
        self._relays = relays
        self._encode: Encode = extension["encode"]
        self._write: Write = extension["write"]

    def __call__(self, shared: SharedMessage) -> bool:
        """Write what a message is for the client; return False if it has to go the usual way."""
        relay = self._relays.get(shared.kind)
        mailbox = self._mailbox
        if relay is None or mailbox.messages or not mailbox.is_idle or self._sender.state is not OPEN:
            return False
        frame = relay.frame(shared, self._consumer, self._encode)
        return frame is not None and self._write(frame)


def shortcut_of(consumer: Consumer, mailbox: Mailbox, sender: Sender, relays: Mapping[str, Relay]) -> Shortcut | None:
    """Return the shortcut of a connection whose `connect()` has returned; None if nothing may go past its handlers.

    Args:
        consumer: the consumer.
        mailbox: the connection's.
        sender: the connection's.
        relays: those of its class, by the names of handlers.
    """
    extension = (consumer.scope.get("extensions") or {}).get(EXTENSION)
    if extension is None or not consumer.shared_frames or consumer.max_tasks > 1:
        return None
    own = vars(consumer)
    if any(name in own or _is_replaced(type(consumer), name) for name in OF_THE_CONSUMER):
        return None
    if getattr(unwrap(own["base_send"]), "__self__", None) is not sender:
        return None
    fitting = {name: relay for name, relay in relays.items() if name not in own and relay.fits(type(consumer))}
    found = {spelling: relay for name, relay in fitting.items() for spelling in _spellings(name)}
    if consumer.raw_frames:
        found[FRAME] = RAW_FRAMES
    return Shortcut(consumer, mailbox, sender, found, extension) if found else None


def _is_replaced(consumer_class: type, name: str) -> bool:
    """Tell whether an application has a method of its own in the place of the framework's."""
    found = definers(consumer_class, name)
    return bool(found) and not is_framework(found[0])


def _spellings(name: str) -> tuple[str, ...]:
    """Return the types of messages that reach a handler, as applications write them."""
    return name, name.replace("_", ".")
