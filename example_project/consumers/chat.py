"""A chat in rooms: what people say, which is kept, who is here, who comes and goes, and who is typing."""

import re
from datetime import UTC, datetime
from secrets import token_hex
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel
from pydantic_core import PydanticCustomError

from consumers import StopConsumer
from consumers.typed import on

from .breaking import BreakableConsumer

ID = re.compile(r"[0-9a-f]{32}")
ROOM_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
BAD_NAME = 4003  # close code; 4000 to 4999 belong to the application (RFC 6455, 7.4.2)
BAD_ROOM_NAME = 4004
MAX_NAME = 30  # characters
MAX_TEXT = 1000  # characters
LAST = 50  # messages that a newcomer sees
JOINERS = dict.fromkeys((0x200C, 0x200D))  # invisible, but part of Persian names and of many emoji


class Meta(BaseModel):
    """What the others see of one tab."""

    name: str


class Person(Meta):
    """Whoever has this id: all of their tabs."""

    id: str


# What the client sends


def checked_text(text: str) -> str:
    """Return a text without the space around it. What is wrong with one, its sender reads beside the field."""
    text = text.strip()
    if not text:
        raise PydanticCustomError("empty", "That message is empty.")
    if len(text) > MAX_TEXT:
        raise PydanticCustomError("too_long", f"That message has {len(text)} characters; {MAX_TEXT} is the limit.")
    return text


class Say(BaseModel):
    """Says something to everyone in the room, its sender included."""

    type: Literal["say"] = "say"
    text: Annotated[str, AfterValidator(checked_text)]


class Type(BaseModel):
    """Tells the others that something is being written."""

    type: Literal["type"] = "type"


# What it gets


class Welcome(BaseModel):
    """Says who the client is. `Here` follows."""

    type: Literal["welcome"] = "welcome"
    person: Person


class Said(BaseModel):
    """Something was said, just now or while this client was away."""

    type: Literal["said"] = "said"
    person: Person
    text: str
    sent: datetime


class Typing(BaseModel):
    """Somebody else is writing."""

    type: Literal["typing"] = "typing"
    person: Person


class Here(BaseModel):
    """Who is here, by id. Whoever has no tab at the moment may come back within seconds."""

    type: Literal["here"] = "here"
    people: dict[str, list[Meta]]
    version: int


class Changed(BaseModel):
    """Who has come or changed, and who has left."""

    type: Literal["changed"] = "changed"
    people: dict[str, list[Meta]]
    left: list[str]
    version: int


class Crowd(BaseModel):
    """How many are here, in a room with too many for a list."""

    type: Literal["crowd"] = "crowd"
    count: int
    version: int


class ChatConsumer(BreakableConsumer):
    """One tab in one room, served at `/ws/chat/{room}?name=…&id=…`, for clients of the library.

    A person has an `id`, which the client keeps. All tabs with this id are one person. The id shows who is who, and
    proves nothing. With a login, take the user's id.

    The room's group keeps its messages: see `history` in `app.py`. `join()` does the rest: a newcomer gets the newest,
    and who comes back gets all that came meanwhile, or is told that something is missing. A client that does not know
    whether its message has arrived sends it again, and the room sees it once.

    The layer knows who is in a room: see `group_track()`. A person is there as long as one tab is, and a few seconds
    more: who reloads the page has not left. Every tab hears of changes, in other processes too. If a process is killed,
    the others notice, and its people leave. Each list and each change has a `version`. The client ignores what is older
    than what it knows.
    """

    sends = Welcome | Said | Typing | Here | Changed | Crowd

    async def connect(self, room: str) -> None:
        await self.accept()  # first: a page sees the code of a close, but not of a rejection
        name = " ".join(self.query_params.get("name", "").split())
        if not ROOM_NAME.fullmatch(room):
            await self.close(BAD_ROOM_NAME, "A room name is 1 to 40 letters (a-z, A-Z), digits, - or _.")
            raise StopConsumer
        if problem := problem_with_name(name):
            await self.close(BAD_NAME, problem)
            raise StopConsumer
        self.room_group = f"chat.{room}"
        self.me = Person(id=valid_id(self.query_params.get("id", "")), name=name)
        await self.enter()

    async def enter(self) -> None:
        """Be in the room. The client gets who is there before the messages that it has missed."""
        await self.join(self.room_group, "room", last=LAST)
        await self.group_track(self.room_group, key=self.me.id, meta={"name": self.me.name})
        here = await self.channel_layer.presence(self.room_group)
        await self.send_message(Welcome(person=self.me))
        await self.send_message(Here.model_validate({"people": here, "version": here.version}))

    @on
    async def say(self, message: Say) -> None:
        said = Said(person=self.me, text=message.text, sent=datetime.now(UTC).replace(microsecond=0))
        await self.group_send_message(self.room_group, said)

    @on
    async def types(self, message: Type) -> None:
        typing = Typing(person=self.me)
        await self.group_send_message(self.room_group, typing, keep=False, exclude=self.channel_name)

    async def presence_diff(self, event: dict[str, Any]) -> None:
        """Handle `presence.diff`: some have joined, changed or left."""
        people = {**event["joins"], **event["updates"]}
        await self.send_message(Changed(people=people, left=event["leaves"], version=event["version"]))

    async def presence_state(self, event: dict[str, Any]) -> None:
        """Handle `presence.state`: who is here, after a change may have been lost."""
        await self.send_message(Here(people=event["members"], version=event["version"]))

    async def presence_count(self, event: dict[str, Any]) -> None:
        """Handle `presence.count`: how many are here, in a room with too many for a list."""
        await self.send_message(Crowd(count=event["count"], version=event["version"]))


def problem_with_name(name: str) -> str:
    """Return what is wrong with a name, which has 1 to 30 visible characters; "" if nothing is."""
    if not name.translate(JOINERS):
        return "Choose a name first."
    if len(name) > MAX_NAME:
        return f"That name has {len(name)} characters; {MAX_NAME} is the limit."
    if not name.translate(JOINERS).isprintable():
        return "That name has invisible characters in it. Please use letters you can see."
    return ""


def valid_id(id: str) -> str:
    """Return an id that a client has sent, or a new one if it is none."""
    return id if ID.fullmatch(id) else token_hex(16)
