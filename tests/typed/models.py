"""Messages that the tests of typed consumers share, and what asks a consumer about them."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ..support.wire import Wire


class Say(BaseModel):
    type: Literal["say"] = "say"
    text: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Move(BaseModel):
    """Forbids what it does not know."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["move"] = "move"
    x: int
    y: int = 0


class Numbers(BaseModel):
    type: Literal["numbers"] = "numbers"
    values: list[int] = Field(default_factory=list)
    share: float = 0


class Said(BaseModel):
    type: Literal["said"] = "said"
    user: str
    text: str


class Moved(BaseModel):
    type: Literal["moved"] = "moved"
    x: int


async def ask(wire: Wire, message: Any) -> Any:
    """Send a message, a str as it is; return what comes."""
    wire.text(message if isinstance(message, str) else json.dumps(message))
    return json.loads(await wire.next_text())
