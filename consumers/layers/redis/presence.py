"""Who is there, for one process: what it tracks, what Redis is told of that, and what its members are told.

    track(), untrack(), the end of a channel ──▶ what this process tracks ──scripts──▶ Redis: the truth
                                                                                         │
    members' handlers ◀── `PresenceFeeds`: gathers, makes good what was lost ◀───────────┘ published, or read

What the process tracks is what is wanted. What Redis is told is worked out when it is written. If that fails, it is
written again with a later beat of the lease.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from ...exceptions import PresenceFull
from .._memory_presence import not_tracked
from .._presence import MAX_CHANNELS, Presence, PresenceOptions
from .._presence_feed import PresenceFeeds, Truth
from .._presence_table import Metas
from .dropped import DroppedLog
from .lease import Lease
from .members import Members
from .owner_loop import together
from .pipelined import FAILURES, Command
from .presence_lua import AT_ONCE, KEPT
from .presence_scripts import Item, PresenceScripts, texts_of
from .presence_seals import Seals
from .round_trips import Flow, answered
from .settings import Settings
from .standalone import Standalone
from .tracked import Pair, Tracked

if TYPE_CHECKING:
    from .process import Process

T = TypeVar("T")

VERSIONS_AT_ONCE = 200
"""Groups whose versions are asked for together."""

ATTEMPTS = 3
"""How often a channel is tracked while leases end at the same time."""


class RedisPresence:
    """Who is there, for one process. On the owner loop, if nothing else is said.

    Args:
        process: the process.
        settings: the layer's.
        options: the layer's.
        seals: the layer's.

    Attributes:
        members: who is in which group, in all processes.
    """

    def __init__(self, process: "Process[Any]", settings: Settings, options: PresenceOptions, seals: Seals) -> None:
        self._process = process
        self._owners = process.owners
        self._local = process.local
        self._settings = settings
        self._options = options
        self._seals = seals
        self._scripts = PresenceScripts(settings.prefix, options.grace)
        self._leases = [
            Lease(shard, host, settings.timeout, options.lease, self._scripts, process.id, self._run, self)
            for shard, host in enumerate(settings.hosts)
        ]
        self._standalone = Standalone(settings)
        self.members = Members(process, settings, self._scripts, self._can_count)
        self._tracked = Tracked(process.local)
        self._feeds = PresenceFeeds(
            process.local, options.max_list, self._tracked.channels, self._read_soon, self._later
        )
        self._dropped = DroppedLog()
        self._unread: set[str] = set()  # groups whose truth could not be read
        self._is_telling = False  # whether Redis will soon be told of channels that have ended
        self._next_touch = time.monotonic() + KEPT / 4
        self._to_touch: set[str] = set()

    # For the layer

    async def prepare(self, group: str) -> None:
        """Have others know, before somebody joins, that this process lives; it joins without that if it cannot be.

        Raises:
            OwnerLoopEnded: if the owner loop has ended meanwhile.
        """
        await self._leases[self._shard(group)].prepare(is_needed=False)

    async def track(self, group: str, channel: str, key: str, meta: str) -> int:
        """Have a channel of this process stand for a key; return the version.

        Raises:
            PresenceFull: if the key has as many channels as it may.
            RuntimeError: if the channel has ended.
            redis.exceptions.RedisError: if Redis cannot be reached, or refuses; it is not tracked then.
        """
        await self._leases[self._shard(group)].prepare()
        before = self._tracked.track(group, channel, (key, meta))
        try:
            version = await self._write(group, channel)
            if version < 0:
                raise PresenceFull(key, MAX_CHANNELS)
        except BaseException:
            self._tracked.restore(group, channel, before)
            self._beat_soon(group)
            raise
        if before is not None and before[0] != key:  # that one may leave
            self._leases[self._shard(group)].beat_after(self._options.grace)
        if self._tracked.get(group, channel) is None:  # it has ended meanwhile
            self._tell_ended()
        return version

    async def update(self, group: str, channel: str, meta: str) -> int:
        """Give a channel another meta; return the version.

        Raises:
            ValueError: if it is not tracked in the group.
            redis.exceptions.RedisError: if Redis cannot be reached, or refuses; it has the meta it had then.
        """
        tracking = self._tracked.get(group, channel)
        if tracking is None:
            raise not_tracked(group, channel)
        return await self.track(group, channel, tracking[0], meta)

    async def untrack(self, group: str, channel: str) -> None:
        """Have a channel stand for nobody any more.

        Raises:
            redis.exceptions.RedisError: if Redis cannot be reached, or refuses; it is told later then.
        """
        if self._tracked.untrack(group, channel):
            await self._write_ended(self._shard(group))

    def end(self, channel: str) -> None:
        """Take note that a channel has ended; from any thread."""
        if self._tracked.end(channel) and not self._is_telling:
            self._is_telling = True
            self._owners.call_soon(self._tell_ended)

    def read(self, group: str, most: int | None = None) -> Flow[Truth]:
        """Read who is in a group; on any thread.

        Args:
            group: the group.
            most: if there are more keys, they are only counted. None: they are read, however many.
        """
        shard, members, cursor = self._shard(group), dict[str, Metas](), b"0"
        first: tuple[int, int] | None = None
        yield from self._standalone.require(shard)
        while True:
            [[(version, size, cursor, found)]] = yield [(shard, [self._scripts.read(group, cursor)])]
            first = first or (int(version), size)  # what changes from now on is heard beside
            if most is not None and first[1] > most:
                return Truth(*first, None)
            for name, metas in found:
                key = self._opened(name)
                if key is not None:  # a scan may return one twice
                    members[key] = tuple(text for meta in metas if (text := self._opened(meta)) is not None)
            if int(cursor) == 0:
                return Truth(*first, members)

    def presence(self, group: str) -> Flow[Presence]:
        """Return who is in a group; on any thread."""
        truth = yield from self.read(group)
        return Presence(truth.members or {}, truth.version)

    def count(self, group: str) -> Flow[int]:
        """Return how many keys are in a group; on any thread."""
        shard = self._shard(group)
        yield from self._standalone.require(shard)
        [[(_, size, *_)]] = yield [(shard, [self._scripts.read(group, count=0)])]
        return int(size)

    def _can_count(self, shard: int) -> Flow[None]:
        """Make sure that processes can count each other at a shard.

        Raises:
            redis.exceptions.RedisError: what keeps this one from being counted, and may keep others.
        """
        if (refusal := self._leases[shard].refusal) is not None:
            raise refusal.with_traceback(None)
        yield from self._standalone.require(shard)

    def forget_group(self, group: str) -> None:
        """Take note that a group has no members here any more; from any thread, the lock of `local` is held."""
        self._feeds.forget(group)

    # For the exchange

    async def work(self) -> None:
        """Keep the leases: a background job. Runs for ever."""
        self._is_telling = False
        for group in self._feeds.restart():
            self._feeds.lose(group)
        await together(*(lease.keep() for lease in self._leases))

    def clean_up(self, is_final: bool) -> Flow[None]:
        """Tell Redis who has ended, and that nobody vouches for the others; forget these too if it `is_final`."""
        for shard, lease in enumerate(self._leases):
            if lease.incarnation is None:
                continue
            ended = self._tracked.take_ended(self._is_at(shard))
            commands = [self._untracking(part) for part in _in_parts(ended)]
            if (incarnation := lease.forget()) is not None:
                commands.append(self._scripts.end(incarnation))
            yield [(shard, commands)]
        if is_final:
            self.flush()

    def has_anything(self) -> bool:
        """Whether Redis takes this process for alive, perhaps; from any thread."""
        return any(lease.incarnation is not None for lease in self._leases)

    def flush(self) -> None:
        """Forget what is tracked; from any thread."""
        self._tracked.flush()
        self._feeds.flush()

    async def renew(self) -> None:
        """Begin another life at all shards: what Redis had of this one was deleted.

        Raises:
            redis.exceptions.ConnectionError: if Redis cannot be reached in time.
        """
        for lease in self._leases:
            if lease.incarnation is not None:
                lease.expired()
                await lease.prepare()

    # For leases: see `Keeper`

    async def run_beside(self, shard: int, commands: list[Command]) -> list[Any]:
        self._owners.require()
        return await self._process.trips.run(_one(shard, commands), blocks=True)

    async def before_begin(self, shard: int) -> None:
        await answered(self._standalone.require(shard), self._run)

    async def on_begin(self, shard: int) -> None:
        wanted = self._tracked.of(self._is_at(shard))
        for part in _in_parts(wanted):
            items = list(self._items(part))
            if items:
                await self._run(shard, [self._scripts.track(self._leases[shard].require(), items)])
        for group in self._feeds.groups():
            if self._shard(group) == shard:
                self._feeds.lose(group)

    async def on_return(self, shard: int) -> None:
        known = self._feeds.groups()
        names = [group for group in {*known, *self._local.groups()} if self._shard(group) == shard]
        for part in _in_parts(names, VERSIONS_AT_ONCE):
            [versions] = await self._run(shard, [("MGET", *map(self._scripts.version_key, part))])
            for group, version in zip(part, versions, strict=True):
                if (int(version) if version else None) != known.get(group):
                    self._feeds.lose(group)
            await asyncio.sleep(0)

    async def on_beat(self, shard: int) -> None:
        await self._write_ended(shard)
        await self._write_unsure(shard)
        await self._touch(shard)
        for group in [group for group in self._unread if self._shard(group) == shard]:
            self._unread.discard(group)
            self._start_reading(group)

    def on_message(self, shard: int, payload: bytes) -> float | None:
        try:
            texts = texts_of(payload)
            if len(texts) == 1:
                return int(texts[0]) / 1000
            name, version, previous, count, *changes = texts
            group = name.decode()
            if self._local.has_group(group) or self._tracked.has(group):
                self._feeds.hear(group, int(version), int(previous), int(count), self._seals.changes_of(changes))
        except ValueError as error:
            self._dropped.note(str(error))
        return None

    def on_question(self, shard: int, payload: bytes) -> None:
        self._process.spawn(self.members.answer(shard, payload))

    # Writing

    def _items(self, wanted: Iterable[Pair]) -> Iterator[Item]:
        """Return what Redis is to be told of channels that are tracked now."""
        for group, channel in wanted:
            tracking = self._tracked.get(group, channel)
            if tracking is not None:
                key, meta = tracking
                sealed = (*self._seals.key(key), *self._seals.meta(meta))
                yield Item(group, self._feeds.version_of(group), channel, *sealed)

    async def _write(self, group: str, channel: str) -> int:
        """Tell Redis what a channel stands for; return the version, or -1 if the key has too many channels."""
        shard = self._shard(group)
        lease = self._leases[shard]
        for _ in range(ATTEMPTS):
            items = list(self._items([(group, channel)]))
            if not items:  # it has ended meanwhile
                return 0
            [versions] = await self._run(shard, [self._scripts.track(lease.require(), items)])
            if versions:
                return int(versions[0])
            lease.expired()
            await lease.prepare()
        lease.require()
        return 0

    async def _write_unsure(self, shard: int) -> None:
        """Tell Redis again what some channels stand for."""
        unsure = self._tracked.take_unsure(self._is_at(shard))
        try:
            while unsure:
                await self._write(*unsure[-1])
                unsure.pop()
        finally:
            self._tracked.put_back(unsure)

    async def _write_ended(self, shard: int) -> None:
        """Tell Redis of the channels that stand for nobody any more."""
        ended = self._tracked.take_ended(self._is_at(shard))
        try:
            while ended:
                part = ended[-AT_ONCE:]
                await self._run(shard, [self._untracking(part)])
                self._leases[shard].beat_after(self._options.grace)
                del ended[-len(part) :]
        finally:
            self._tracked.put_back(ended)

    def _untracking(self, pairs: Iterable[Pair]) -> Command:
        return self._scripts.untrack((group, self._feeds.version_of(group), channel) for group, channel in pairs)

    def _tell_ended(self) -> None:
        self._is_telling = False
        for shard in set(map(self._shard, self._tracked.ended_groups())):
            self._process.spawn(_attempt(self._write_ended(shard)))

    def _beat_soon(self, group: str) -> None:
        self._owners.call_soon(self._leases[self._shard(group)].beat_soon)

    async def _touch(self, shard: int) -> None:
        """Keep some of what Redis has of this process' channels from expiring."""
        if time.monotonic() >= self._next_touch:
            self._next_touch = time.monotonic() + KEPT / 4
            self._to_touch = {group for group, _ in self._tracked.of(lambda _: True)}
        part = [group for group in islice(self._to_touch, AT_ONCE) if self._shard(group) == shard]
        if part:
            self._to_touch.difference_update(part)
            await self._run(shard, [self._scripts.touch(self._leases[shard].require(), part)])

    # Reading

    def _read_soon(self, group: str) -> None:
        self._owners.call_soon(self._start_reading, group)

    def _start_reading(self, group: str) -> None:
        self._process.spawn(self._read_truth(group))

    async def _read_truth(self, group: str) -> None:
        try:
            truth = await answered(self.read(group, self._options.max_list), self._run)
        except FAILURES:
            self._unread.add(group)
        else:
            self._feeds.tell_truth(group, truth)

    def _opened(self, data: bytes) -> str | None:
        try:
            return self._seals.open(data)
        except ValueError as error:
            self._dropped.note(str(error))
            return None

    async def _run(self, shard: int, commands: Sequence[Command]) -> list[Any]:
        return await self._owners.require().commands[shard].run(commands)

    def _later(self, seconds: float, function: Callable[[], object]) -> None:
        self._owners.call_soon(_call_later, seconds, function)

    def _shard(self, group: str) -> int:
        return self._settings.shard_of_group(group)

    def _is_at(self, shard: int) -> Callable[[str], bool]:
        return lambda group: self._shard(group) == shard


def _one(shard: int, commands: list[Command]) -> Flow[list[Any]]:
    [replies] = yield [(shard, commands)]
    return replies


def _call_later(seconds: float, function: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(seconds, function)


async def _attempt(work: Any) -> None:
    """Do what is done again, with a later beat, if it fails."""
    with contextlib.suppress(*FAILURES):
        await work


def _in_parts(items: list[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
