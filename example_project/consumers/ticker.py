"""A ticker: pushed for ever from the server, started and stopped by the client."""

import random
from typing import Literal

import anyio
from pydantic import BaseModel

from consumers.typed import TypedConsumer, on


class Start(BaseModel):
    """Starts the ticker, unless it runs."""

    type: Literal["start"] = "start"


class Stop(BaseModel):
    """Stops the ticker, if it runs."""

    type: Literal["stop"] = "stop"


class State(BaseModel):
    """Whether the ticker runs, after each `start` and `stop`."""

    type: Literal["state"] = "state"
    running: bool


class Tick(BaseModel):
    """The next value; the number counts from the start."""

    type: Literal["tick"] = "tick"
    number: int
    value: float


class TickerConsumer(TypedConsumer):
    """Pushes a new value every `interval` seconds, served at `/ws/ticker`.

    The client sends `start` and `stop`, each as often as it likes. The loop is a background task of the connection and
    ends with it; nothing here has to see to that.
    """

    sends = State | Tick
    interval = 0.5  # seconds

    ticking: anyio.CancelScope | None = None

    @on
    async def start(self, message: Start) -> State:
        """Start the loop unless there is one: never two on one connection."""
        if self.ticking is None:
            self.ticking = self.start_background_task(self.tick)
        return State(running=True)

    @on
    async def stop(self, message: Stop) -> State:
        """Stop the loop, if there is one."""
        if self.ticking is not None:
            self.ticking.cancel()
            self.ticking = None
        return State(running=False)

    async def tick(self) -> None:
        """Send values that wander, one every `interval` seconds, until it is cancelled."""
        number, value = 0, 100.0
        while True:
            await anyio.sleep(self.interval)
            number += 1
            value = max(1.0, value + random.gauss(0, 1.5))
            await self.send_message(Tick(number=number, value=round(value, 2)))
