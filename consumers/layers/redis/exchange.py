"""What a process has at Redis, by subscriptions or by queues: what its owner loop wants of it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from .commands import Commands
from .pipelined import PipelinedConnection
from .reconnect import ReconnectingConnection
from .round_trips import Flow

if TYPE_CHECKING:
    from .presence import RedisPresence


class Receiver(Protocol):
    """Receives from one shard, on the owner loop.

    Attributes:
        connection: what it receives by.
        takes_alone: whether what it receives is gone from Redis, so that no other receiver can have it.
    """

    connection: ReconnectingConnection

    @property
    def takes_alone(self) -> bool: ...

    async def run(self) -> None:
        """Receive for ever. Cancelled, it leaves its connection open."""

    async def take_the_rest(self, pipelined: PipelinedConnection) -> None:
        """Receive what has come, or is on its way, since `run()` was cancelled; no more comes after that.

        Raises:
            redis.exceptions.RedisError: if the connection ends before.
        """

    def end(self) -> None:
        """Take note that it will not receive again."""


class Exchange(Protocol):
    """How one process exchanges messages with others. What is not said to be for any thread runs on the owner loop.

    Attributes:
        presence: who is there.
    """

    presence: "RedisPresence"

    def make_receivers(
        self,
        commands: Sequence[Commands],
        on_change: Callable[[int, bool], object],
        predecessors: Sequence[Receiver] | None,
    ) -> Sequence[Receiver]:
        """Make a receiver for each shard.

        Args:
            commands: for each shard.
            on_change: told of a shard's connection, as `ReconnectingConnection` tells it.
            predecessors: those of an owner loop that has not ended in order, if there is one.
        """

    async def work(self) -> None:
        """Do what is due every now and then: the background job. Runs for ever."""

    async def restore(self, shard: int) -> None:
        """Put right what a restarted Redis has forgotten."""

    async def settle(self, timeout: float) -> bool:
        """Wait for what is on its way to Redis; return whether there was any.

        Args:
            timeout: seconds that it may take.
        """

    def clean_up(self, is_final: bool) -> Flow[None]:
        """Remove what the process has in Redis: all of it, or (not `is_final`) what ends with the owner loop."""

    def has_anything(self) -> bool:
        """Whether there may be something to clean up when no owner loop lives; from any thread."""

    def on_empty(self, group: str) -> None:
        """Take note that a group has no members here any more; from any thread."""

    def on_missing(self, group: str, offset: int) -> None:
        """Have a message of a group with history read; see `Missing`."""

    async def listen_to(self, channel: str) -> None:
        """Have the messages of a channel come here."""

    def after_receive(self, channel: str) -> None:
        """Take note that a `receive()` of this channel has ended; from any thread."""
