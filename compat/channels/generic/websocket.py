"""The WebSocket consumers, with what Channels does differently from `consumers`.

A frame that the consumer does not take raises, any subprotocol may be chosen, a close code that cannot be sent is
replaced, and sending in `disconnect()` is harmless.
"""

import logging
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocketDisconnect

from consumers import websocket as native
from consumers._connection import events
from consumers._sync import awaitable, maybe_await, sync_method
from consumers.types import Message, hook, is_sendable

from ..consumer import AsyncConsumer as AsyncConsumer
from ..consumer import SyncConsumer as SyncConsumer
from ..exceptions import AcceptConnection as AcceptConnection
from ..exceptions import DenyConnection as DenyConnection
from ..exceptions import InvalidChannelLayerError as InvalidChannelLayerError
from ..exceptions import StopConsumer as StopConsumer

logger = logging.getLogger("compat.channels")

POLICY_VIOLATION = 1008


class AsyncWebsocketConsumer(native.AsyncWebsocketConsumer, AsyncConsumer):
    """Channels' asynchronous WebSocket consumer; see `consumers.AsyncWebsocketConsumer`."""

    async def accept(self, subprotocol: str | None = None, headers: events.Headers | None = None) -> None:
        """Accept the handshake, also with a subprotocol that the client does not offer: it then fails it by itself."""
        await awaitable(self.base_send(events.accept(subprotocol, headers)))

    async def websocket_receive(self, message: Message) -> None:
        """Pass a frame to `receive()`, as text or as binary."""
        if message.get("text") is not None:
            await maybe_await(self.receive, text_data=message["text"])
        else:
            await maybe_await(self.receive, bytes_data=message["bytes"])

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the connection. A code that no close frame may carry becomes 1008, with a warning in the log."""
        try:
            await native.AsyncWebsocketConsumer.close(self, code, reason)
        except ValueError:
            if code is None or is_sendable(int(code)):
                raise
            logger.warning("%s: close code %r cannot be sent, 1008 is sent instead", type(self).__name__, code)
            await native.AsyncWebsocketConsumer.close(self, POLICY_VIOLATION, reason)

    async def websocket_disconnect(self, message: Message) -> None:
        """Handle the ending, once, during which what is sent goes nowhere, as with Channels' own server.

        Projects written for Channels may call this themselves.
        """
        if self._has_ended:
            raise StopConsumer
        self._has_ended = True
        self.base_send = self._without_departure(self.base_send)
        await native.AsyncWebsocketConsumer.websocket_disconnect(self, message)

    def _without_departure(self, send: Callable[[Message], Any]) -> Callable[[Message], Any]:
        async def base_send(event: Message) -> None:
            try:
                await send(event)
            except WebSocketDisconnect:
                logger.debug("%s sent %s to a client that has gone", type(self).__name__, event["type"])

        return base_send


class WebsocketConsumer(native.WebsocketConsumer, SyncConsumer):
    """Channels' WebSocket consumer of plain functions; see `consumers.WebsocketConsumer`."""

    accept = sync_method(AsyncWebsocketConsumer.accept)
    websocket_receive = sync_method(AsyncWebsocketConsumer.websocket_receive)
    close = sync_method(AsyncWebsocketConsumer.close)
    websocket_disconnect = sync_method(AsyncWebsocketConsumer.websocket_disconnect)

    def _without_departure(self, send: Callable[[Message], Any]) -> Callable[[Message], Any]:
        def base_send(event: Message) -> Any:
            try:
                return send(event)
            except WebSocketDisconnect:
                logger.debug("%s sent %s to a client that has gone", type(self).__name__, event["type"])
                return None

        return base_send


class AsyncJsonWebsocketConsumer(native.AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer):
    """Channels' asynchronous JSON consumer; see `consumers.AsyncJsonWebsocketConsumer`."""

    @hook
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Decode a frame and pass it to `receive_json()`.

        Raises:
            ValueError: a binary or an empty frame, or whatever `decode_json()` raises.
        """
        if not text_data:
            raise ValueError("No text section for incoming WebSocket frame!")
        await maybe_await(self.receive_json, await maybe_await(self.decode_json, text_data), **kwargs)


class JsonWebsocketConsumer(native.JsonWebsocketConsumer, WebsocketConsumer):
    """Channels' JSON consumer of plain functions; see `consumers.JsonWebsocketConsumer`."""

    receive = hook(sync_method(AsyncJsonWebsocketConsumer.receive))
