"""A transport that joins what is written within one step of the event loop: a system call costs more than a frame."""

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any
from weakref import ref

from .._aio.loops import PerLoop

AT_ONCE = 64 * 1024
"""Bytes that are not held back: the transport has to see them, to say when they are too many."""


class JoinedTransport:
    """A transport whose writes leave at the end of the event loop's step, those of one connection in one piece.

    Args:
        transport: the transport.
        loop: its event loop.
    """

    __slots__ = ("_pending", "_size", "_step", "_transport", "is_closing")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._step = _steps.get(loop)
        self._pending: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write some bytes, soon."""
        if not self._pending:
            self._step.add(self)
        self._pending.append(data)
        self._size += len(data)
        if self._size >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        pending = self._pending
        if pending:
            data = pending[0] if len(pending) == 1 else b"".join(pending)
            pending.clear()
            self._size = 0
            if not self.is_closing():  # else uvloop raises, where asyncio drops it
                self._transport.write(data)

    def close(self) -> None:
        """Close when everything is written."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Step:
    """The transports that one event loop has to write to at the end of its present step."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._get_loop: Callable[[], Any] = ref(loop)  # a loop that has ended must not be kept
        self._transports: list[JoinedTransport] = []

    def add(self, transport: JoinedTransport) -> None:
        if not self._transports:
            self._schedule()
        self._transports.append(transport)

    def _schedule(self) -> None:
        self._get_loop().call_soon(self._end, context=_NO_VARIABLES)

    def _end(self) -> None:
        transports, self._transports = self._transports, []
        remaining = iter(transports)
        try:
            _flush_all(remaining)
        finally:  # KeyboardInterrupt and SystemExit leave a step, and an error of one transport is not the others'
            if left := list(remaining):
                if not self._transports:
                    self._schedule()
                self._transports[:0] = left


def _flush_all(transports: Iterable[JoinedTransport]) -> None:
    for transport in transports:
        transport.flush()


_NO_VARIABLES = Context()  # what is written later must not keep those of whoever has sent it

_steps = PerLoop(_Step)
