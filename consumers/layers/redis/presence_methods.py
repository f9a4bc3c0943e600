"""What both Redis layers do to know who is there: the rules for arguments, and which loop does the work."""

from typing import Any

from .._parts import WhoIsThere
from .._presence import Presence, meta_as_json, require_key
from .presence import RedisPresence
from .process import Process
from .round_trips import Flow


class KnowsWho(WhoIsThere):
    """Asks Redis, and other processes.

    Whatever asks Redis raises `redis.exceptions.RedisError` if that cannot be reached, refuses, or does not answer in
    time.
    """

    @property
    def _process(self) -> Process[Any]:
        raise NotImplementedError

    def _named(self, group: Any) -> str:
        raise NotImplementedError

    def _require_group(self, name: str) -> None:
        raise NotImplementedError

    def _require_channel(self, name: str) -> None:
        raise NotImplementedError

    @property
    def _presence(self) -> RedisPresence:
        presence: RedisPresence = self._process.exchange.presence
        return presence

    def _channels_in(self, group: str) -> Flow[frozenset[str]]:
        """Return who is in a group; see `Members.channels()`."""
        return (yield from self._presence.members.channels(group))

    def _count_in(self, group: str) -> Flow[int]:
        """Return how many are in a group; see `Members.count()`."""
        return (yield from self._presence.members.count(group))

    async def group_count(self, group: str) -> int:
        return await self._process.trips.run(self._count_in(self._checked(group)), blocks=True)

    async def group_channels(self, group: str) -> frozenset[str]:
        return await self._process.trips.run(self._channels_in(self._checked(group)), blocks=True)

    async def presence_track(self, group: str, channel: str, *, key: str, meta: dict[str, Any] | None = None) -> int:
        group = self._checked(group)
        self._require_own(channel)
        arguments = (group, channel, require_key(key), meta_as_json(meta))
        return await self._process.owners.call(self._presence.track, *arguments)

    async def presence_update(self, group: str, channel: str, *, meta: dict[str, Any] | None) -> int:
        group = self._checked(group)
        self._require_own(channel)
        return await self._process.owners.call(self._presence.update, group, channel, meta_as_json(meta))

    async def presence_untrack(self, group: str, channel: str) -> None:
        group = self._checked(group)
        self._require_own(channel)
        await self._process.owners.call(self._presence.untrack, group, channel)

    async def presence(self, group: str) -> Presence:
        return await self._process.trips.run(self._presence.reads.presence(self._asked(group)))

    async def presence_count(self, group: str) -> int:
        return await self._process.trips.run(self._presence.reads.count(self._asked(group)))

    def group_count_sync(self, group: str) -> int:
        """As `group_count()`, without an event loop: blocks."""
        return self._process.trips.run_blocking(self._count_in(self._checked(group)))

    def group_channels_sync(self, group: str) -> frozenset[str]:
        """As `group_channels()`, without an event loop: blocks."""
        return self._process.trips.run_blocking(self._channels_in(self._checked(group)))

    def presence_sync(self, group: str) -> Presence:
        """As `presence()`, without an event loop: blocks."""
        return self._process.trips.run_blocking(self._presence.reads.presence(self._asked(group)))

    def presence_count_sync(self, group: str) -> int:
        """As `presence_count()`, without an event loop: blocks."""
        return self._process.trips.run_blocking(self._presence.reads.count(self._asked(group)))

    def _checked(self, group: Any) -> str:
        """Return the name of a group.

        Raises:
            TypeError: if it is invalid.
        """
        name: str = self._named(group)
        self._require_group(name)
        return name

    def _asked(self, group: Any) -> str:
        """Return the name of a group, and note that members here may know who is there from now on."""
        name = self._checked(group)
        self._presence.note_asked(name)
        return name

    def _require_own(self, channel: str) -> None:
        """Check that a channel can be tracked.

        Raises:
            TypeError: if the name is invalid.
            RuntimeError: if it is another process'.
        """
        self._require_channel(channel)
        if "!" in channel and not self._process.is_own(channel):
            raise RuntimeError(f"Channel {channel!r:.200} is another process': only that one can track it")
