"""An HTTP client for tests."""

from consumers import testing as native
from consumers.testing.application import Headers
from consumers.types import ASGIApp

from .application import ApplicationCommunicator


class HttpCommunicator(ApplicationCommunicator, native.HttpCommunicator):
    """Speaks for an HTTP client; see `consumers.testing.HttpCommunicator`.

    Raises:
        TypeError: the path is not a str.
        AssertionError: the body is not bytes.
    """

    def __init__(
        self, application: ASGIApp, method: str, path: str, body: bytes = b"", headers: Headers | None = None
    ) -> None:
        if not isinstance(body, bytes):  # `python -O` would remove an assertion
            raise AssertionError(f"The body must be bytes, not {body!r}")
        native.HttpCommunicator.__init__(self, application, method, path, body, headers)
