"""The aliases every other room uses. ASGI's own are Starlette's, so that both type-check together."""

from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp as ASGIApp
from starlette.types import Message as Message
from starlette.types import Receive as Receive
from starlette.types import Scope as Scope
from starlette.types import Send as Send

Deliver = Callable[[Message], int]
"""Takes a layer's message for a receiver, plain and immediate.

Returns how many of the layer's messages wait in the receiver's mailbox now, this one included (True counts
as 1), or 0 if it was full and did not take it.
"""

Batch = Callable[[list[Any], Message], list[Any]]
"""A static method `batch` in the class of a `Deliver` that is an object, where many take one message faster in one go.

Called on their event loop with all receivers of a fan-out, each with its `deliver` and that one's `batch`, and with a
message of plain values. Gives a copy of it to each of its own kind that takes it at once, and returns the others, whose
`deliver` is called then.
"""

Close = Callable[[int, str], object]
"""Closes a receiver with a code and a reason, plain and immediate: nothing that waits or runs there holds it up."""
