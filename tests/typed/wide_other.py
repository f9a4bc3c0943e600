"""Models whose names `wide` has, too."""

from pydantic import BaseModel


class Item(BaseModel):
    """Of the other module."""

    weight: float


class Page(BaseModel):
    number: int
