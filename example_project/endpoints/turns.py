"""In turns: one task asks, a short one for each message of the client hands it the answer."""

from typing import Any, Literal

import anyio
from starlette.websockets import WebSocket

from consumers import BaseWSEndpoint

QUESTIONS = ("What is your name?", "Where are you from?", "Tea or coffee?")


class OutOfTurn(Exception):
    """The client sent what makes no sense now; the text says why, to the client."""


class TurnsEndpoint(BaseWSEndpoint):
    """Asks a few questions, one after the other, and closes with 1000.

    From the client: `{"start": true}`, then `{"answer": "..."}` for each question. To the client: `{"question": "..."}`
    and at last `{"answers": {question: answer, ...}}`; `{"error": "..."}` for what comes out of turn.

    `tasks` is the registry: what each task does. The tasks share it, `question` and `answers`, and touch them only
    while they hold `lock`. So an answer comes either before a question or after it, also when the client sends two at
    once. No task cancels another one, and none hands an event to another. Each looks at what they share, and then
    returns or waits for a change.
    """

    encoding = "json"

    async def on_connect(self, websocket: WebSocket) -> None:
        self.lock = anyio.Lock()
        self.changed = anyio.Condition(self.lock)  # holds the lock, too, and can wait for what other tasks change
        self.tasks: dict[str, Literal["asks", "answers"]] = {}
        self.question: str | None = None  # what the client may answer now
        self.answers: dict[str, str] = {}
        await self.accept(websocket)

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        async with self.lock:
            match data:
                case {"start": True} if "asks" not in self.tasks.values():
                    self.tasks[task_id] = "asks"
                case {"start": True}:
                    raise OutOfTurn("It has started.")
                case {"answer": str()}:
                    self.tasks[task_id] = "answers"
                case _:
                    raise OutOfTurn('Send {"start": true}, or {"answer": "..."}.')

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        async with self.lock:
            del self.tasks[task_id]

    async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
        if not isinstance(exc, OutOfTurn):
            raise exc
        await websocket.send_json({"error": str(exc)})

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        if self.tasks[task_id] == "asks":
            await self.ask(websocket)
        else:
            await self.take(data["answer"])

    async def ask(self, websocket: WebSocket) -> None:
        """Ask everything, then say what was answered."""
        for question in QUESTIONS:
            async with self.changed:
                self.question = question
                await websocket.send_json({"question": question})
                while self.question is not None:
                    await self.changed.wait()
        await websocket.send_json({"answers": self.answers})
        await websocket.close(1000, "Thank you")

    async def take(self, answer: str) -> None:
        """Note the answer, if there is a question."""
        async with self.changed:
            if self.question is None:
                raise OutOfTurn("It is not your turn.")
            self.answers[self.question] = answer
            self.question = None
            self.changed.notify()
