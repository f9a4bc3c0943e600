"""What one process of the queue layer orders of another: to join or leave a group for it, to close members.

An order goes into the other process' queue, under the name of a channel that no message can be sent to.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...types import Message
from .._local import LocalChannels
from ..base import closing
from ..codec import CHANNELS_KEY, Codec
from . import scripts
from .dropped import DroppedLog
from .memberships import Memberships
from .own_queues import head_of, process_of
from .round_trips import Request
from .settings import Settings

if TYPE_CHECKING:
    from .process import Process

CONTROL = "!control"
"""How the name of a process' own channel ends by which others tell it what to do; no message comes by it."""

JOIN = "layer.join"
DISCARD = "layer.discard"
CLOSE = "layer.close"


class Orders:
    """Gives orders, and obeys those of others.

    Args:
        process: the process.
        settings: the layer's.
        codec: the layer's.
        memberships: the process'.
        dropped: told of orders that are none.
    """

    def __init__(
        self,
        process: "Process[Any]",
        settings: Settings,
        codec: Codec,
        memberships: Memberships,
        dropped: DroppedLog,
    ) -> None:
        self._process = process
        self._settings = settings
        self._codec = codec
        self._memberships = memberships
        self._dropped = dropped

    def give(self, type_: str, group: str, channel: str) -> Request:
        """Return what tells a channel's process, if it has this layer, to let it join or leave a group.

        Args:
            type_: JOIN or DISCARD.
            group: the group.
            channel: the channel.
        """
        head = process_of(channel)
        order = {"type": type_, "group": group, "channel": channel, CHANNELS_KEY: control_of(head)}
        entry = (self._settings.prefix + head, self._codec.encode(order), self._settings.capacity_of(channel))
        push = scripts.push([entry], self._process.now(), self._settings.expiry)
        return (self._settings.shard_of(head), [push])

    def obey(self, order: Message) -> None:
        """Do what another process orders; on the owner loop."""
        local = self._process.local
        group, channel = str(order.get("group")), str(order.get("channel"))
        if order.get("type") == JOIN and local.has_receiver(channel):
            local.group_add(group, channel)
            self._process.spawn(self._memberships.join_beside(group))
        elif order.get("type") == DISCARD:
            local.group_discard(group, channel)
        elif order.get("type") == CLOSE and isinstance(order.get("channels"), list):
            names = [str(name) for name in order["channels"]]
            close_members(order, local, self._dropped, *self._memberships.addressed(names))


def control_of(channel: str) -> str:
    """Return the channel by which the process of this one is told what to do."""
    return head_of(channel)[:-1] + CONTROL


def close_members(
    order: Message,
    local: LocalChannels,
    dropped: DroppedLog,
    channels: Iterable[str] = (),
    groups: Iterable[str] = (),
) -> None:
    """Close those who are here, with what the order of another process, or this one, says."""
    try:
        checked = closing(order["code"], order["reason"])
    except (KeyError, TypeError, ValueError) as error:
        dropped.note(f"an order to close a group that is none ({type(error).__name__}: {error})")
        return
    local.close_members(checked["code"], checked["reason"], channels, groups)
