"""Raw frames: a layer's messages that are events for the server; they need no handler and, on asyncio, no task."""

import asyncio
from collections.abc import Iterable
from typing import Any

from . import events, handlers
from .inbox import Inbox
from .inline import Rest, swap_current_task
from .layers.loops import running_loop
from .socket import Socket
from .turns import TurnWaker
from .types import Batching, Message, Send

FRAME = "websocket.send"

_REST = "rest"
_DONE = object()


class Frames(Batching):
    """Sends one connection's raw frames; called, takes a message from the channel layer.

    Args:
        socket: the connection's.
        send: the server's ASGI `send`.
        inbox: the connection's, for what its worker has to handle, or to send.
        consumer_class: named in the log.

    Attributes:
        batch: what starts the frames of many connections.
    """

    __slots__ = (
        "_beside",
        "_consumer_class",
        "_held",
        "_inbox",
        "_is_starting",
        "_send",
        "_socket",
        "_starter",
        "_worker",
    )

    def __init__(self, socket: Socket, send: Send, inbox: Inbox, consumer_class: type) -> None:
        self._socket = socket
        self._send: Any = send
        self._inbox = inbox
        self._consumer_class = consumer_class
        self._beside: Inbox | _NoHandlers = inbox
        self._starter: TurnWaker | None = None
        self._worker: TurnWaker | None = None  # while frames may be started early, if it waits
        self._is_starting = False  # the sending of a frame; for the rest of it the inbox, which is empty, has room
        self._held: list[Message] | None = None  # what a middleware's `send` has sent here meanwhile

    def __call__(self, message: Message) -> int:
        if not self._is_starting:
            return self._inbox(message)
        held = self._held = self._held or []
        if len(held) + 1 >= self._inbox.layer_limit:
            return 0
        held.append(message)
        return len(held)

    def start_early(self, max_tasks: int) -> None:
        """From now on, if the socket is open, let `batch()` start frames while the worker, which calls this, waits.

        Args:
            max_tasks: how many handlers run at once; of several, none must run beside the worker then.
        """
        worker = self._inbox.worker
        if isinstance(worker, TurnWaker):
            worker.task = asyncio.current_task()
            self._starter = worker
            self._beside = _NO_HANDLERS if max_tasks == 1 else self._inbox
            self.switch(self._socket.is_open)

    def switch(self, is_open: bool) -> None:
        """Note whether the socket is open, and is to stay so; if not, everything is left to the worker."""
        self._worker = self._starter if is_open else None

    @staticmethod
    def batch(receivers: list[Any], message: Message) -> list[Any]:
        """Start sending a frame to those of the receivers whose workers only wait; see `consumers.types.Batch`."""
        loop = running_loop()
        if message.get("type") != FRAME or not _is_frame(message) or not isinstance(loop, asyncio.AbstractEventLoop):
            return receivers
        others, own = [], Frames.batch
        current = asyncio.current_task(loop)
        plain: Any = message
        frames: Any
        worker: Any
        try:
            for receiver in receivers:
                frames = receiver.deliver
                if (
                    receiver.batch is not own
                    or (worker := frames._worker) is None
                    or not worker.waits
                    or frames._beside.running  # it would have to wait with the rest of a frame
                    or frames._is_starting
                ):
                    others.append(receiver)
                    continue
                swap_current_task(loop, worker.task)
                frames._is_starting = True
                steps = rest = None
                try:
                    steps = frames._send(plain.copy()).__await__()
                    if (waits_for := worker.context.run(next, steps, _DONE)) is not _DONE:
                        rest = Rest(steps, waits_for)
                except BaseException as error:
                    rest = Rest(steps, None, error)
                frames._is_starting = False
                if rest is not None or frames._held is not None:
                    frames._leave_to_worker(message, rest)
        finally:
            swap_current_task(loop, current)
            frames = worker = steps = rest = current = None  # an error, kept, keeps this call's variables
        return others

    def _leave_to_worker(self, message: Message, rest: Rest | None) -> None:
        """Deliver the rest of a frame, if there is one, and then what was held back."""
        held, self._held = self._held or (), None
        if rest is not None:
            self._inbox({**message, _REST: rest})
        for other in held:
            self._inbox(other)

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
        if _is_frame(message):
            return True
        handlers.log_once(self._consumer_class, "a raw frame needs a str as its 'text' or bytes as its 'bytes'")
        return False


class _NoHandlers:
    """Stands in for an inbox beside which nothing runs: one for all, and so in the processor's cache."""

    running = 0


_NO_HANDLERS = _NoHandlers()


def _is_frame(message: Message) -> bool:
    return isinstance(message.get("text"), str) or isinstance(message.get("bytes"), bytes)
