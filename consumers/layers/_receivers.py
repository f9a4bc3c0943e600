"""The records of `LocalGroups`: who receives, who waits in `receive()`, and who is about to join a group."""

from collections.abc import Callable

from .._aio.loops import call_soon, running_loop
from ..types import Close, Deliver, DeliverMany, DeliversMany, Message

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


class Receiver:
    """A channel as a group's member: an attached one, or (`loop` is None) a stored one."""

    __slots__ = (
        "capacity",
        "close",
        "deliver",
        "deliver_many",
        "dropped",
        "groups",
        "loop",
        "name",
        "silent_until",
        "slow_until",
        "unreported",
    )

    def __init__(
        self, name: str, deliver: Deliver, loop: object | None, capacity: int, close: Close | None = None
    ) -> None:
        self.name = name
        self.deliver = deliver
        self.deliver_many: DeliverMany | None = None
        if isinstance(deliver, DeliversMany):
            self.deliver_many = type(deliver).deliver_many
        self.close = close
        self.loop = loop
        self.capacity = capacity
        self.groups: dict[str, None] = {}  # a set of one takes more, and most are in one
        self.dropped = 0
        self.unreported = 0
        self.silent_until = self.slow_until = float("-inf")


class PendingJoin:
    """The blocks of `joining()` that one channel has under way for one group."""

    __slots__ = ("blocks", "is_settled")

    def __init__(self, is_settled: bool) -> None:
        self.blocks = 0
        self.is_settled = is_settled


def ignore_message(message: Message) -> int:
    """Stand in for the `deliver` of a receiver that has ended."""
    return 1
