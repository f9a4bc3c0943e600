"""Push to the client for ever, from "start" to "stop"."""

from itertools import count
from typing import Any

import anyio
from starlette.websockets import WebSocket

from consumers import BaseWSEndpoint


class AlreadyStarted(Exception):
    """The client asked for a second loop."""


class PushEndpoint(BaseWSEndpoint):
    """Counts for the client, one number every `interval` seconds.

    From the client: `start` and `stop`, each as often as it likes. To the client: numbers; `already started`,
    `stopped`, and `send start or stop` when it sends anything else.

    The loop is an infinite background task. It ends when it is stopped or with the connection.
    """

    encoding = "text"
    interval = 1.0  # seconds

    async def on_connect(self, websocket: WebSocket) -> None:
        self.loops: dict[str, anyio.CancelScope] = {}
        await self.accept(websocket)

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        # This runs in order of arrival, the handlers in any: so it is decided here which loops there are.
        if data == "start":
            if any(not loop.cancel_called for loop in self.loops.values()):
                raise AlreadyStarted
            self.loops[task_id] = anyio.CancelScope()
        elif data == "stop":
            for loop in self.loops.values():
                loop.cancel()

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        self.loops.pop(task_id, None)

    async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
        if not isinstance(exc, AlreadyStarted):
            raise exc
        await websocket.send_text("already started")

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        if data == "start":
            with self.loops[task_id]:
                await self.push(websocket)
        elif data == "stop":
            await websocket.send_text("stopped")
        else:
            await websocket.send_text("send start or stop")

    async def push(self, websocket: WebSocket) -> None:
        """Send 1, 2, 3, ... until cancelled."""
        for number in count(1):
            await websocket.send_text(str(number))
            await anyio.sleep(self.interval)
