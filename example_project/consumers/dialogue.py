"""A dialogue in turns: the server asks, waits for the answer, and asks on."""

import random
from typing import Literal

import anyio
from pydantic import BaseModel

from consumers.typed import TypedConsumer, on

from .messages import Refusal

MAX_ANSWER = 100  # characters


class Answer(BaseModel):
    """Answers the open question, once."""

    type: Literal["answer"] = "answer"
    text: str


class Question(BaseModel):
    """Asks for an answer."""

    type: Literal["question"] = "question"
    text: str


class Remark(BaseModel):
    """Needs no answer."""

    type: Literal["remark"] = "remark"
    text: str


class DialogueConsumer(TypedConsumer):
    """Plays a guessing game, served at `/ws/dialogue`. The server closes with 1000 when the game is over.

    The conversation is one background task and reads from top to bottom, like a script. `take()` only hands it the
    answers.
    """

    sends = Question | Remark | Refusal

    answered: anyio.Event | None = None  # there while a question is open
    answer = ""

    async def connect(self) -> None:
        await self.accept()
        self.start_background_task(self.talk)

    async def talk(self) -> None:
        """Hold the whole conversation, then close."""
        name = await self.ask("Hello! What shall I call you?")
        while True:
            tries = await self.play(random.randint(1, 20))
            await self.say(f"Right, {name}! That took you {tries} {'try' if tries == 1 else 'tries'}.")
            if not await self.ask_yes_or_no("Another round?"):
                break
        await self.say(f"Goodbye, {name}.")
        await self.close(1000, "The game is over")

    async def play(self, secret: int) -> int:
        """Play one round and return how many tries it took."""
        tries, question = 1, "I am thinking of a number from 1 to 20. Which one?"
        while (guess := await self.ask_number(question)) != secret:
            tries, question = tries + 1, f"{guess} is too {'low' if guess < secret else 'high'}. Which one?"
        return tries

    async def ask(self, question: str) -> str:
        """Ask and wait for the answer, for as long as the client stays connected."""
        self.answered = anyio.Event()  # before the question goes out, as its answer may be quick
        await self.send_message(Question(text=question))
        await self.answered.wait()
        return self.answer

    async def ask_number(self, question: str) -> int:
        """Ask until the answer is a whole number."""
        answer = await self.ask(question)
        while not (answer.isascii() and answer.isdigit()):
            answer = await self.ask("A whole number, please, such as 7.")
        return int(answer)

    async def ask_yes_or_no(self, question: str) -> bool:
        """Ask until the answer is yes or no; the first letter will do."""
        answer = await self.ask(question)
        while answer.lower() not in ("y", "yes", "n", "no"):
            answer = await self.ask("Please answer yes or no.")
        return answer.lower().startswith("y")

    async def say(self, text: str) -> None:
        """Say something that needs no answer."""
        await self.send_message(Remark(text=text))

    @on
    async def take(self, message: Answer) -> Refusal | None:
        """Hand an answer to the open question: the first one counts, and later ones are out of turn."""
        answer = message.text.strip()
        if self.answered is None or self.answered.is_set():
            return Refusal(text="It is not your turn yet.")
        if not answer:
            return Refusal(text="Please write an answer.")
        if len(answer) > MAX_ANSWER:
            return Refusal(text=f"That has {len(answer)} characters; {MAX_ANSWER} is the limit.")
        self.answer = answer
        self.answered.set()
        return None
