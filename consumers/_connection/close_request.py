"""Which close code and reason a connection ends with."""

from typing import NamedTuple

from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect

from ..exceptions import InvalidFrame
from ..types import CloseCode, is_sendable
from .failures import only

INTERNAL_ERROR_REASON = "internal error"  # the reason that a client sees

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
        by_server: the client is still there, and knows nothing of it.
    """

    code: int
    reason: str = ""
    drains: bool = False
    rejects: bool = False
    limit: str = ""
    by_server: bool = False


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
