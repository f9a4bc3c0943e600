"""An answer that is written word by word, as a language model's is, and read by who comes, goes and comes back."""

import logging
from contextlib import suppress
from typing import Any, Literal
from uuid import UUID, uuid4

import anyio
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from consumers import get_channel_layer
from consumers.typed import group_send_message

from .breaking import BreakableConsumer

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


class Word(BaseModel):
    """The next word."""

    type: Literal["word"] = "word"
    text: str


class End(BaseModel):
    """No more words come. If the answer is not whole, it broke off."""

    type: Literal["end"] = "end"
    whole: bool


class AnswerConsumer(BreakableConsumer):
    """One reader of one answer, served at `/ws/answers/{id}`; `ask()` says which, and since which position.

    The client gets each word after its position, then the end. The library's client keeps the position, and goes on
    there after a cut. If words are kept no longer, it gets none, but the close code 4004.
    """

    sends = Word | End

    async def connect(self, id: UUID) -> None:
        await self.accept()
        joined = await self.join(f"answer.{id}", "answer")
        if not joined.recovered:
            await self.close(NOT_KEPT, "This answer is kept no longer.")

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
    whole = False
    try:
        for word in ANSWER.format(question).split():
            await anyio.sleep(PAUSE)
            await group_send_message(group, Word(text=f"{word} "))
        whole = True
    except Exception:  # the application's task group, and with it the application, would end with it
        logger.exception("%s broke off", group)
    finally:
        with anyio.move_on_after(1, shield=True), suppress(Exception):  # also when the server stops
            await group_send_message(group, End(whole=whole))
