"""Raw frames: a layer's messages that are events for the server; they need no handler and, on asyncio, no task."""

import asyncio
from collections.abc import Iterable
from typing import Any

from . import events, handlers
from .inbox import Inbox
from .inline import Rest, Run, identity, swap_current_task
from .socket import OPEN, Socket
from .types import Deliver, Message, Send

FRAME = "websocket.send"

_REST = "rest"
_DONE = object()


class Frames:
    """Sends one connection's raw frames.

    Args:
        socket: the connection's.
        send: the server's ASGI `send`.
        inbox: the connection's.
        deliver: takes what is no frame, and those that the connection's worker has to send.
        consumer_class: named in the log.
    """

    __slots__ = ("_consumer_class", "_deliver", "_inbox", "_loop", "_run", "_send", "_socket", "_task")

    def __init__(self, socket: Socket, send: Send, inbox: Inbox, deliver: Deliver, consumer_class: type) -> None:
        self._socket = socket
        self._send: Any = send
        self._inbox = inbox
        self._deliver = deliver
        self._consumer_class = consumer_class
        self._run: Run | None = None
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[Any]

    def start_early(self) -> None:
        """From now on, let `deliver()` send frames while the connection's worker, which calls this, waits."""
        worker = identity()
        if worker is not None:
            self._loop, self._task, self._run = worker

    def stop(self) -> None:
        """Leave everything to the worker again."""
        self._run = None

    def deliver(self, message: Message) -> int:
        """Take a message from the channel layer; send it at once if it is a frame and the worker only waits."""
        run = self._run

        if (
            run is not None
            and message.get("type") == FRAME
            and (type(message.get("text")) is str or self._is_frame(message))
            and self._inbox.is_awaited
            and not self._inbox.running
            and self._socket.state is OPEN
        ):
            steps = self._send(message).__await__()
            current = swap_current_task(self._loop, self._task)
            try:
                waits_for = run(next, steps, _DONE)
                if waits_for is _DONE:
                    return 1
                rest = Rest(steps, waits_for)
            except BaseException as error:
                rest = Rest(steps, None, error)
            finally:
                swap_current_task(self._loop, current)
            message = {**message, _REST: rest}
        return self._deliver(message)

    async def send(self, message: Message) -> None:
        """Send a frame, or the rest of one, in the worker; one for a socket that is not open is dropped."""
        rest = message.get(_REST)
        if isinstance(rest, Rest):
            try:
                await self._socket.finish_frame(rest)
            except UnicodeEncodeError:
                await self._socket.send(events.without_surrogates(message))
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
