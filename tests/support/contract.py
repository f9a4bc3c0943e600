"""What the contract's tests share."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from consumers.layers.base import Layer
from consumers.testing.mailbox import Mailbox as Mailbox
from consumers.testing.mailbox import receive as receive
from consumers.types import Close, Deliver

MakeLayer = Callable[..., Layer]
Listen = Callable[[Layer, str], Awaitable[None]]
Test = TypeVar("Test", bound=Callable[..., Any])


def needs(*traits: str) -> Callable[[Test], Test]:
    """Run a test only on the layers that have these traits."""

    def mark(test: Test) -> Test:
        setattr(test, "traits", set(traits))  # noqa: B010
        return test

    return mark


async def attach(layer: Layer, deliver: Deliver, close: Close | None = None) -> str:
    """Attach a receiver; a layer that has to be pumped awaits something for it."""
    name: Any = layer.attach(deliver, close)
    return str(await name if inspect.isawaitable(name) else name)
