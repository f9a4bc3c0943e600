"""The HTTP consumer."""

from typing import Any

from ._checks.misused import refuse_fastapi
from ._connection import events
from ._connection.request import RequestAttributes
from .consumer import AsyncConsumer
from .exceptions import StopConsumer
from .types import Message


class AsyncHttpConsumer(RequestAttributes, AsyncConsumer):
    """An HTTP endpoint with a channel layer, for long polling and server-sent events: override `handle()`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.body: list[bytes] = []
        """The parts of the request's body that have arrived."""

    async def send_headers(self, *, status: int = 200, headers: events.Headers | None = None) -> None:
        """Set the response's status and headers; they leave with the first `send_body()`.

        Args:
            status: the HTTP status code.
            headers: pairs, or a mapping, of bytes; names in lower case.
        """
        await self.send({"type": "http.response.start", "status": status, "headers": events.pairs(headers or ())})

    async def send_body(self, body: bytes, *, more_body: bool = False) -> None:
        """Send a part of the response's body.

        Args:
            body: the content.
            more_body: whether more follows; False ends the response.

        Raises:
            TypeError: `body` is not bytes.
            RequestAborted: the client has gone; leaving `handle()` with it is no error.
        """
        if not isinstance(body, bytes):
            raise TypeError(f"Body is not bytes but {type(body).__name__}: encode it first")
        await self.send({"type": "http.response.body", "body": body, "more_body": more_body})

    async def send_response(self, status: int, body: bytes, **kwargs: Any) -> None:
        """Send a whole response; `kwargs` go to `send_headers()`.

        Args:
            status: the HTTP status code.
            body: the whole body.
            kwargs: further arguments of `send_headers()`: `headers`.
        """
        await self.send_headers(status=status, **kwargs)
        await self.send_body(body)

    async def handle(self, body: bytes) -> None:
        """Override to answer the request whose whole body is `body`.

        Args:
            body: the request's whole body.
        """
        raise NotImplementedError("Subclasses of AsyncHttpConsumer must provide a handle() method.")

    async def disconnect(self) -> None:
        """Override to clean up; runs exactly once. Nothing can be sent from here."""

    async def http_request(self, message: Message) -> None:
        """Handle a part of the request's body; the last one calls `handle()`.

        Args:
            message: the ASGI event.

        Raises:
            StopConsumer: `handle()` has returned.
        """
        self.body.append(message.get("body", b""))
        if not message.get("more_body"):
            await self.handle(b"".join(self.body))
            raise StopConsumer()

    async def http_disconnect(self, message: Message) -> None:
        """Handle the ending, whatever its cause: call `disconnect()`.

        Raises:
            StopConsumer: always, at the end.
        """
        await self.disconnect()
        raise StopConsumer()


refuse_fastapi(AsyncHttpConsumer.__init__)
