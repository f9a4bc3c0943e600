"""The WebSocket consumers.

The logic is written once, in the async classes, which reach their own methods through `_sync`; the sync
classes offer the same methods to worker threads.
"""

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import anyio

from ._checks.classes import takes
from ._checks.misused import refuse_fastapi
from ._connection import events
from ._connection.groups import require_groups, send_to_group
from ._connection.not_json import dumps
from ._connection.positions import TAKES_POSITION, require_no_place, require_object
from ._connection.request import RequestAttributes
from ._connection.subprotocols import ANY_CONSUMER, without_tokens
from ._sync import awaitable, maybe_await, run_on_loop, sync_method
from .consumer import AsyncConsumer, SyncConsumer
from .exceptions import AcceptConnection, DenyConnection, InvalidFrame, StopConsumer
from .fastapi import Connectable
from .layers._adapt import leaves_at_once, remembers
from .types import CloseCode, Message, hook

logger = logging.getLogger("consumers.connection")


class AsyncWebsocketConsumer(Connectable, RequestAttributes, AsyncConsumer):
    """A WebSocket consumer: override `connect()`, `receive()` and `disconnect()`."""

    groups: list[str] | None = None
    """The groups that every connection joins before `connect()` and leaves before `disconnect()`; None for none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.groups is None:
            self.groups = []

    async def websocket_connect(self, message: Message) -> None:
        """Handle the handshake: join the class's groups, then call `connect()`."""
        await maybe_await(self._join_groups)
        try:
            await maybe_await(self.connect, **self._arguments_of_connect())
        except AcceptConnection:
            await maybe_await(self.accept)
        except DenyConnection:
            await maybe_await(self.close)

    @hook
    async def connect(self) -> None:
        """Override to decide on the handshake: `accept()`, `close()` or `deny()`. The base accepts.

        An override's parameters are filled by name: from the route's path, or, behind `as_endpoint()`, by FastAPI.
        """
        await self.accept()

    async def accept(self, subprotocol: str | None = None, headers: events.Headers | None = None) -> None:
        """Accept the handshake.

        Args:
            subprotocol: one of those the client offers in `scope["subprotocols"]`. Without it none is chosen, but for
                "consumers.any", which says nothing of what the two speak.
            headers: further response headers, pairs or a mapping, names in lower case.

        Raises:
            StopConsumer: the client does not offer `subprotocol`, would fail the handshake by itself and is rejected.
        """
        offered = self.scope.get("subprotocols") or []
        if subprotocol is not None and subprotocol not in offered:
            logger.warning(
                "rejected %.200r: it offers the subprotocols %.200r, not %r",
                self.scope.get("path"),
                without_tokens(offered),
                subprotocol,
            )
            await maybe_await(self.close)
            raise StopConsumer
        if subprotocol is None and ANY_CONSUMER in offered:
            subprotocol = ANY_CONSUMER
        await awaitable(self.base_send(events.accept(subprotocol, headers)))

    async def deny(self, status: int = 403, body: str | bytes = b"", headers: events.Headers | None = None) -> None:
        """Answer the handshake with an HTTP response instead of accepting it.

        A server without the ASGI extension `websocket.http.response` answers a plain 403.

        Args:
            status: the HTTP status code.
            body: the response's body; text is sent as UTF-8.
            headers: the response's headers, pairs or a mapping, names in lower case.
        """
        content = body.encode() if isinstance(body, str) else body
        for event in events.denial(status, content, headers):
            await awaitable(self.base_send(event))

    async def websocket_receive(self, message: Message) -> None:
        """Handle a frame: pass it to `receive()`.

        Raises:
            InvalidFrame: `receive()` has no parameter for this kind of data (close code 1003).
        """
        kinds = takes(type(self).receive)
        text = message.get("text")
        if text is not None:
            if "text_data" not in kinds:
                raise InvalidFrame(CloseCode.UNSUPPORTED_DATA, "text frames are not accepted")
            await maybe_await(self.receive, text_data=text)
            return
        if "bytes_data" not in kinds:
            raise InvalidFrame(CloseCode.UNSUPPORTED_DATA, "binary frames are not accepted")
        await maybe_await(self.receive, bytes_data=message.get("bytes"))

    @hook
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Override to handle a frame; it takes those of the two that it needs.

        Args:
            text_data: the text of a text frame, else None.
            bytes_data: the content of a binary frame, else None.
        """

    async def send(  # type: ignore[override]
        self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool | int = False
    ) -> None:
        """Send a frame, then close if asked to.

        Args:
            text_data: the text of a text frame.
            bytes_data: the content of a binary frame.
            close: True, or the close code, to close afterwards.

        Raises:
            ValueError: neither text nor bytes.
            TypeError: the text is no str.
            starlette.websockets.WebSocketDisconnect: the client has gone.
        """
        if text_data is not None:
            if not isinstance(text_data, str):
                raise TypeError(
                    f"text_data must be a str, not {type(text_data).__name__}; JSON consumers have send_json()"
                )
            await awaitable(self.base_send({"type": "websocket.send", "text": text_data}))
        elif bytes_data is not None:
            await awaitable(self.base_send({"type": "websocket.send", "bytes": bytes_data}))
        else:
            raise ValueError("You must pass one of bytes_data or text_data")
        if close:
            await maybe_await(self.close, close)

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the connection; before the accept, reject it (HTTP 403). Does nothing if it is closed.

        Args:
            code: 1000 (the default) to 1003, 1007 to 1014, or 3000 to 4999; before the accept, any.
            reason: a text for the client, cut to 123 bytes of UTF-8.

        Raises:
            ValueError: the code cannot be sent.
        """
        await awaitable(self.base_send(events.close(code, reason)))

    async def websocket_disconnect(self, message: Message) -> None:
        """Handle the ending, whatever its cause: leave the class's groups, then call `disconnect()`.

        Args:
            message: the event, with the close code as its "code".

        Raises:
            StopConsumer: always, at the end.
        """
        await maybe_await(self._leave_groups)
        await maybe_await(self.disconnect, message["code"])
        raise StopConsumer()

    @hook
    async def disconnect(self, code: int) -> None:
        """Override to clean up; runs exactly once if `connect()` started.

        Args:
            code: the close code: the client's, 1011 after an error, 1012 at shutdown, 1013 after a limit was hit.
        """

    async def _send_frame_to_group(
        self, call: str, group: str, message: Message, id: str | None, keep: bool, exclude: str | Iterable[str]
    ) -> str | None:
        return await send_to_group(self, call, group, message, id, keep, exclude)

    async def _join_groups(self) -> None:
        if not self.groups:
            return
        layer = require_groups(self, f"groups = {self.groups!r}")
        for group in self.groups:
            await layer.group_add(group, self.channel_name)

    async def _leave_groups(self) -> None:
        if not self.groups or self.channel_layer is None:
            return
        if leaves_at_once(self.channel_layer):
            await _discard_groups(self)
            return
        # Half the time at most, so that a layer which hangs leaves the other half to disconnect().
        with anyio.move_on_after(self.cleanup_timeout / 2) as scope:
            await _discard_groups(self)
        if scope.cancelled_caught:
            logger.error("%s could not leave its groups within %s s", type(self).__name__, self.cleanup_timeout / 2)


