"""What a client raises.

ClientError
├── Closed      the connection is closed for good
├── NoAnswer    a request has waited long enough; a TimeoutError, too
├── QueueFull   there is no connection, and no more messages may wait for one
└── Refused     the server has answered with an error
"""

from collections.abc import Mapping
from typing import Any, Self


class ClientError(Exception):
    """Base of what a client raises."""

    code = "failed"
    """Which error it is, as in the browser's client: "closed", "timeout", "queue_full", or the server's code."""


class Closed(ClientError):
    """The connection is closed for good, and the client does not try again.

    Attributes:
        close_code: the close code; the HTTP status of a refused handshake.
        reason: what the server says of why.
    """

    code = "closed"
    """Always "closed"."""

    def __init__(self, text: str, close_code: int, reason: str) -> None:
        super().__init__(text)
        self.close_code = close_code
        self.reason = reason


class NoAnswer(ClientError, TimeoutError):
    """A request has no answer in time. Its message may have been handled."""

    code = "timeout"
    """Always "timeout"."""


class QueueFull(ClientError):
    """As many messages as may wait for a connection do so already."""

    code = "queue_full"
    """Always "queue_full"."""


class Refused(ClientError):
    """The server has answered a request with an error.

    Attributes:
        errors: what is wrong in detail: dicts of "loc", "msg" and "type".
        more: how many more errors there are.
    """

    code: str
    """The server's code, such as "invalid"."""

    def __init__(self, code: str, errors: list[dict[str, Any]], more: int) -> None:
        details = "; ".join(map(_in_words, errors))
        super().__init__(f"the server says: {code}{details and f' ({details})'}")
        self.code = code
        self.errors = errors
        self.more = more

    @classmethod
    def by(cls, message: Mapping[str, Any]) -> Self:
        """Return the error in a server's message, which may lack what this library's have."""
        code, errors, more = message.get("code"), message.get("errors"), message.get("more")
        return cls(
            code if isinstance(code, str) else cls.code,
            errors if isinstance(errors, list) else [],
            more if isinstance(more, int) else 0,
        )


def _in_words(error: object) -> str:
    if not isinstance(error, dict):
        return str(error)
    place = error.get("loc")
    return f"{'.'.join(map(str, place)) if isinstance(place, list) else place}: {error.get('msg')}"
