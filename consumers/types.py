"""The aliases every other room uses. ASGI's own are Starlette's, so that both type-check together."""

from collections.abc import Callable

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

Close = Callable[[int, str], object]
"""Closes a receiver with a code and a reason, plain and immediate: nothing that waits or runs there holds it up."""
