"""The aliases every other room uses. ASGI's own are Starlette's, so that both type-check together."""

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.types import ASGIApp as ASGIApp
from starlette.types import Message as Message
from starlette.types import Receive as Receive
from starlette.types import Scope as Scope
from starlette.types import Send as Send

R = TypeVar("R")


def hook(method: Callable[..., R]) -> Callable[..., R]:
    """Mark a method that applications override, and return it as it is.

    To type checkers its arguments are open: an override takes those that it needs, such as `receive(self, text_data)`.
    What it returns is checked, so that an async consumer's is an `async def`.
    """
    return method


def hook_of_both(method: Callable[..., Any]) -> Callable[..., Any]:
    """Do as `hook` for an async method that is a plain one in sync consumers, which derive from the async ones."""
    return method


Deliver = Callable[[Message], int]
"""Takes a layer's message for a receiver, plain and immediate.

Returns how many of the layer's messages wait in the receiver's mailbox now, this one included (True counts
as 1), or 0 if it was full and did not take it.
"""

Batch = Callable[[list[Any], Message], list[Any]]
"""Lets those of some receivers that are of one kind, and have room, take a message in one go; returns the others.

It is called on their event loop, with a message of plain values of which each is to get a copy. A receiver has its
`deliver`, and that one's `batch`. The `deliver` of those that are returned is called next. Must not raise.
"""


class Batching:
    """Base of a `Deliver` that has a faster way for many of its kind."""

    __slots__ = ()

    @staticmethod
    def batch(receivers: list[Any], message: Message) -> list[Any]:
        """Do what `Batch` says; the base takes none."""
        return receivers


Close = Callable[[int, str], object]
"""Closes a receiver with a code and a reason, plain and immediate: nothing that waits or runs there holds it up."""
