"""Chat: what a client says reaches everyone in its room, in this process and, with Redis, in others."""

import re
from typing import Any

import anyio
from starlette.websockets import WebSocket

from consumers import BaseWSEndpoint, InvalidChannelLayerError, get_channel_layer
from consumers.types import Message

ROOM_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
BAD_ROOM_NAME = 4004  # close code; 4000 to 4999 belong to the application (RFC 6455, 7.4.2)
MAX_TEXT = 1000  # characters

DELIVERIES = object()  # what the sending task is started with: no client can send it


class ChatEndpoint(BaseWSEndpoint):
    """One client in one room.

    From the client: `{"text": "..."}`. To the client: the same from anyone in the room, itself included, and
    `{"error": "..."}` when it sent something else.

    The channel layer hands messages to `deliver()`, which queues them; one infinite background task sends
    them.
    """

    encoding = "json"
    max_tasks = 2  # the sending task, and one message at a time: what a client says stays in order
    channel: str | None = None

    async def on_connect(self, websocket: WebSocket) -> None:
        room = websocket.path_params["room"]
        # First, because a browser shows its page the code of a close, but not of a rejection.
        await websocket.accept()
        if not ROOM_NAME.fullmatch(room):
            await websocket.close(BAD_ROOM_NAME, "A room name is 1 to 40 letters (a-z, A-Z), digits, - or _.")
            return
        layer = get_channel_layer()
        if layer is None:
            raise InvalidChannelLayerError('Chat needs a layer: channel_layers.configure({"default": ...})')
        self.layer = layer
        self.room_group = f"endpoints.chat.{room}"
        self.queue, self.deliveries = anyio.create_memory_object_stream[Message](layer.capacity)
        self.channel = layer.attach(self.deliver)
        await layer.group_add(self.room_group, self.channel)
        await self.on_receive(websocket, DELIVERIES)

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        if self.channel is not None:
            self.layer.detach(self.channel)  # leaves the group, too
            self.queue.close()
            self.deliveries.close()

    def deliver(self, message: Message) -> int:
        """Queue a message of the layer's and tell how many wait. A slow reader misses it when the queue is full."""
        try:
            self.queue.send_nowait(message)
        except anyio.WouldBlock:
            return 0
        return self.queue.statistics().current_buffer_used or 1

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        if data is DELIVERIES:
            async for message in self.deliveries:
                if message["type"] == "consumers.close":  # from close_group()
                    await websocket.close(message["code"], message["reason"])
                    break
                await websocket.send_json({"text": message["text"]})
            return
        match data:
            case {"text": str(text)} if 1 <= len(text) <= MAX_TEXT:
                await self.layer.group_send(self.room_group, {"type": "chat.said", "text": text})
            case _:
                await websocket.send_json({"error": f"Send a text of 1 to {MAX_TEXT} characters."})
