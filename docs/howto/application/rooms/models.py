"""What clients and the server say to each other."""

from typing import Annotated, Literal

from pydantic import BaseModel, StringConstraints


class Credentials(BaseModel):
    name: str
    password: str


class Token(BaseModel):
    token: str


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class Refresh(BaseModel):
    type: Literal["refresh"] = "refresh"
    token: str


class Refused(BaseModel):
    type: Literal["refused"] = "refused"
    reason: str


class Said(BaseModel):
    type: Literal["said"] = "said"
    user: str
    text: str


class People(BaseModel):
    """All who are in the room."""

    type: Literal["people"] = "people"
    names: list[str]
    version: int


class Moved(BaseModel):
    """Who has come and who has left since."""

    type: Literal["moved"] = "moved"
    came: list[str]
    left: list[str]
    version: int


class Notice(BaseModel):
    type: Literal["notice"] = "notice"
    text: str


class Messages(BaseModel):
    """A page of a room's history. The next one begins behind its position."""

    messages: list[Said]
    position: str | None
    recovered: bool