refuse_fastapi(AsyncWebsocketConsumer.__init__)


class WebsocketConsumer(Connectable, RequestAttributes, SyncConsumer):
    """The sync version of `AsyncWebsocketConsumer`: the same methods, as plain functions for worker threads."""

    groups: list[str] | None = None
    """The groups that every connection joins before `connect()` and leaves before `disconnect()`; None for none."""

    __init__ = AsyncWebsocketConsumer.__init__

    websocket_connect = sync_method(AsyncWebsocketConsumer.websocket_connect)
    websocket_receive = sync_method(AsyncWebsocketConsumer.websocket_receive)
    websocket_disconnect = sync_method(AsyncWebsocketConsumer.websocket_disconnect)
    accept = sync_method(AsyncWebsocketConsumer.accept)
    deny = sync_method(AsyncWebsocketConsumer.deny)
    close = sync_method(AsyncWebsocketConsumer.close)
    if TYPE_CHECKING:

        def send(  # type: ignore[override]
            self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool | int = False
        ) -> Any:
            """Send a frame, then close if asked to; as in `AsyncWebsocketConsumer`."""
    else:
        send = sync_method(AsyncWebsocketConsumer.send)

    @hook
    def connect(self) -> None:
        """Override to decide on the handshake. The base accepts."""
        self.accept()

    @hook
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Override to handle a frame; it takes those of the two that it needs."""

    @hook
    def disconnect(self, code: int) -> None:
        """Override to clean up; runs exactly once if `connect()` started."""

    def _join_groups(self) -> None:
        if self.groups:  # spare the others a way to the loop and back
            run_on_loop(AsyncWebsocketConsumer._join_groups)(self)

    _send_frame_to_group = run_on_loop(AsyncWebsocketConsumer._send_frame_to_group)

    def _leave_groups(self) -> None:
        if self.groups:
            run_on_loop(AsyncWebsocketConsumer._leave_groups)(self)


class AsyncJsonWebsocketConsumer(AsyncWebsocketConsumer):
    """A WebSocket consumer that speaks JSON in text frames: override `receive_json()`, send with `send_json()`."""

    @hook
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Decode a frame and pass it to `receive_json()`.

        Args:
            text_data: the text of a text frame.
            bytes_data: the content of a binary frame, which is refused.
            kwargs: further arguments of `receive_json()`.

        Raises:
            InvalidFrame: a binary frame (close code 1003), or a text that is not JSON (1007).
        """
        if text_data is None:
            raise InvalidFrame(CloseCode.UNSUPPORTED_DATA, "binary frames are not accepted")
        try:
            content = await maybe_await(self.decode_json, text_data)
        except (ValueError, RecursionError) as error:
            raise InvalidFrame(CloseCode.INVALID_PAYLOAD, "the text is not valid JSON") from error
        await maybe_await(self.receive_json, content, **kwargs)

    @hook
    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Override to handle the decoded content of a frame.

        Args:
            content: what `decode_json()` has made of the text.
            kwargs: what an overridden `receive()` has added.
        """

    async def send_json(self, content: Any, close: bool | int = False) -> None:
        """Send `content` as JSON, then close if asked to; see `send()`.

        Args:
            content: what `encode_json()` takes.
            close: True, or the close code, to close afterwards (False).
        """
        await maybe_await(self.send, text_data=await maybe_await(self.encode_json, content), close=close)

    async def group_send_json(
        self,
        group: str,
        content: Any,
        id: str | None = None,
        keep: bool = True,
        exclude: str | Iterable[str] = (),
    ) -> str | None:
        """Send `content` as JSON to every client in a group, encoded once for all of them.

        It goes out as a raw frame: the members' classes must set `raw_frames = True`. Outside a consumer,
        `await layer.group_send(group, {"type": "websocket.send", "text": json.dumps(content)})` does the same.

        Where the group has a history, clients get one key more, "position". Those of a typed consumer that has used
        `join()` get "at" in its place. Outside a consumer, `"takes_position": True` in the message does that.

        Args:
            group: the group's name.
            content: what `encode_json()` takes. Where the group has a history: a dict without "position" and "at".
            id: names the message, 1 to 200 characters: one with the same `id` is not sent again for five minutes.
            keep: whether a group with history keeps the message (True). If not, it has no position.
            exclude: a channel that does not get it, or several (none).

        Returns:
            The message's position in the group's history; None if it is not kept.

        Raises:
            ValueError: the group has a history, and the content is something else, or not an object as JSON.
            InvalidChannelLayerError: there is no channel layer, or it lacks one of the options.
        """
        call, has_history = "group_send_json()", remembers(self.channel_layer, group)
        if has_history:
            require_no_place(content)
        text = await maybe_await(self.encode_json, content)
        frame = events.text_frame(text)
        if has_history:
            require_object(text, f"what {type(self).__name__}.encode_json() has made")
            frame[TAKES_POSITION] = True
        position: str | None = await maybe_await(self._send_frame_to_group, call, group, frame, id, keep, exclude)
        return position

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        """Override to decode otherwise; raise ValueError if it cannot be done.

        Args:
            text_data: the text of a frame.
        """
        return json.loads(text_data)

    @classmethod
    async def encode_json(cls, content: Any) -> str:
        """Override to encode otherwise.

        Args:
            content: what is to be sent.

        Raises:
            TypeError: there is something in it that JSON has not; the message says what to write.
        """
        return dumps(content, cls.__name__)


class JsonWebsocketConsumer(WebsocketConsumer):
    """The sync version of `AsyncJsonWebsocketConsumer`."""

    receive = hook(sync_method(AsyncJsonWebsocketConsumer.receive))
    send_json = sync_method(AsyncJsonWebsocketConsumer.send_json)
    group_send_json = sync_method(AsyncJsonWebsocketConsumer.group_send_json)

    @hook
    def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Override to handle the decoded content of a frame."""

    @classmethod
    def decode_json(cls, text_data: str) -> Any:
        """Override to decode otherwise; raise ValueError if it cannot be done."""
        return json.loads(text_data)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Override to encode otherwise.

        Raises:
            TypeError: there is something in it that JSON has not; the message says what to write.
        """
        return dumps(content, cls.__name__)


async def _discard_groups(consumer: Any) -> None:
    for group in consumer.groups:
        try:
            await consumer.channel_layer.group_discard(group, consumer.channel_name)
        except TypeError:
            pass  # an invalid name, which has kept the group from being joined
        except Exception:
            logger.exception("%s could not leave the group %r", type(consumer).__name__, group)
