"""Typed consumers in the eyes of mypy --strict and of pyright, with no rule disabled."""

import pytest

from ..support.slow import left_to_ci
from .checkers import STRICT, Fault, mypy, pyright

MODELS = """
from typing import Any, Literal, assert_type

from pydantic import BaseModel

from consumers.typed import SyncTypedConsumer, TypedConsumer, group_send_message, on, on_event
from consumers.types import HistoryEvent, HistoryMark


class Entry(HistoryEvent):
    text: str


def mark_of(entry: Entry) -> HistoryMark:
    return entry["history"]


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: str


class Move(BaseModel):
    type: Literal["move"] = "move"
    x: int


class Said(BaseModel):
    type: Literal["said"] = "said"
    text: str


class Left(BaseModel):
    type: Literal["left"] = "left"

"""

GOOD = f"""{MODELS}
class Chat(TypedConsumer):
    sends = Said | Left
    max_invalid = 3

    async def connect(self, room: str) -> None:
        self.room = room
        assert_type(self.expires_at, "datetime.datetime | None")
        await self.accept()

    @on
    async def say(self, message: Say) -> Said | None:
        assert_type(message.text, str)
        position = await self.group_send_message(self.room, Said(text=message.text), keep=False)
        assert_type(position, "str | None")
        await self.send_message(Left())
        return None

    @on(rate_limit=5)
    async def either(self, message: Say | Move) -> Said:
        assert_type(message, Say | Move)
        return Said(text="")

    @on_event
    async def move(self, message: Move, event: HistoryEvent) -> None:
        assert_type(event["history"]["position"], "str | None")
        assert_type(event["history"]["replayed"], bool)

    @on_event
    async def left(self, message: Left, event: dict[str, Any]) -> None:
        assert_type(await self.say(Say(text="")), "Said | None")
        assert_type(await self.either(Move(x=1)), Said)


class PlainChat(SyncTypedConsumer):
    sends = Said

    def connect(self) -> None:
        self.accept()

    @on
    def say(self, message: Say) -> Said | None:
        self.group_send_message("room", Said(text=message.text), keep=False)
        self.send_message(Said(text=""))
        return Said(text=message.text)

    @on_event
    def left(self, message: Left) -> None:
        assert_type(self.say(Say(text="")), "Said | None")


async def endpoint() -> None:
    await group_send_message("room", Said(text=""), exclude=["a"])
""".replace("from typing", "import datetime\nfrom typing", 1)

BAD = f"""{MODELS}
class Chat(TypedConsumer):
    sends = Said

    def connect(self) -> None: ...  # wrong

    @on
    async def say(self, message: Say) -> Said:
        message.x  # wrong
        await self.send_message("said")  # wrong
        await self.group_send_message("room", {{"type": "said"}})  # wrong
        return Left()  # wrong

    @on_event
    async def left(self, message: Left, event: HistoryEvent) -> None:
        event["history"]["place"]  # wrong
        await self.say(message)  # wrong
        self.expires_at = 5  # wrong


@on(rate="5")  # wrong
async def other(self: Any, message: Say) -> None: ...
"""

MODULES = {"good": GOOD, "bad": BAD}


@pytest.fixture(scope="module", params=left_to_ci("mypy", "pyright"))
def faults(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Fault]:
    """Return what one of the type checkers has against the modules."""
    folder = tmp_path_factory.mktemp("modules")
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return mypy(folder, *STRICT) if request.param == "mypy" else pyright(folder)


def test_handlers_have_the_types_of_their_models(faults: list[Fault]) -> None:
    assert [fault for fault in faults if fault.file == "good.py"] == []


def test_what_is_wrong_is_seen(faults: list[Fault]) -> None:
    wrong = {number for number, line in enumerate(BAD.splitlines(), 1) if line.endswith("# wrong")}
    assert {fault.line for fault in faults if fault.file == "bad.py"} == wrong
