"""The parts of the contract that a layer may have: groups that remember, and who is there."""

from typing import Any

from ._checks import no_history, no_presence
from ._history import Page
from ._presence import Presence


class Remembers:
    """What a layer with groups that remember has. The base has none of it, and says which layers do."""

    def resume(self, name: str) -> None:
        """Go on handing over to an attached channel whose `room` has said 0, and which has room again.

        Immediate. Must be called on its event loop. The base does nothing.
        """

    async def history(self, group: str, since: str | None = None, limit: int = 100) -> Page:
        """Return messages that a group keeps, oldest first: for a page's first view, or a program that polls.

        Args:
            group: the group.
            since: a position: the first messages after it. None: the newest.
            limit: how many messages at most; never more than 1,000.

        Returns:
            The messages, the position of the last of them, and whether nothing is missing since `since`. Of a group
            without history: no messages, and None.

        Raises:
            TypeError: if the name is invalid.
            ValueError: if `limit` is no number of messages.
            InvalidChannelLayerError: if the layer has no groups with history; the base.
        """
        raise no_history(self, "history()")

    async def position(self, group: str) -> str | None:
        """Return a group's newest position: take it, load from the database, and join `since` it.

        Args:
            group: the group.

        Returns:
            The position; None if the group has no history.

        Raises:
            TypeError: if the name is invalid.
            InvalidChannelLayerError: if the layer has no groups with history; the base.
        """
        raise no_history(self, "position()")


class WhoIsThere:
    """What a layer that knows who is there has. The base has none of it, and says which layers do."""

    async def group_count(self, group: str) -> int:
        """Return how many channels are in a group, in all processes.

        It costs nobody anything until it is called: then every process is asked.

        Args:
            group: the group.

        Raises:
            TypeError: if the name is invalid.
            InvalidChannelLayerError: if the layer does not know; the base.
            redis.exceptions.TimeoutError: if a process that is alive does not answer in time.
        """
        raise no_presence(self, "group_count()")

    async def group_channels(self, group: str) -> frozenset[str]:
        """Return the channels that are in a group, in all processes; see `group_count()`.

        Args:
            group: the group.
        """
        raise no_presence(self, "group_channels()")

    async def presence_track(self, group: str, channel: str, *, key: str, meta: dict[str, Any] | None = None) -> int:
        """Have a channel of this process stand for a key, a user say, in a group. Its end untracks it.

        The group's members, and this channel, hear of it by `presence.diff`. Tracking neither needs membership nor
        makes it. Done again, it changes the key and the meta.

        Args:
            group: the group.
            channel: the channel.
            key: 1 to 200 characters.
            meta: what others are to know, a dict that JSON has; at most 4,096 bytes of it.

        Returns:
            The group's version now; see `Presence`.

        Raises:
            TypeError: if a name is invalid, or the key or the meta has the wrong type.
            ValueError: if the key or the meta is too large.
            PresenceFull: if the key is in the group by 100 other channels.
            RuntimeError: if the channel is another process', or has ended.
            InvalidChannelLayerError: if the layer has no presence; the base.
        """
        raise no_presence(self, "presence_track()")

    async def presence_update(self, group: str, channel: str, *, meta: dict[str, Any] | None) -> int:
        """Give a channel that is tracked another meta; otherwise as `presence_track()`.

        Args:
            group: the group.
            channel: the channel.
            meta: what others are to know from now on; None: an empty dict.

        Raises:
            ValueError: if the channel is not tracked in the group.
        """
        raise no_presence(self, "presence_update()")

    async def presence_untrack(self, group: str, channel: str) -> None:
        """Have a channel stand for nobody any more; harmless if it does not. Its key leaves after the grace.

        Args:
            group: the group.
            channel: the channel.

        Raises:
            TypeError, RuntimeError, InvalidChannelLayerError: as `presence_track()`.
        """
        raise no_presence(self, "presence_untrack()")

    async def presence(self, group: str) -> Presence:
        """Return who is in a group: `{key: [meta, …]}`, with the version that it is of. Those in grace have no meta.

        Args:
            group: the group.

        Raises:
            TypeError: if the name is invalid.
            InvalidChannelLayerError: if the layer has no presence; the base.
        """
        raise no_presence(self, "presence()")

    async def presence_count(self, group: str) -> int:
        """Return how many keys are in a group, those in grace included; otherwise as `presence()`.

        Args:
            group: the group.
        """
        raise no_presence(self, "presence_count()")
