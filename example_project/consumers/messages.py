"""What several of the example's consumers send."""

from typing import Literal

from pydantic import BaseModel


class Refusal(BaseModel):
    """A message was in order, but what it asks for cannot be done; the text says why, to a person."""

    type: Literal["refusal"] = "refusal"
    text: str
