"""What Redis is told of who is there: worked out when it is written, from what the process tracks then."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from .lease import Lease
from .pipelined import FAILURES, Command
from .presence_lua import AT_ONCE, KEPT
from .presence_scripts import Item, PresenceScripts
from .presence_seals import Seals
from .presence_tracked import Pair, Tracked
from .round_trips import Run
from .settings import Settings

if TYPE_CHECKING:
    from .process import Process

T = TypeVar("T")

ATTEMPTS = 3
"""How often a channel is tracked while leases end at the same time."""


class PresenceWrites:
    """Writes for one process. On the owner loop.

    Args:
        process: the process.
        settings, scripts, seals: the layer's.
        grace: seconds that a key stays after its last channel.
        leases: the process', one per shard.
        tracked: what it tracks.
        version_of: returns a version that a group has had, or 0.
        run: executes commands at a shard.
    """

    def __init__(
        self,
        process: "Process[Any]",
        settings: Settings,
        scripts: PresenceScripts,
        seals: Seals,
        grace: float,
        leases: list[Lease],
        tracked: Tracked,
        version_of: Callable[[str], int],
        run: Run,
    ) -> None:
        self._process = process
        self._settings = settings
        self._scripts = scripts
        self._seals = seals
        self._grace = grace
        self._leases = leases
        self._tracked = tracked
        self._version_of = version_of
        self._run = run
        self._next_touch = time.monotonic() + KEPT / 4
        self._to_touch: set[str] = set()

    async def write(self, group: str, channel: str) -> int:
        """Tell Redis what a channel stands for; return the version, or -1 if the key has too many channels."""
        shard = self.shard_of(group)
        lease = self._leases[shard]
        for _ in range(ATTEMPTS):
            items = list(self._items([(group, channel)]))
            if not items:  # it has ended meanwhile
                return 0
            [versions] = await self._run(shard, [self._scripts.track(lease.require(), items)])
            if versions:
                return -1 if versions[0] is None else int(versions[0])
            lease.note_expired()
            await lease.prepare()  # whose new incarnation has all channels, this one too
        lease.require()
        return 0

    async def write_all(self, shard: int) -> None:
        """Tell Redis what all channels stand for that are tracked at a shard."""
        for part in in_parts(self._tracked.of(self.is_at(shard))):
            items = list(self._items(part))
            if items:
                await self._run(shard, [self._scripts.track(self._leases[shard].require(), items)])

    async def write_unsure(self, shard: int) -> None:
        """Tell Redis again what some channels stand for."""
        unsure = self._tracked.take_unsure(self.is_at(shard))
        try:
            while unsure:
                await self.write(*unsure[-1])
                unsure.pop()
        finally:
            self._tracked.put_back(unsure)

    async def write_untracks(self, shard: int) -> None:
        """Tell Redis of the channels that stand for nobody any more."""
        ended = self._tracked.take_to_untrack(self.is_at(shard))
        try:
            while ended:
                part = ended[-AT_ONCE:]
                wanted = [pair for pair in part if self._tracked.get(*pair) is None]  # else tracked again meanwhile
                await self._run(shard, [self._untracking(wanted)])
                self._leases[shard].beat_after(self._grace)
                del ended[-len(part) :]
        finally:
            self._tracked.put_back(ended)

    def untrack_soon(self) -> None:
        """Tell Redis, beside, of all of them."""
        for shard in set(map(self.shard_of, self._tracked.groups_to_untrack())):
            self._process.spawn(_attempt(self.write_untracks(shard)))

    def untracking(self, shard: int) -> list[Command]:
        """Return the commands that tell Redis of those at a shard; from any thread."""
        return [self._untracking(part) for part in in_parts(self._tracked.take_to_untrack(self.is_at(shard)))]

    async def touch(self, shard: int) -> None:
        """Keep some of what Redis has of this process' channels from expiring."""
        if time.monotonic() >= self._next_touch:
            self._next_touch = time.monotonic() + KEPT / 4
            self._to_touch.update(self._tracked.groups())
        part = list(islice(filter(self.is_at(shard), self._to_touch), AT_ONCE))
        if part:
            self._to_touch.difference_update(part)
            await self._run(shard, [self._scripts.touch(self._leases[shard].require(), part)])

    def shard_of(self, group: str) -> int:
        """Return the index of a group's shard."""
        return self._settings.shard_of_group(group)

    def is_at(self, shard: int) -> Callable[[str], bool]:
        """Return what tells whether a group is at a shard."""
        return lambda group: self.shard_of(group) == shard

    def _items(self, wanted: Iterable[Pair]) -> Iterator[Item]:
        """Return what Redis is to be told of channels that are tracked now."""
        for group, channel in wanted:
            tracking = self._tracked.get(group, channel)
            if tracking is not None:
                key, meta = tracking
                sealed = (*self._seals.key(key), *self._seals.meta(meta))
                yield Item(group, self._version_of(group), self._in_redis(channel), *sealed)

    def _untracking(self, pairs: Iterable[Pair]) -> Command:
        return self._scripts.untrack(
            (group, self._version_of(group), self._in_redis(channel)) for group, channel in pairs
        )

    def _in_redis(self, channel: str) -> str:
        """Return the name of a channel in Redis, where each process has its own of one without a "!"."""
        return channel if "!" in channel else f"{channel}!{self._process.id}"


async def _attempt(work: Awaitable[None]) -> None:
    """Do what is done again, with a later beat, if it fails."""
    with contextlib.suppress(*FAILURES):
        await work


def in_parts(items: list[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """Yield the items, so many at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
