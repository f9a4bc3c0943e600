"""Who is there, as Redis has it: read by whoever asks, on any thread, with an event loop or without."""

import math
from typing import Any

from .._presence import Presence
from .._presence_feed import Truth
from .._presence_table import Metas
from .dropped import DroppedLog
from .presence_lua import AT_ONCE
from .presence_scripts import PresenceScripts, beat_of
from .presence_seals import Seals
from .round_trips import Flow
from .settings import Settings
from .standalone import Standalone

SWEEPS = 100
"""Scripts that let go of others before one reads, at most: who asks does not wait for all that is left of thousands."""

Part = tuple[int, int, bytes, list[tuple[bytes, list[bytes]]]]
"""A group's version, how many keys it has, where the rest begins, and the names and metas of some keys."""


class PresenceReads:
    """Reads for one process.

    Args:
        settings: the layer's.
        scripts: the layer's.
        seals: the layer's.
        dropped: is told of what cannot be read.
        standalone: makes sure that shards are no nodes of a Cluster.
    """

    def __init__(
        self, settings: Settings, scripts: PresenceScripts, seals: Seals, dropped: DroppedLog, standalone: Standalone
    ) -> None:
        self._settings = settings
        self._scripts = scripts
        self._seals = seals
        self._dropped = dropped
        self._standalone = standalone

    def read(self, group: str, most: int | None = None, known: int = 0) -> Flow[Truth]:
        """Read who is in a group; on any thread.

        Args:
            group: the group.
            most: if there are more keys, they are only counted. None: they are read, however many.
            known: a version that it has had; Redis goes on from there if it has forgotten that.
        """
        shard, members, cursor = self._settings.shard_of_group(group), dict[str, Metas](), b"0"
        first: tuple[int, int] | None = None
        while True:
            version, size, cursor, found = yield from self._read_part(shard, group, cursor, known=known)
            first = first or (version, size)  # what changes from now on is heard beside
            if most is not None and first[1] > most:
                return Truth(*first, None)
            for name, metas in found:
                key = self._opened(name)
                if key is not None:  # a scan may return one twice, and two processes may know one by different ids
                    texts = (text for meta in metas if (text := self._opened(meta)) is not None)
                    members[key] = tuple(dict.fromkeys((*members.get(key, ()), *texts)))
            if int(cursor) == 0:
                return Truth(*first, members)

    def _read_part(self, shard: int, group: str, cursor: bytes, count: int = AT_ONCE, known: int = 0) -> Flow[Part]:
        """Read a part of a group's keys, when those have been let go of whose time is over."""
        is_swept = False
        yield from self._standalone.require(shard)
        while True:
            [[(version, size, next_cursor, found, is_late)]] = yield [
                (shard, [self._scripts.read(group, cursor, count, known)])
            ]
            if not is_late or is_swept or cursor != b"0":
                return int(version), int(size), next_cursor, found
            yield from self.sweep(shard, most=SWEEPS)
            is_swept = True

    def sweep(self, shard: int, ahead: float = 0.0, most: float = math.inf) -> Flow[None]:
        """Let go of those whose time is over, as processes with a lease do: there may be none, or it hangs.

        Args:
            shard: the shard.
            ahead: seconds of grace that are let off.
            most: how many steps that may take; the rest is left to others.
        """
        steps = 0
        while steps < most:
            steps += 1
            [[reply]] = yield [(shard, [self._scripts.sweep(ahead)])]
            beat = beat_of(reply)
            for expired in beat.expired:
                has_more: Any = True
                while has_more and steps < most:
                    steps += 1
                    [[has_more]] = yield [(shard, [self._scripts.reap(expired)])]
            if not beat.expired and (beat.pause is None or beat.pause > ahead):
                return

    def presence(self, group: str) -> Flow[Presence]:
        """Return who is in a group; on any thread."""
        truth = yield from self.read(group)
        return Presence(truth.members or {}, truth.version)

    def count(self, group: str) -> Flow[int]:
        """Return how many keys are in a group; on any thread."""
        _, size, *_ = yield from self._read_part(self._settings.shard_of_group(group), group, b"0", 0)
        return size

    def _opened(self, data: bytes) -> str | None:
        try:
            return self._seals.open(data)
        except ValueError as error:
            self._dropped.note(str(error))
            return None
