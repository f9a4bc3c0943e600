"""Short commands, each answered as soon as it is done, whatever else is still running."""

import random
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal

import anyio
from pydantic import BaseModel

from consumers.typed import TypedConsumer, on

from .messages import Refusal

MAX_LINE = 200  # characters


class Refused(Exception):
    """A command that can't be carried out; its text says why, to the person who typed it."""


async def roll(argument: str) -> str:
    """/roll 2d6: throw dice, one with six sides unless told otherwise"""
    dice = re.fullmatch(r"([1-9]|1\d|20)?d([2-9]|[1-9]\d|100)", argument or "1d6", re.ASCII)
    if dice is None:
        raise Refused("Write /roll 2d6: up to 20 dice with 2 to 100 sides.")
    thrown = [random.randint(1, int(dice[2])) for _ in range(int(dice[1] or 1))]
    if len(thrown) == 1:
        return str(thrown[0])
    return f"{' + '.join(map(str, thrown))} = {sum(thrown)}"


async def time(argument: str) -> str:
    """/time: what the clock of the server says"""
    return datetime.now().astimezone().strftime("%H:%M:%S %Z")


async def echo(argument: str) -> str:
    """/echo hello: say it back"""
    if not argument:
        raise Refused("Write something after /echo.")
    return argument


async def slow(argument: str) -> str:
    """/slow 5: take 1 to 10 seconds; the other commands don't wait for it"""
    if not re.fullmatch(r"([1-9]|10)?", argument, re.ASCII):
        raise Refused("Write /slow 5: a whole number of seconds, from 1 to 10.")
    seconds = int(argument or 5)
    await anyio.sleep(seconds)
    return f"Done after {seconds} s."


async def usage(argument: str) -> str:
    """/help: this list"""
    return "\n".join(command.__doc__ or name for name, command in COMMANDS.items())


Command = Callable[[str], Awaitable[str]]
COMMANDS: dict[str, Command] = {"/roll": roll, "/time": time, "/echo": echo, "/slow": slow, "/help": usage}


class Run(BaseModel):
    """A line that somebody typed."""

    type: Literal["run"] = "run"
    line: str


class Answer(BaseModel):
    """What a command has to say."""

    type: Literal["answer"] = "answer"
    text: str


class CommandsConsumer(TypedConsumer):
    """Runs commands, up to eight of one client at once, served at `/ws/commands`.

    Answers go out in the order in which the commands finish. Each repeats the `id` of its line: the client knows which
    is which.
    """

    sends = Answer | Refusal
    max_tasks = 8

    @on
    async def run(self, message: Run) -> Answer | Refusal:
        try:
            return Answer(text=await answer_to(message.line))
        except Refused as refusal:
            return Refusal(text=str(refusal))


async def answer_to(line: str) -> str:
    """Run one line and return its answer; raise Refused if that can't be done."""
    if len(line) > MAX_LINE:
        raise Refused(f"That has {len(line)} characters; {MAX_LINE} is the limit.")
    name, _, argument = line.strip().partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        raise Refused(f"There is no command {name or 'in that'}. Try /help.")
    return await command(argument.strip())
