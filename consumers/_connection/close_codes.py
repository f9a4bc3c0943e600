"""Which close code and reason a connection ends with, by what has ended it. A limit's are chosen where it is hit."""

from typing import NamedTuple

from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect

from ..exceptions import InvalidFrame
from ..types import CloseCode, Message, is_sendable
from .failures import only

CloseException = InvalidFrame | WebSocketException | WebSocketDisconnect
"""What closes a connection with a code and a reason of its own, without a traceback."""

CLOSE_EXCEPTIONS = (InvalidFrame, WebSocketException, WebSocketDisconnect)


class CloseRequest(NamedTuple):
    """Why a connection ends: the close code, the reason, and what it lets happen before.

    Args:
        code: the close code that `disconnect()` gets and, where nobody has closed yet, the client.
        reason: the text that goes with it.
        drains: finish what runs and waits first.
        rejects: answer a handshake that is still pending with a rejection; else the server answers HTTP 500.
        limit: the limit that was hit, for the log; "" if none was.
        is_read_on: the client is still there, and is read until the clean-up.
    """

    code: int
    reason: str = ""
    drains: bool = False
    rejects: bool = False
    limit: str = ""
    is_read_on: bool = False


STOPPED = CloseRequest(CloseCode.NORMAL_CLOSURE, rejects=True)
"""By `StopConsumer`."""

FAILED = CloseRequest(CloseCode.INTERNAL_ERROR, "internal error")
"""By an error of the application's."""

REFUSED = CloseRequest(CloseCode.POLICY_VIOLATION, rejects=True)
"""By an `HTTPException`, where the server cannot answer a handshake by HTTP."""

ANSWERED = CloseRequest(CloseCode.ABNORMAL_CLOSURE)
"""By an HTTP response to the handshake, which nothing follows."""

UNREADABLE = CloseRequest(CloseCode.ABNORMAL_CLOSURE)
"""By an error of the server's `receive()`."""


def by_client(code: int, reported: int, reason: str | None) -> CloseRequest:
    """Return how a connection ends whose client has gone; uvicorn reports its own shutdown as that, too.

    Args:
        code: the code that counts: the reported one, or the application's own.
        reported: the code that the server reports.
        reason: the reason that it reports.
    """
    return CloseRequest(code, reason or "", drains=reported != CloseCode.SERVICE_RESTART)


def by_cancellation(sent: int | None) -> CloseRequest:
    """Return how a connection ends whose task was cancelled, as servers do; `sent`: its close frame's code, if any."""
    return CloseRequest(sent or CloseCode.SERVICE_RESTART)


def by_drain(sent: int | None, reason: str) -> CloseRequest:
    """Return how a connection ends that is drained, while its client is still there."""
    return CloseRequest(sent or CloseCode.SERVICE_RESTART, reason, drains=True, is_read_on=True)


def by_rejection(sent: int | None) -> CloseRequest:
    """Return how a connection ends whose handshake the application has rejected; `sent`: with this code."""
    return CloseRequest(sent or CloseCode.ABNORMAL_CLOSURE)


def at_once(code: int, reason: str) -> CloseRequest:
    """Return how a connection ends that is closed with a code from outside its handlers, or by what one has raised."""
    return CloseRequest(code, reason, rejects=True)


def reported(message: Message) -> int:
    """Return the close code of the event that says that the client has gone."""
    code: int | None = message.get("code")
    return CloseCode.NO_STATUS_RECEIVED if code is None else code


def asks_to_close(exc: BaseException) -> CloseException | None:
    """Return `exc` if it is a `CloseException`, or the first one if it is a group of nothing else; else None."""
    found = only(exc, *CLOSE_EXCEPTIONS)
    return found if isinstance(found, CLOSE_EXCEPTIONS) else None


def code_to_send(code: object, is_open: bool) -> int:
    """Return the code that a socket is closed with.

    Args:
        code: what was asked for.
        is_open: whether the handshake was accepted. Then a code that no close frame may carry, such as the 1005 and
            1006 of a connection that was lost, is 1011 instead. Before that any code rejects the client.
    """
    if not isinstance(code, int) or (is_open and not is_sendable(code)):
        return CloseCode.INTERNAL_ERROR
    return code


def close_of(asked: CloseException, is_open: bool) -> tuple[int, str]:
    """Return the close code and the reason that an exception asks for; see `code_to_send()` for `is_open`."""
    return code_to_send(asked.code, is_open), "" if asked.reason is None else str(asked.reason)
