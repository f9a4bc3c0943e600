"""Transports that join what is written: a system call costs more than a frame.

    handlers, pongs ─── write() ───────▶ pending ──────────┐
                                            ▲ leave()      ├─ one write for each connection
    shared frames ──── write_all() ────▶ batch ────────────┘

What is written to one connection leaves at the end of the event loop's step, in one piece. Frames for many are kept
once, in a batch, and not with each of them. A batch waits for the next step as long as each step brings more for it: so
messages meet that one sender sends one after the other. Whatever else is written to one of its connections goes behind
the batch's frames: the connection takes them out, and goes on by itself.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from typing import Any, Protocol
from weakref import ref

from websockets.protocol import State

from .._aio.loops import PerLoop

AT_ONCE = 64 * 1024
"""Bytes that are not held back: the transport has to see them, to say when they are too many."""

PATIENCE = 20e-6
"""Seconds for each connection that a batch waits for more, at most: about as long as it takes to write to them."""

MOST_PATIENCE = 0.02
"""Seconds that a batch waits for more, however many connections it has."""

OPEN = State.OPEN  # looking a member up costs as much as a function call in Python 3.11


class HasState(Protocol):
    """What knows whether the WebSocket is open."""

    @property
    def state(self) -> State: ...


class JoinedTransport:
    """A transport whose writes leave at the end of the event loop's step, those of one connection in one piece.

    Args:
        transport: the transport.
        loop: its event loop.
        websocket: the connection on it.

    Attributes:
        takes_frames: whether `write_all()` may be given this connection: it is open, and its client reads.
        write_all: writes a frame to such connections; see `Step.write_all()`.
    """

    __slots__ = (
        "_batch",
        "_is_blocked",
        "_pending",
        "_size",
        "_step",
        "_transport",
        "_websocket",
        "is_closing",
        "takes_frames",
        "write_all",
    )

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, websocket: HasState) -> None:
        self._transport = transport
        self._websocket = websocket
        self._step = _steps.get(loop)
        self._pending: list[bytes] = []
        self._size = 0
        self._batch: Batch | None = None
        self._is_blocked = False
        self.is_closing = transport.is_closing
        self.takes_frames = False
        self.write_all = self._step.write_all

    def write(self, data: bytes) -> None:
        """Write some bytes, soon."""
        if self._batch is not None:
            self._batch.leave(self)
        self._add(data)
        self.takes_frames = self._websocket.state is OPEN and not self._is_blocked  # it may be a close frame
        if self._size >= AT_ONCE:
            self.flush()

    def _add(self, data: bytes) -> None:
        if not self._pending:
            self._step.add(self)
        self._pending.append(data)
        self._size += len(data)

    def flush(self) -> None:
        """Write what waits."""
        if self._batch is not None:
            self._batch.leave(self)
        pending = self._pending
        if pending:
            data = pending[0] if len(pending) == 1 else b"".join(pending)
            pending.clear()
            self._size = 0
            self.write_now(data)

    def write_now(self, data: bytes) -> None:
        """Write some bytes at once, as nothing waits. What fails is not the sender's error, who may be anybody."""
        if self.is_closing():  # else uvloop raises, where asyncio drops it
            return
        try:
            self._transport.write(data)
        except Exception as error:
            self._transport.abort()  # a client that lacks this must not get what follows
            self._step.report(error)

    def set_blocked(self, is_blocked: bool) -> None:
        """Note whether nothing is to be written, for the client does not read, or has gone."""
        self._is_blocked = is_blocked
        self.takes_frames = self._websocket.state is OPEN and not is_blocked

    def close(self) -> None:
        """Close when everything is written."""
        self.set_blocked(True)
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Batch:
    """Frames that the same connections get.

    Args:
        connections: who gets them, none twice.
        until: when they leave at the latest, in the loop's time.

    Attributes:
        connections: who gets them.
        has_grown: whether there is a new one since the event loop's last step.
        until: when they leave at the latest.
    """

    __slots__ = ("_frames", "_left", "_remaining", "connections", "has_grown", "size", "until")

    def __init__(self, connections: list[JoinedTransport], until: float) -> None:
        for connection in connections:
            if connection._batch is not None:
                connection._batch.leave(connection)
            connection._batch = self
        self.connections = connections
        self.until = until
        self.has_grown = False
        self.size = 0
        self._frames: list[bytes] = []
        self._left: list[JoinedTransport] = []
        self._remaining: Iterator[JoinedTransport] = iter(connections)

    def add(self, frame: bytes) -> None:
        """Add a frame for all."""
        self._frames.append(frame)
        self.size += len(frame)
        self.has_grown = True
        for connection in self._left:
            connection.write(frame)

    def leave(self, connection: JoinedTransport) -> None:
        """Have a connection go on by itself: something else than these frames is next."""
        connection._batch = None
        connection._add(b"".join(self._frames))
        self._left.append(connection)

    def flush(self) -> None:
        """Write the frames, to each connection together with what waits there."""
        data = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
        for connection in self._remaining:  # kept, so that KeyboardInterrupt in one is not the others'
            if connection._batch is not self:
                continue
            connection._batch = None
            if connection._pending:
                connection._add(data)
                connection.flush()
            else:
                connection.write_now(data)


