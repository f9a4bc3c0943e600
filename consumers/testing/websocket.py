"""A WebSocket client for tests."""

import json
from collections.abc import Iterable
from typing import Any

from ..types import ASGIApp
from .application import ApplicationCommunicator, Headers, connection_scope, expect


class WebsocketCommunicator(ApplicationCommunicator):
    """An `ApplicationCommunicator` that speaks for a WebSocket client.

    Change `scope` before `connect()` to add what middleware would have put there, such as a user.

    Args:
        application: the ASGI application.
        path: the path to connect to, perhaps with a query string.
        headers: pairs of bytes, the names in lower case.
        subprotocols: what the client offers.
        spec_version: put into the scope under the same name, as Channels does.

    Raises:
        TypeError: the path is not a str.
    """

    response_headers: Headers | None = None
    """The headers of the answer to the handshake, once `connect()` has returned."""

    response_body: bytes = b""
    """The body of the HTTP response that denied the handshake, if one did."""

    def __init__(
        self,
        application: ASGIApp,
        path: str,
        headers: Headers | None = None,
        subprotocols: Iterable[str] | None = None,
        spec_version: str | None = None,
    ) -> None:
        scope = connection_scope("websocket", path, headers)
        scope["scheme"] = "ws"
        scope["subprotocols"] = list(subprotocols or ())
        scope["extensions"] = {"websocket.http.response": {}}
        if spec_version:
            scope["spec_version"] = spec_version
        super().__init__(application, scope)

    async def connect(self, timeout: float | None = 1) -> tuple[bool, Any]:
        """Open the connection.

        Args:
            timeout: seconds to wait for an answer.

        Returns:
            `(True, subprotocol)` when it is accepted, the subprotocol being None if none was chosen;
            `(False, code)` when it is rejected, with the close code, or with the HTTP status when the
            application answered by the extension `websocket.http.response`.

        Raises:
            Exception: as `receive_output()`.
        """
        await self.send_input({"type": "websocket.connect"})
        message = await self.receive_output(timeout)
        if message["type"] == "websocket.close":
            return False, message.get("code", 1000)
        self.response_headers = message.get("headers", [])
        if message["type"] == "websocket.http.response.start":
            self.response_body = await self._receive_body("websocket.http.response.body", timeout)
            return False, message["status"]
        expect("websocket.accept", message)
        return True, message.get("subprotocol")

    async def send_to(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send a frame to the application.

        Args:
            text_data: a text frame's content, which may be empty, or
            bytes_data: a binary frame's.

        Raises:
            ValueError: both are given, or none.
            TypeError: one is of another type.
            Exception: as `send_input()`.
        """
        self._check_frame(text_data, bytes_data)
        if text_data is not None:
            await self.send_input({"type": "websocket.receive", "text": text_data})
        else:
            await self.send_input({"type": "websocket.receive", "bytes": bytes_data})

    def _check_frame(self, text_data: object, bytes_data: object) -> None:
        if (text_data is None) == (bytes_data is None):
            raise ValueError("You must supply exactly one of text_data or bytes_data.")
        if not isinstance(text_data, str | None) or not isinstance(bytes_data, bytes | None):
            raise TypeError(f"text_data must be a str and bytes_data bytes, not {(text_data, bytes_data)!r}.")

    async def send_json_to(self, data: Any) -> None:
        """Send `data` to the application as JSON in a text frame.

        Args:
            data: what JSON can say.
        """
        await self.send_to(text_data=json.dumps(data))

    async def receive_from(self, timeout: float | None = 1) -> str | bytes:
        """Return the content of the next frame from the application.

        Args:
            timeout: seconds to wait for it.

        Raises:
            AssertionError: the application sent something else, such as a close.
            Exception: as `receive_output()`.
        """
        message = await self.receive_output(timeout)
        await self._raise_error_behind(message, timeout)
        expect("websocket.send", message)
        text, data = message.get("text"), message.get("bytes")
        if isinstance(text, str) and data is None:
            return text
        if isinstance(data, bytes) and text is None:
            return data
        if (text is None) == (data is None):
            raise AssertionError(f"The response needs exactly one of 'text' or 'bytes', not {message!r}")
        if data is None:
            raise AssertionError(f"Text frame payload is not str, it is {type(text)}")
        raise AssertionError(f"Binary frame payload is not bytes, it is {type(data)}")

    async def receive_json_from(self, timeout: float | None = 1) -> Any:
        """Return the content of the next frame, a text frame, decoded from JSON.

        Args:
            timeout: seconds to wait for it (1); None waits without a limit.

        Raises:
            AssertionError: the application sent something else.
            json.JSONDecodeError: the text is not JSON.
            Exception: as `receive_output()`.
        """
        payload = await self.receive_from(timeout)
        if not isinstance(payload, str):
            raise AssertionError(f"JSON data is not a text frame, it is {type(payload)}")
        return json.loads(payload)

    async def disconnect(self, code: int = 1000, timeout: float | None = 1) -> None:
        """Close the connection and wait until the application has ended.

        Args:
            code: the client's close code.
            timeout: seconds to wait before the application is cancelled.

        Raises:
            Exception: as `wait()`.
        """
        await self.send_input({"type": "websocket.disconnect", "code": code})
        await self.wait(timeout)
