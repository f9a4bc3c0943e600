"""Connections that their own client may break, so that its visitor sees them recover."""

from typing import Literal

import anyio
from pydantic import BaseModel

from consumers.typed import TypedConsumer, on

CUT = "example.cut"
"""The key of the extension that ends a TCP connection at once: see `cutting.py`."""

SERVICE_RESTART = 1012  # close code
RETRY = "retry=3-6"  # seconds; clients spread their return over them
DELAY = 5  # seconds


class Break(BaseModel):
    """Breaks the connection that it comes by, and no other."""

    type: Literal["break"] = "break"
    how: Literal["cut", "delay", "kill"]


class BreakableConsumer(TypedConsumer):
    """A consumer whose client may break its own connection. Leave it out of what you copy.

    `cut` ends the TCP connection without a close frame, as a network does. `delay` has this consumer do nothing for
    five seconds: what it is sent waits meanwhile, as if the server were slow. `kill` closes as a server does that
    restarts: with 1012, and with when to come back.
    """

    @on
    async def break_up(self, message: Break) -> None:
        match message.how:
            case "cut" if cut := self.scope.get("extensions", {}).get(CUT):
                cut()
            case "delay":
                await anyio.sleep(DELAY)
            case _:
                await self.close(SERVICE_RESTART, RETRY)
