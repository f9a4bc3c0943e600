"""Raw frames: a layer's messages that are events for the server; they need no handler and, on asyncio, no task."""

from collections.abc import Iterable

from . import handlers
from .inline import Rest, Starter, make_starter
from .socket import Socket
from .types import Message

FRAME = "websocket.send"

_REST = "rest"


class Frames:
    """Sends one connection's raw frames.

    Args:
        socket: where to.
        consumer_class: named in the log.
    """

    __slots__ = ("_consumer_class", "_socket", "_starter")

    def __init__(self, socket: Socket, consumer_class: type) -> None:
        self._socket = socket
        self._consumer_class = consumer_class
        self._starter: Starter | None = None

    def start_early(self) -> None:
        """From now on, let `start()` send while the connection's worker, which calls this, waits."""
        self._starter = make_starter()

    def start(self, message: Message) -> Message | None:
        """Send a frame at once, while the worker waits.

        Returns:
            None if that is done; else the message that the worker has to pass to `send()`.
        """
        if self._starter is None:
            return message
        if type(message.get("text")) is not str and not self._is_frame(message):
            return None
        sending = self._socket.frame(message)
        rest = None if sending is None else self._starter.start(sending)
        return None if rest is None else {"type": FRAME, _REST: rest}

    async def send(self, message: Message) -> None:
        """Send a frame, or the rest of one, in the worker; one for a socket that is not open is dropped."""
        rest = message.get(_REST)
        if isinstance(rest, Rest):
            await self._socket.finish_frame(rest)
        elif self._socket.is_open and self._is_frame(message):
            await self._socket.send(message)

    def give_up(self, messages: Iterable[object]) -> None:
        """End what has been started, is among these and will not be finished."""
        for message in messages:
            if isinstance(message, dict) and isinstance(rest := message.get(_REST), Rest):
                rest.close()

    def _is_frame(self, message: Message) -> bool:
        if isinstance(message.get("text"), str) or isinstance(message.get("bytes"), bytes):
            return True
        handlers.log_once(self._consumer_class, "a raw frame needs a str as its 'text' or bytes as its 'bytes'")
        return False
