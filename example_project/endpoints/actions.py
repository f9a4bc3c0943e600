"""Short actions, each answered as soon as it is done, even while a slow one is running."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import randint
from typing import Any

import anyio
from starlette.websockets import WebSocket

from consumers import BaseWSEndpoint


class ActionError(Exception):
    """An action that cannot be done; its text says why, to the client."""


async def roll(sides: Any = 6) -> int:
    """Throw a die with 2 to 100 sides."""
    if type(sides) is not int or not 2 <= sides <= 100:
        raise ActionError("A die has 2 to 100 sides.")
    return randint(1, sides)


async def time(_: Any = None) -> str:
    """Tell the time in UTC, as in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


async def wait(seconds: Any = 5) -> str:
    """Take up to 10 seconds."""
    if type(seconds) not in (int, float) or not 0 <= seconds <= 10:
        raise ActionError("Wait for 0 to 10 seconds.")
    await anyio.sleep(seconds)
    return f"waited {seconds} s"


ACTIONS: dict[str, Callable[..., Awaitable[Any]]] = {"roll": roll, "time": time, "wait": wait}


class ActionsEndpoint(BaseWSEndpoint):
    """Does what the client asks for.

    From the client: `{"id": 1, "action": "roll", "argument": 20}`; the argument may be left out.
    To the client: `{"id": 1, "result": 17}` or `{"id": 1, "error": "..."}`, in the order in which actions
    end; the id says which is which. An action that cannot be done is an answer; any other exception is a bug
    and ends the connection.
    """

    encoding = "json"
    max_tasks = 20  # actions of one client at once

    async def on_connect(self, websocket: WebSocket) -> None:
        self.requests: dict[str, Any] = {}
        await self.accept(websocket)

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        self.requests[task_id] = data.get("id") if isinstance(data, dict) else None

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        match data:
            case {"action": str(name), "argument": argument} if name in ACTIONS:
                result = await ACTIONS[name](argument)
            case {"action": str(name)} if name in ACTIONS:
                result = await ACTIONS[name]()
            case _:
                raise ActionError(f'Send {{"id": 1, "action": ...}} with one of: {", ".join(ACTIONS)}.')
        await websocket.send_json({"id": self.requests[task_id], "result": result})

    async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
        if not isinstance(exc, ActionError):
            raise exc
        await websocket.send_json({"id": self.requests[task_id], "error": str(exc)})

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        del self.requests[task_id]
