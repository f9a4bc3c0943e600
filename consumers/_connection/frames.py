"""Raw frames: a layer's messages that are events for the server; they need no handler and, on asyncio, no task."""

import asyncio
from collections.abc import Iterable
from typing import Any

from .._aio.inline import Rest, swap_current_task
from .._aio.loops import running_loop
from .._aio.mailbox import Inbox
from .._aio.turns import TurnWaker
from ..types import Batching, Message, Send
from . import dispatch, events
from .sender import Socket

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
        "_consumer_class",
        "_held",
        "_inbox",
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
        self._starter: TurnWaker | None = None  # what may be `_worker`
        self._worker: TurnWaker | _Nobody = _NOBODY  # on whose behalf a frame can be started, if it waits
        # While a frame is started, `_worker` is `_BUSY`, or this is a list: what a middleware's `send` has sent here.
        self._held: list[Message] | None = None

    def __call__(self, message: Message) -> int:
        if self._held is None:
            if self._worker is not _BUSY:
                return self._inbox(message)
            self._held, self._worker = [], _NOBODY
        if len(self._held) + 1 >= self._inbox.layer_limit:  # for the rest of the frame the inbox, empty now, has room
            return 0
        self._held.append(message)
        return len(self._held)

    def start_early(self) -> None:
        """From now on, while the socket is open, let `batch()` start frames while the worker, which calls this, waits.

        Not for a worker that lets others run handlers: what it has begun it would have to finish itself.
        """
        worker = self._inbox.worker
        if isinstance(worker, TurnWaker):
            worker.task = asyncio.current_task()
            self._starter = worker
            if self._socket.is_open:
                self.opened()

    def opened(self) -> None:
        """Note that the socket is open."""
        self._worker = self._starter or _NOBODY

    def closed(self) -> None:
        """Note that the socket is closed, or is to be: everything is left to the worker."""
        if self._worker is _BUSY:
            self._held = []  # what comes before the frame has its place is still held back
        self._starter, self._worker = None, _NOBODY

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
                if receiver.batch is not own or not (worker := frames._worker).waits:
                    others.append(receiver)
                    continue
                swap_current_task(loop, worker.task)
                frames._worker = _BUSY
                steps = rest = None
                try:
                    steps = frames._send(plain.copy()).__await__()
                    if (waits_for := worker.context.run(next, steps, _DONE)) is _DONE and frames._worker is _BUSY:
                        frames._worker = worker
                        continue
                    if waits_for is not _DONE:
                        rest = Rest(steps, waits_for)
                except BaseException as error:
                    rest = Rest(steps, None, error)
                frames._leave_to_worker(message, rest)
        finally:
            swap_current_task(loop, current)
            frames = worker = steps = rest = current = None  # an error, kept, keeps this call's variables
        return others

    def _leave_to_worker(self, message: Message, rest: Rest | None) -> None:
        """Deliver the rest of a frame, if there is one, and then what was held back."""
        self._worker = self._starter or _NOBODY
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
        dispatch.log_once(self._consumer_class, "a raw frame needs a str as its 'text' or bytes as its 'bytes'")
        return False


class _Nobody:
    """Stands in for a worker that does not wait."""

    waits = False


_NOBODY = _Nobody()
_BUSY = _Nobody()  # it steps `send`


def _is_frame(message: Message) -> bool:
    return isinstance(message.get("text"), str) or isinstance(message.get("bytes"), bytes)
