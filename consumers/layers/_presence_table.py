"""Who is in one group: the truth, in this process' memory.

    not there ──first channel──▶ there ──last channel ends──▶ in grace ──its time has come──▶ not there
                                   ▲                              │
                                   └──────────a channel───────────┘

The scripts of `redis.presence_scripts` do the same in Redis.
"""

from ..exceptions import PresenceFull
from ._presence import MAX_CHANNELS, Change

Metas = tuple[str, ...]
"""The metas of a key, each once, as JSON."""


class _Key:
    """One key.

    Attributes:
        channels: its channels, oldest first, and their metas; none while it is in grace.
        told: the metas that members know of it; None: they do not know it.
    """

    __slots__ = ("channels", "told")

    def __init__(self) -> None:
        self.channels: dict[str, str] = {}
        self.told: Metas | None = None

    @property
    def metas(self) -> Metas:
        return tuple(dict.fromkeys(self.channels.values()))


class PresenceTable:
    """The keys of one group.

    Args:
        grace: seconds that a key stays after its last channel.

    Attributes:
        version: that of the last change; whoever has the changes told sets it.
    """

    def __init__(self, grace: float) -> None:
        self.version = 0
        self._grace = grace
        self._keys: dict[str, _Key] = {}
        self._key_of: dict[str, str] = {}  # by channel
        self._leaving: dict[str, float] = {}  # keys in grace, and until when; soonest first

    def __len__(self) -> int:
        return len(self._keys)

    def track(self, channel: str, key: str, meta: str, now: float) -> list[Change]:
        """Have a channel stand for a key; return what changes by that.

        Raises:
            PresenceFull: if the key has as many channels as it may.
        """
        known = self._keys.get(key)
        if known is not None and channel not in known.channels and len(known.channels) >= MAX_CHANNELS:
            raise PresenceFull(key, MAX_CHANNELS)
        changes = [] if self._key_of.get(channel, key) == key else self.untrack(channel, now)
        known = self._keys.setdefault(key, _Key())
        known.channels[channel] = meta
        self._key_of[channel] = key
        self._leaving.pop(key, None)
        return changes + _change(key, known)

    def update(self, channel: str, meta: str) -> list[Change]:
        """Give a channel that is tracked another meta; return what changes by that."""
        key = self._key_of[channel]
        self._keys[key].channels[channel] = meta
        return _change(key, self._keys[key])

    def untrack(self, channel: str, now: float) -> list[Change]:
        """Have a channel stand for nobody any more; return what changes by that."""
        key = self._key_of.pop(channel, None)
        if key is None:
            return []
        known = self._keys[key]
        del known.channels[channel]
        if known.channels:
            return _change(key, known)
        self._leaving[key] = now + self._grace
        return self.settle(now)

    def settle(self, now: float) -> list[Change]:
        """Let those leave whose grace is over; return these."""
        changes = []
        while self._leaving:
            key, due = next(iter(self._leaving.items()))
            if due > now:
                break
            del self._leaving[key], self._keys[key]
            changes.append(Change("leaves", key))
        return changes

    @property
    def next_leave(self) -> float | None:
        """When the next key leaves, unless it comes back; None: none is in grace."""
        return next(iter(self._leaving.values()), None)

    def channels(self) -> list[str]:
        """Return the channels that stand for keys."""
        return list(self._key_of)

    def read(self) -> dict[str, Metas]:
        """Return the metas of all keys, none for those in grace."""
        for key in self._leaving:
            self._keys[key].told = ()  # should it come back, who has read this is to hear of it
        return {key: known.metas for key, known in self._keys.items()}


def _change(key: str, known: _Key) -> list[Change]:
    """Return what members are to be told of a key that has channels."""
    was, known.told = known.told, known.metas
    if was == known.told:
        return []
    return [Change("joins" if was is None else "updates", key, known.told)]
