"""An HTTP client for tests."""

from typing import Any

from ..types import ASGIApp
from .application import ApplicationCommunicator, Headers, connection_scope, expect


class HttpCommunicator(ApplicationCommunicator):
    """An `ApplicationCommunicator` that speaks for an HTTP client with one request.

    Args:
        application: the ASGI application.
        method: the request's method, in any case.
        path: the path to request, perhaps with a query string.
        body: the request's body, sent in one piece.
        headers: pairs of bytes, the names in lower case.

    Raises:
        TypeError: the path is not a str, or the body not bytes.
    """

    _requested = False

    def __init__(
        self, application: ASGIApp, method: str, path: str, body: bytes = b"", headers: Headers | None = None
    ) -> None:
        if not isinstance(body, bytes):
            raise TypeError(f"The body must be bytes, not {body!r}.")
        scope = connection_scope("http", path, headers)
        scope["scheme"] = "http"
        scope["method"] = method.upper()
        super().__init__(application, scope)
        self.body = body

    async def get_response(self, timeout: float | None = 1) -> dict[str, Any]:
        """Send the request, if that has not been done, and return the response.

        Args:
            timeout: seconds to wait for each part of the response.

        Returns:
            A dict with `status`, `headers` (pairs of bytes) and `body` (bytes).

        Raises:
            AssertionError: the application sent something else.
            Exception: as `receive_output()`.
        """
        if not self._requested:
            self._requested = True
            await self.send_input({"type": "http.request", "body": self.body})
        start = expect("http.response.start", await self.receive_output(timeout))
        return {
            "status": start["status"],
            "headers": start.get("headers", []),
            "body": await self._receive_body("http.response.body", timeout),
        }
