"""What an exception that left the application's code means."""

from typing import TypeVar

import anyio
from starlette.websockets import WebSocketDisconnect

from .exceptions import RequestAborted

E = TypeVar("E", bound=Exception)


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


def departure(exc: BaseException) -> Exception | None:
    """Return `exc` if it says that the client has gone, or the first one if it is a group of nothing else."""
    return only(exc, WebSocketDisconnect, RequestAborted)