class Step:
    """The connections that one event loop has to write to at the end of its present step.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._get_loop: Callable[[], Any] = ref(loop)  # a loop that has ended must not be kept
        self._context = Context()  # without the variables of who sends; of its own, as no two threads may be in one
        self._transports: list[JoinedTransport] = []
        self._batches: list[Batch] = []
        self._is_scheduled = False

    def add(self, transport: JoinedTransport) -> None:
        """Have a transport flushed at the end of the step."""
        self._transports.append(transport)
        self._schedule()

    def write_all(self, connections: list[JoinedTransport], frame: bytes) -> None:
        """Write a frame to connections that take frames, soon.

        Args:
            connections: the connections, of this event loop, none twice. The list is kept.
            frame: the frame.
        """
        if len(connections) == 1:
            connections[0].write(frame)
            return
        batch = connections[0]._batch
        if batch is None or batch.connections != connections:
            patience = min(PATIENCE * len(connections), MOST_PATIENCE)
            batch = Batch(connections, self._get_loop().time() + patience)
            self._batches.append(batch)
            self._schedule()
        batch.add(frame)
        if batch.size >= AT_ONCE:
            self._batches.remove(batch)
            self._flush_batches([batch])

    def report(self, error: Exception) -> None:
        """Have the event loop's exception handler hear of a write that has failed."""
        self._get_loop().call_exception_handler({"message": "A client's transport failed", "exception": error})

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._get_loop().call_soon(self._end, context=self._context)

    def _end(self) -> None:
        self._is_scheduled = False
        batches, self._batches = self._batches, []
        ready = self._choose(batches) if batches else []
        transports, self._transports = self._transports, []
        remaining = iter(transports)
        try:
            _flush_all(remaining)
        finally:  # KeyboardInterrupt and SystemExit leave a step, and the loop may be run again
            if left := list(remaining):
                self._transports[:0] = left
                self._schedule()
            self._flush_batches(ready)

    def _choose(self, batches: list[Batch]) -> list[Batch]:
        """Return those that are not to wait for more; keep the others."""
        now = self._get_loop().time()
        ready = []
        for batch in batches:
            if batch.has_grown and now < batch.until:
                batch.has_grown = False
                self._batches.append(batch)
                self._schedule()
            else:
                ready.append(batch)
        return ready

    def _flush_batches(self, batches: list[Batch]) -> None:
        remaining = iter(batches)
        for batch in remaining:
            try:
                batch.flush()
            except BaseException:
                batch.has_grown = False
                self._batches[:0] = [batch, *remaining]  # the rest of its connections, in the next step
                self._schedule()
                raise


def _flush_all(transports: Iterable[JoinedTransport]) -> None:
    for transport in transports:
        transport.flush()


_steps = PerLoop(Step)
