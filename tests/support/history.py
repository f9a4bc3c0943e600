"""What the tests of groups with history share."""

from collections.abc import Callable, Iterable
from typing import Any

import anyio

from consumers.layers.base import Layer
from consumers.testing.mailbox import PATIENCE, Mailbox
from consumers.types import Message

SIZE = 10
HISTORY = {"room*": {"size": SIZE, "ttl": 60}, "long*": {"size": 2000, "ttl": 60}, "one": {"size": 1, "ttl": 60}}
"""The `history` option of the layers that the tests make, unless they say what else."""

GAP = "gap"


class Reader(Mailbox):
    """A receiver that can say how much room it has, and reads when it is told to.

    Args:
        layer: its layer.
        capacity: how many messages it holds that are not read.

    Attributes:
        name: its channel's.
        held: how many of its messages it has not read.
    """

    def __init__(self, layer: Layer, capacity: int) -> None:
        super().__init__()
        self.held = 0
        self.capacity = capacity
        self._layer = layer
        self.name = layer.attach(self.deliver, self.close, self.has_room_for)

    def has_room_for(self) -> int:
        return self.capacity - self.held

    def deliver(self, message: Message) -> int:
        assert self.has_room_for() > 0
        self.held += 1
        return super().deliver(message)

    def read(self, count: int | None = None) -> None:
        """Read the oldest, or all."""
        self.held -= self.held if count is None else count
        self._layer.resume(self.name)


async def join(layer: Layer, group: str, room: int = 1_000_000, **options: Any) -> tuple[str, Mailbox, Any]:
    """Attach a mailbox that cannot say when it has room, and have it join; return its name, itself, what that gave."""
    mailbox = Mailbox(room)
    name = layer.attach(mailbox.deliver, mailbox.close)
    return name, mailbox, await layer.group_add(group, name, **options)


async def say(layer: Layer, group: str, *numbers: int, **options: Any) -> list[Any]:
    """Send numbers to a group; return their positions."""
    return [await layer.group_send(group, {"type": "test", "number": number}, **options) for number in numbers]


def number_of(message: Message) -> Any:
    if message == {"type": "layer.gap", "group": message.get("group")}:
        return GAP
    return message["number"]


def numbers(messages: Iterable[Message]) -> list[Any]:
    """Return the numbers of messages, and "gap" for each gap."""
    return [number_of(message) for message in messages]


async def until(condition: Callable[[], object]) -> None:
    """Wait, while time passes, until a condition holds."""
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.sleep(0.001)
