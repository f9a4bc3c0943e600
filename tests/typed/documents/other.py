"""Models that are called as those of the sample are."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel


class Color(StrEnum):
    CYAN = "cyan"
    PINK = "pink"


class Person(BaseModel):
    """Somebody else."""

    nick: str
    likes: Color


class Note(BaseModel):
    type: Literal["other.note"] = "other.note"
    author: Person
