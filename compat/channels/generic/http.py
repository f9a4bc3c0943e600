"""The HTTP consumer."""

from consumers import http as native
from consumers.types import Message

from ..consumer import AsyncConsumer as AsyncConsumer
from ..exceptions import StopConsumer as StopConsumer


class AsyncHttpConsumer(native.AsyncHttpConsumer, AsyncConsumer):
    """Channels' HTTP consumer; see `consumers.AsyncHttpConsumer`."""

    async def send_body(self, body: bytes, *, more_body: bool = False) -> None:
        """Send a part of the response's body.

        Raises:
            AssertionError: `body` is not bytes.
        """
        if not isinstance(body, bytes):  # `python -O` would remove an assertion
            raise AssertionError(f"Body is not bytes but {type(body).__name__}")
        await super().send_body(body, more_body=more_body)

    def _forget_connection(self) -> None:
        super()._forget_connection()
        self.body = []

    async def http_disconnect(self, message: Message) -> None:
        """Handle the ending, once: projects written for Channels may call this themselves."""
        if self._has_ended:
            raise StopConsumer
        self._has_ended = True
        await super().http_disconnect(message)
