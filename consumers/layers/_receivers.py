"""The records of `LocalGroups`: who receives, who waits in `receive()`, and who is about to join a group."""

import logging
from collections.abc import Callable

from .._aio.loops import call_soon, running_loop
from ..types import Close, Deliver, DeliverMany, DeliversMany, Message, Room
from ._copy import Copier, copy_tree
from ._full_mailboxes import Missed

logger = logging.getLogger("consumers.layers")

Entry = tuple[float, Message]
"""A waiting message: when it expires, and itself."""


class Waiter:
    """One `receive()` in line for a channel's next message.

    Args:
        channel: the channel.
        wake: called when `entry` is set.
        loop: the event loop to call it on.
    """

    __slots__ = ("_wake", "channel", "entry", "loop")

    def __init__(self, channel: str, wake: Callable[[], object], loop: object | None) -> None:
        self.channel = channel
        self.entry: Entry | None = None
        self._wake = wake
        self.loop = loop

    def wake_up(self) -> bool:
        """Call `wake` on its loop; False if that is closed."""
        if self.loop is running_loop():
            self._wake()
            return True
        try:
            call_soon(self.loop, self._wake)
        except RuntimeError:
            return False
        return True


class Lane:
    """What those receivers have in common that a message is handed to together.

    Args:
        loop: the event loop that they are called on; None: any.
        kind: the class of their `deliver`, if that has a way to hand it to all of them at once; None: they are called
            one by one.
    """

    __slots__ = ("__weakref__", "deliver_many", "deliver_uncopied", "loop")

    def __init__(self, loop: object | None, kind: type[DeliversMany] | None) -> None:
        self.loop = loop
        self.deliver_many: DeliverMany | None = None if kind is None else kind.deliver_many
        self.deliver_uncopied: DeliverMany | None = None if kind is None else kind.deliver_uncopied

    def hand_over(self, members: "list[Receiver]", message: Message, copy: Copier) -> "list[Receiver]":
        """Have receivers of this lane take a message together, if they can; return the others, in their order."""
        way = self.deliver_many if copy is dict.copy else self.deliver_uncopied if copy is copy_tree else None
        if way is None:
            return members
        others = way([receiver.deliver for receiver in members], message)
        return among(members, others) if others else []


STORED = Lane(None, None)
"""That of the channels whose messages are stored."""

ENDED = Lane(None, None)
"""That of receivers which have ended, while a fan-out, here or on another loop, still knows them: it skips them."""


class Receiver:
    """A channel as a group's member: an attached one, or (`loop` is None) a stored one.

    Args:
        name: the channel's name.
        deliver: takes a message.
        capacity: how many messages it holds.
        lane: whom it takes messages together with.
        close: closes it; None: it cannot be closed.
        room: says how many more messages of groups with history it takes; None: it cannot say.
    """

    __slots__ = ("capacity", "close", "deliver", "groups", "lane", "loop", "missed", "name", "room", "slow_until")

    def __init__(
        self,
        name: str,
        deliver: Deliver,
        capacity: int,
        lane: Lane = STORED,
        close: Close | None = None,
        room: Room | None = None,
    ) -> None:
        self.name = name
        self.deliver = deliver
        self.capacity = capacity
        self.lane = lane
        self.loop = lane.loop
        self.close = close
        self.room = room
        self.groups: dict[str, None] = {}  # a set of one takes more, and most are in one
        self.missed: Missed | None = None  # until it has been full
        self.slow_until = float("-inf")


def among(receivers: list[Receiver], delivers: list[Deliver]) -> list[Receiver]:
    """Return those of the receivers whose `deliver` is in a list, which has the same order."""
    remaining = iter(delivers)
    wanted = next(remaining, None)
    found = []
    for receiver in receivers:
        if receiver.deliver is wanted:
            found.append(receiver)
            wanted = next(remaining, None)
    return found


def close_all(receivers: list[Receiver], code: int, reason: str) -> None:
    """Close receivers, on their event loop."""
    for receiver in receivers:
        try:
            if receiver.close is not None:
                receiver.close(code, reason)
        except Exception:
            logger.exception("Channel %s could not be closed", receiver.name)


class PendingJoin:
    """The blocks of `joining()` that one channel has under way for one group."""

    __slots__ = ("blocks", "is_settled")

    def __init__(self, is_settled: bool) -> None:
        self.blocks = 0
        self.is_settled = is_settled
