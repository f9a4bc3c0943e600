"""Raw frames: a layer's messages that are events for the server, and need no handler."""

from typing import Any

from ..layers._history import HISTORY
from ..types import ConnectionObserver, Message
from .log import log_once
from .positions import TAKES_POSITION, member_of, shared_with_member
from .sender import Sender

FRAME = "websocket.send"


class Frames:
    """Sends one connection's raw frames, as its worker's turn comes.

    Args:
        sender: the connection's.
        consumer_class: named in the log.
        observer: the connection's, if it has one.
    """

    __slots__ = ("_consumer_class", "_observer", "_sender")

    def __init__(self, sender: Sender, consumer_class: type, observer: ConnectionObserver | None) -> None:
        self._sender = sender
        self._observer = observer
        self._consumer_class = consumer_class

    async def send(self, message: Message, consumer: Any) -> None:
        """Send a frame to a consumer's client; one for a socket that is not open is dropped."""
        if self._takes(message):
            if TAKES_POSITION in message:
                self._tell_place(message, consumer)
            message.pop(HISTORY, None)  # which is no part of ASGI's event
            await self._sender.send(message)
        elif self._observer is not None:
            self._observer.dropped("no_handler")

    def _tell_place(self, message: Message, consumer: Any) -> None:
        """Put into a frame where the client is when it has got it."""
        member = member_of(consumer, message)
        del message[TAKES_POSITION]
        if member is not None:
            try:
                message["text"] = shared_with_member(message["text"], *member)
            except ValueError:
                log_once(self._consumer_class, "a raw frame that takes a position, and whose text is no JSON object")

    def _takes(self, message: Message) -> bool:
        """Tell whether a frame can be sent; log what is none once."""
        if not self._sender.is_open:
            return False
        if isinstance(message.get("text"), str) or isinstance(message.get("bytes"), bytes):
            return True
        log_once(self._consumer_class, "a raw frame needs a str as its 'text' or bytes as its 'bytes'")
        return False
