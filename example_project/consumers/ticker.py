"""A ticker: pushed for ever from the server, started and stopped by the client."""

import random
from typing import Any

import anyio

from consumers import AsyncJsonWebsocketConsumer


class TickerConsumer(AsyncJsonWebsocketConsumer):
    """Pushes a new value every `interval` seconds, served at `/ws/ticker`.

    From the client: `{"type": "start"}` and `{"type": "stop"}`, each as often as it likes.
    To the client: `state` with `running` after each of them, `tick` with `number` and `value` while it
    runs, and `error` with a `text` to show.

    The loop is a background task of the connection and ends with it; nothing here has to see to that.
    """

    interval = 0.5  # seconds

    ticking: anyio.CancelScope | None = None

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        match content:
            case {"type": "start"}:
                self.start()
            case {"type": "stop"}:
                self.stop()
            case _:
                await self.send_json({"type": "error", "text": 'Send {"type": "start"} or {"type": "stop"}.'})
                return
        await self.send_json({"type": "state", "running": self.ticking is not None})

    def start(self) -> None:
        """Start the loop unless there is one: never two on one connection."""
        if self.ticking is None:
            self.ticking = self.start_background_task(self.tick)

    def stop(self) -> None:
        """Stop the loop, if there is one."""
        if self.ticking is not None:
            self.ticking.cancel()
            self.ticking = None

    async def tick(self) -> None:
        """Send values that wander, one every `interval` seconds, until it is cancelled."""
        number, value = 0, 100.0
        while True:
            await anyio.sleep(self.interval)
            number += 1
            value = max(1.0, value + random.gauss(0, 1.5))
            await self.send_json({"type": "tick", "number": number, "value": round(value, 2)})
