"""Chat: what a client says reaches everyone in its room, in this process and, with Redis, in others."""

import re
from secrets import token_hex
from typing import Any, NamedTuple

import anyio
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream
from starlette.websockets import WebSocket, WebSocketDisconnect

from consumers import BaseWSEndpoint, InvalidChannelLayerError, get_channel_layer
from consumers.types import Message

ROOM_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
BAD_ROOM_NAME = 4004  # close code; 4000 to 4999 belong to the application (RFC 6455, 7.4.2)
MAX_TEXT = 1000  # characters
USAGE = f'Send {{"type": "connect"}}, {{"type": "say", "text": "1 to {MAX_TEXT} characters"}} or {{"type": "leave"}}.'


class Subscription(NamedTuple):
    """A channel in the room's group.

    Args:
        messages: what the group gets.
        over: ends the subscription when it is set.
    """

    messages: MemoryObjectReceiveStream[Message]
    over: anyio.Event


class ChatEndpoint(BaseWSEndpoint):
    """One client in one room.

    From the client: `{"type": "connect"}`, `{"type": "say", "text": "..."}`, `{"type": "leave"}`. To the client:
    `{"text": "..."}` from anyone in the room, itself included, and `{"error": "..."}`.

    `connect` starts two tasks of the group's own. The *subscription* holds the channel: it alone makes it and gives
    it back. The *dialogue* sends what arrives there. Each `say` is a background task that publishes. All of them but
    the subscription are in `working`; when the last one is gone, the subscription is over.

    Several texts of a client may be published at once, so two that come together may arrive in either order. With
    `max_tasks = 1` they keep their order.
    """

    encoding = "json"
    max_tasks = 10

    async def on_connect(self, websocket: WebSocket) -> None:
        # First, because a browser shows its page the code of a close, but not of a rejection.
        await self.accept(websocket)
        room = websocket.path_params["room"]
        if not ROOM_NAME.fullmatch(room):
            raise WebSocketDisconnect(BAD_ROOM_NAME, "A room name is 1 to 40 letters (a-z, A-Z), digits, - or _.")
        layer = get_channel_layer()
        if layer is None:
            raise InvalidChannelLayerError('Chat needs a layer: channel_layers.configure({"default": ...})')
        self.layer = layer
        self.room_group = f"endpoints.chat.{room}"
        # What follows changes only while the lock is held.
        self.lock = anyio.Lock()
        self.working: set[str] = set()
        self.subscription: Subscription | None = None
        self.dialogue = anyio.CancelScope()
        self.dialogue.cancel()

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        # This runs in order of arrival, the handlers in any: so it is decided here who is connected.
        async with self.lock:
            match data:
                case {"type": "connect"} if self.dialogue.cancel_called:
                    if self.subscription is None:
                        self.subscription = await self.task_group.start(self.subscribe)
                    dialogue_id = token_hex(16)
                    self.working.add(dialogue_id)
                    self.dialogue = anyio.CancelScope()
                    self.task_group.start_soon(self.talk, websocket, dialogue_id, self.subscription, self.dialogue)
                case {"type": "leave"}:
                    self.dialogue.cancel()
            self.working.add(task_id)

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        match data:
            case {"type": "connect" | "leave"}:
                return
            case {"type": "say", "text": str(text)} if 1 <= len(text) <= MAX_TEXT:
                if self.dialogue.cancel_called:
                    await websocket.send_json({"error": 'Send {"type": "connect"} first.'})
                else:
                    await self.layer.group_send(self.room_group, {"type": "chat.said", "text": text})
            case _:
                await websocket.send_json({"error": USAGE})

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        await self.is_gone(task_id)

    async def is_gone(self, task_id: str) -> None:
        """Note that a task has ended; after the last one there is no use for a subscription."""
        async with self.lock:
            self.working.discard(task_id)
            if not self.working and self.subscription is not None:
                self.subscription.over.set()
                self.subscription = None

    async def subscribe(self, *, task_status: TaskStatus[Subscription]) -> None:
        """Be in the room's group until `over` is set, or the connection ends."""
        queue, messages = anyio.create_memory_object_stream[Message](self.layer.capacity)

        def deliver(message: Message) -> int:
            """Queue a message and tell how many wait. A slow reader misses it when the queue is full."""
            try:
                queue.send_nowait(message)
            except anyio.WouldBlock:
                return 0
            return queue.statistics().current_buffer_used or 1

        with queue, messages:
            channel = self.layer.attach(deliver)
            try:
                await self.layer.group_add(self.room_group, channel)
                subscription = Subscription(messages, anyio.Event())
                task_status.started(subscription)
                await subscription.over.wait()
            finally:
                self.layer.detach(channel)  # leaves the group, too

    async def talk(
        self, websocket: WebSocket, task_id: str, subscription: Subscription, scope: anyio.CancelScope
    ) -> None:
        """Send the client what the room says."""
        try:
            with scope:
                async for message in subscription.messages:
                    if message["type"] == "consumers.close":  # from close_group()
                        raise WebSocketDisconnect(message["code"], message["reason"])
                    await websocket.send_json({"text": message["text"]})
        finally:
            with anyio.CancelScope(shield=True):
                await self.is_gone(task_id)
