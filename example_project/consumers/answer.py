"""An answer that is written word by word, as a language model's is, and read by who comes, goes and comes back."""

import logging
from contextlib import suppress
from typing import Any
from uuid import uuid4

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from consumers import AsyncJsonWebsocketConsumer, get_channel_layer

NOT_KEPT = 4004  # close code
MAX_QUESTION = 200  # characters
PAUSE = 0.12  # seconds from word to word
ANSWER = (
    "You asked: “{}” That is a good question, and no model will answer it: this text was written before you came. "
    "Watch how it arrives instead. Each word is a message to a group that keeps its messages. A task of the server "
    "sends them, and it does not care who reads. Reload this page now, in the middle of a sentence. The words that "
    "you have seen come back at once, those that you have missed follow, and then it goes on, word for word. Nothing "
    "is missing, and nothing comes twice."
)

logger = logging.getLogger(__name__)


class AnswerConsumer(AsyncJsonWebsocketConsumer):
    """One reader of one answer, served at `/ws/answers/{id}?since={position}`; `ask()` says which.

    To the client: `word` with a `text`, for each word after the position; then `end`, with `whole`. Each has a
    `position`. A client that was cut off names the last one when it comes back. If words are kept no longer, it gets
    none, but the close code 4004.
    """

    async def connect(self) -> None:
        await self.accept()
        group, since = f"answer.{self.path_params['id']}", self.query_params.get("since", "")
        joined = await self.channel_layer.group_add(group, self.channel_name, since=since)
        if not joined.recovered:
            await self.close(NOT_KEPT, "This answer is kept no longer.")

    async def answer_word(self, event: dict[str, Any]) -> None:
        await self.send_json({"type": "word", "text": event["text"], "position": event["history"]["position"]})

    async def answer_end(self, event: dict[str, Any]) -> None:
        await self.send_json({"type": "end", "whole": event["whole"], "position": event["history"]["position"]})

    async def layer_gap(self, event: dict[str, Any]) -> None:
        await self.close(NOT_KEPT, "A part of this answer was lost.")


async def ask(request: Request) -> Response:
    """Take the question in the body of a POST; tell where its answer is to be read, and since which position.

    No connection writes the answer, or it would end with that. A task of the application does: see `lifespan` in
    `app.py`. It ends with its process. What must survive that too is work for a worker, in a process of its own.
    """
    question = (await request.body()).decode(errors="replace").strip()
    if not 1 <= len(question) <= MAX_QUESTION:
        return PlainTextResponse(f"A question has 1 to {MAX_QUESTION} characters; this has {len(question)}.", 400)
    id = uuid4()  # nobody can guess it: who may join a group may read what it keeps
    since = await get_channel_layer().position(f"answer.{id}")
    request.app.state.writers.start_soon(write, f"answer.{id}", question)
    return JSONResponse({"id": str(id), "since": since})


async def write(group: str, question: str) -> None:
    """Send the words of an answer to its group, then that it has ended."""
    layer, whole = get_channel_layer(), False
    try:
        for word in ANSWER.format(question).split():
            await anyio.sleep(PAUSE)
            await layer.group_send(group, {"type": "answer.word", "text": f"{word} "})
        whole = True
    except Exception:  # the application's task group, and with it the application, would end with it
        logger.exception("%s broke off", group)
    finally:
        with anyio.move_on_after(1, shield=True), suppress(Exception):  # also when the server stops
            await layer.group_send(group, {"type": "answer.end", "whole": whole})
