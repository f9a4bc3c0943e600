"""What a client sends: messages that wait for a connection, and requests that wait for an answer."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from .errors import ClientError, QueueFull, Refused
from .messages import TO, TYPE

MOST_ABANDONED = 1000
"""Ids of requests for whose answers nobody waits any more."""

PING = b'{"type":"ping"}'


class Request:
    """A request that waits for its answer.

    Args:
        id: the message's id.
        content: the message.
    """

    __slots__ = ("_settled", "answer", "content", "error", "id")

    def __init__(self, id: str, content: bytes) -> None:
        self.id = id
        self.content = content
        self.answer: dict[str, Any] | None = None
        self.error: ClientError | None = None
        self._settled = anyio.Event()

    @property
    def is_settled(self) -> bool:
        return self._settled.is_set()

    async def wait(self) -> None:
        """Wait until there is an answer, or an error in place of it."""
        await self._settled.wait()

    def settle(self, answer: dict[str, Any] | None, error: ClientError | None = None) -> None:
        """Give it its answer, or an error."""
        self.answer, self.error = answer, error
        self._settled.set()


class Outbox:
    """A bounded queue of what is to be sent, in order. A request stays in it until it is answered.

    Args:
        limit: messages that may be in it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.is_connected = False
        self._requests: dict[str, Request] = {}
        self._unsent: deque[Request | bytes] = deque()
        self._abandoned: deque[str] = deque(maxlen=MOST_ABANDONED)
        self._is_sending = False
        self._has_ping = False
        self._error: ClientError | None = None
        self._changed = anyio.Event()

    @property
    def awaits_answers(self) -> bool:
        return bool(self._requests)

    async def room(self) -> None:
        """Wait until one more message has room.

        Raises:
            QueueFull: there is no connection over which that might happen.
            Closed: nothing is sent any more.
        """
        await checkpoint()
        while True:
            if self._error is not None:
                raise self._error
            if self._size() < self.limit:
                return
            if not self.is_connected:
                raise QueueFull(f"{self.limit} messages wait for a connection already: see the option queue_limit")
            await self._changed.wait()

    def put(self, message: Request | bytes) -> None:
        """Send a message when its turn comes."""
        self._unsent.append(message)
        if isinstance(message, Request):
            self._requests[message.id] = message
        self._notify()

    def discard(self, request: Request) -> None:
        """Do not wait for an answer any more, and do not send the request if that has not happened."""
        if self._requests.pop(request.id, None) is None:
            return
        if request in self._unsent:
            self._unsent.remove(request)
        else:
            self._abandoned.append(request.id)
        self._notify()

    def ping(self) -> None:
        """Send a ping before all that waits."""
        self._has_ping = True
        self._notify()

    def settle(self, message: Mapping[str, Any]) -> bool:
        """Give a request its answer, if somebody still waits for that; return whether the message is one.

        An application may have messages with a "to" of its own.
        """
        id = message.get(TO)
        if not isinstance(id, str):
            return False
        request = self._requests.pop(id, None)
        if request is None:
            return id in self._abandoned
        if message.get(TYPE) == "error":
            request.settle(None, Refused.by(message))
        else:
            request.settle(dict(message))
        self._notify()
        return True

    def connected(self) -> None:
        """Send all that has no answer once more, in order: what was sent comes before what was not."""
        waiting = [request for request in self._requests.values() if request not in self._unsent]
        self._unsent.extendleft(reversed(waiting))
        self.is_connected = True

    def disconnected(self) -> None:
        """Keep what is to be sent for another connection."""
        self.is_connected = self._is_sending = self._has_ping = False
        self._notify()

    def close(self, error: ClientError) -> None:
        """Send nothing any more; all who wait get an error."""
        self._error = error
        self._unsent.clear()
        for request in self._requests.values():
            request.settle(None, error)
        self._requests.clear()
        self._notify()

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send what there is, for ever."""
        while True:
            content = self._next()
            if content is not None:
                self._is_sending = True
                await send(content)
                continue
            if self._is_sending:
                self._is_sending = False
                self._notify()  # to whom waits until all is sent
            await self._changed.wait()

    async def sent(self) -> None:
        """Wait until all is sent."""
        while self._unsent or self._is_sending:
            await self._changed.wait()

    def _next(self) -> bytes | None:
        if self._has_ping:
            self._has_ping = False
            return PING
        if not self._unsent:
            return None
        message = self._unsent.popleft()
        if isinstance(message, Request):
            return message.content
        self._notify()  # to whom waits for room
        return message

    def _size(self) -> int:
        return len(self._requests) + sum(isinstance(each, bytes) for each in self._unsent)

    def _notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
