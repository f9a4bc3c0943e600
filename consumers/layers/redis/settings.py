"""What the parts of the two layers have to know of their arguments."""

from collections.abc import Callable
from dataclasses import dataclass

from .._history import Retention
from .hosts import Host

Event = str | Callable[[], object] | None
"""What happens when the connection is lost or back: a message of this type to all consumers, or a function's call."""


def require_event(name: str, event: object) -> None:
    """Check an argument that is an `Event`.

    Raises:
        TypeError: if it is none.
    """
    if not (event is None or isinstance(event, str) or callable(event)):
        raise TypeError(f"{name} must be a type of message or a function, not {event!r}")


@dataclass(frozen=True, slots=True)
class Settings:
    """What parts need of their layer.

    Attributes:
        hosts: the shards.
        shard_of: returns the index of the shard that a name belongs to; a layer's `consistent_hash()`.
        shard_of_group: returns that of a group.
        prefix: what names in Redis begin with.
        group_prefix: what the names of groups in Redis begin with.
        expiry: seconds until a message is dropped.
        group_expiry: seconds until a channel that nobody vouches for leaves a group.
        timeout: seconds that any operation may take.
        capacity_of: returns how many messages a channel holds; a layer's `get_capacity()`.
        retention_of: returns how much of a group's messages is kept; a layer's `retention_of()`.
        full_level: the level at which the log tells that a receiver here is full.
        on_disconnect: see `Event`.
        on_reconnect: see `Event`.
    """

    hosts: list[Host]
    shard_of: Callable[[str], int]
    shard_of_group: Callable[[str], int]
    prefix: str
    group_prefix: str
    expiry: float
    group_expiry: float
    timeout: float
    capacity_of: Callable[[str], int]
    full_level: int
    retention_of: Callable[[str], Retention | None]
    on_disconnect: Event
    on_reconnect: Event
