"""What the contract's tests share."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

from consumers.layers.base import Layer
from consumers.types import Deliver, Message

MakeLayer = Callable[..., Layer]
Listen = Callable[[Layer, str], Awaitable[None]]
Test = TypeVar("Test", bound=Callable[..., Any])


def needs(*traits: str) -> Callable[[Test], Test]:
    """Run a test only on the layers that have these traits."""

    def mark(test: Test) -> Test:
        setattr(test, "traits", set(traits))  # noqa: B010
        return test

    return mark


async def attach(layer: Layer, deliver: Deliver) -> str:
    """Attach a receiver; a layer that has to be pumped awaits something for it."""
    name: Any = layer.attach(deliver)
    return str(await name if inspect.isawaitable(name) else name)


class Mailbox:
    """A receiver: takes messages while it has room, and can be waited on."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.messages: list[Message] = []
        self.room = room
        self._changed = anyio.Event()

    def deliver(self, message: Message) -> int:
        if len(self.messages) >= self.room:
            return 0
        self.messages.append(message)
        self._changed.set()
        return len(self.messages)

    async def holds(self, count: int) -> list[Message]:
        with anyio.fail_after(5):
            while len(self.messages) < count:
                self._changed = anyio.Event()
                await self._changed.wait()
        return self.messages


async def receive(layer: Layer, channel: str) -> Message:
    with anyio.fail_after(5):
        return await layer.receive(channel)
