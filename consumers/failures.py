"""What an exception that left the application's code means."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect

from . import events, overdue
from .exceptions import InvalidFrame, RequestAborted

E = TypeVar("E", bound=Exception)

CloseException = InvalidFrame | WebSocketException | WebSocketDisconnect
"""What closes a connection with a code and a reason of its own, without a traceback."""

HOW_TO_END = "return to end a task, and close the connection to end all of them"

CLOSE_EXCEPTIONS = (InvalidFrame, WebSocketException, WebSocketDisconnect)


def without_cancellations(exc: Exception | BaseExceptionGroup[BaseException]) -> Exception:
    """Return `exc` without the cancellations that trio keeps in the group of a cancelled task group.

    Raises:
        BaseException: `exc`, if nothing else is in it, or what only the server may handle.
    """
    if isinstance(exc, Exception):
        return exc
    _, failure = exc.split(anyio.get_cancelled_exc_class())
    if isinstance(failure, Exception):
        return failure
    raise exc


def only(exc: BaseException, *kinds: type[E]) -> E | None:
    """Return `exc` if it is of one of these kinds, or the first one if it is a group of nothing else; else None."""
    if isinstance(exc, BaseExceptionGroup) and exc.split(kinds)[1] is None:
        return only(exc.exceptions[0], *kinds)
    return exc if isinstance(exc, kinds) else None


def asks_to_close(exc: BaseException) -> CloseException | None:
    """Return `exc` if it is a `CloseException`, or the first one if it is a group of nothing else; else None."""
    found = only(exc, *CLOSE_EXCEPTIONS)
    return found if isinstance(found, CLOSE_EXCEPTIONS) else None


def close_of(asked: CloseException, is_open: bool) -> tuple[int, str]:
    """Return the close code and the reason that an exception asks for.

    Args:
        asked: the exception.
        is_open: whether the handshake was accepted. Then a code that no close frame may carry, such as the 1005 and
            1006 of a connection that was lost, is 1011 instead. Before that any code rejects the client.
    """
    code, reason = asked.code, asked.reason
    if not isinstance(code, int) or (is_open and not events.is_sendable(code)):
        code = events.INTERNAL_ERROR
    return code, "" if reason is None else str(reason)


@contextmanager
def strays_as_errors(server: overdue.Task | None) -> Iterator[None]:
    """Raise RuntimeError in place of a cancellation that the application's code in this block raises by itself.

    A task group ends without a word when a task of its raises a cancellation.

    Args:
        server: the connection's task, which is the server's; None on trio.
    """
    try:
        yield
    except anyio.get_cancelled_exc_class() as exc:
        if not overdue.is_stray(exc, server):
            raise
        raise RuntimeError(
            f"{type(exc).__name__} was raised although nothing had been cancelled: {HOW_TO_END}"
        ) from exc


def departure(exc: BaseException) -> Exception | None:
    """Return `exc` if it says that the client has gone, or the first one if it is a group of nothing else."""
    return only(exc, WebSocketDisconnect, RequestAborted)
