"""In turns: one task asks, a short one for each message of the client hands it the answer."""

from typing import Any

import anyio
from starlette.websockets import WebSocket

from consumers import BaseWSEndpoint

QUESTIONS = ("What is your name?", "Where are you from?", "Tea or coffee?")

INTERVIEW = object()  # what the one sending task is started with: no client can send it


class TurnsEndpoint(BaseWSEndpoint):
    """Asks a few questions, one after the other, and closes with 1000.

    To the client: `{"question": "..."}` and at last `{"answers": {question: answer, ...}}`; `{"error":
    "..."}` for an answer that comes out of turn. From the client: `{"answer": "..."}`.

    The tasks share `question` and `answers`, and touch them only while they hold `turn`. So an answer comes either
    before a question or after it, also when the client sends two at once. No task cancels another one, and none hands
    an event to another: each looks at what they share, returns when there is nothing to do, or waits for a change.
    """

    encoding = "json"

    async def on_connect(self, websocket: WebSocket) -> None:
        self.turn = anyio.Condition()  # a lock, and a way to wait for what the others change
        self.question: str | None = None  # what the client may answer now
        self.answers: dict[str, str] = {}
        await self.accept(websocket)
        await self.on_receive(websocket, INTERVIEW)

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        if data is INTERVIEW:
            await self.interview(websocket)
            return
        match data:
            case {"answer": str(answer)}:
                await self.take(websocket, answer)
            case _:
                await websocket.send_json({"error": 'Send {"answer": "..."}.'})

    async def interview(self, websocket: WebSocket) -> None:
        """Ask everything, then say what was answered."""
        for question in QUESTIONS:
            async with self.turn:
                self.question = question
                await websocket.send_json({"question": question})
                while self.question is not None:
                    await self.turn.wait()
        await websocket.send_json({"answers": self.answers})
        await websocket.close(1000, "Thank you")

    async def take(self, websocket: WebSocket, answer: str) -> None:
        """Hand the answer to the interview if it is waiting for one."""
        async with self.turn:
            if self.question is None:
                await websocket.send_json({"error": "It is not your turn."})
            else:
                self.answers[self.question] = answer
                self.question = None
                self.turn.notify()
