"""What an exception that left the application's code means."""

import anyio
from starlette.websockets import WebSocketDisconnect

from .exceptions import RequestAborted


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


def departure(exc: BaseException) -> WebSocketDisconnect | RequestAborted | None:
    """Return `exc` if it says that the client has gone, or the first one if it is a group of nothing else."""
    if isinstance(exc, BaseExceptionGroup) and exc.split((WebSocketDisconnect, RequestAborted))[1] is None:
        return departure(exc.exceptions[0])
    return exc if isinstance(exc, WebSocketDisconnect | RequestAborted) else None
