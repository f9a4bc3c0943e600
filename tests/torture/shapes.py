"""How a message of the torture's looks on its way to a group."""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel

from consumers.typed.frames import frame_of
from consumers.types import Message

Shape = Callable[[str, Message], Message]
"""Makes of a group and a message what is sent to it."""


class Said(BaseModel):
    type: Literal["said"] = "said"
    group: str
    of: str
    number: int
    by: int
    text: str


def plain(group: str, message: Message) -> Message:
    """Return a message as it is."""
    return message


def typed(group: str, message: Message) -> Message:
    """Return what `group_send_message()` sends, with what the witness looks at beside it."""
    by = message.get("by", 0)
    said = Said(group=group, of=message["of"], number=message["number"], by=by, text=message["text"])
    return {**message, **frame_of(said)}


SHAPES: dict[str, Shape] = {"plain": plain, "promised": typed}
"""By the kind of client that gets it."""
