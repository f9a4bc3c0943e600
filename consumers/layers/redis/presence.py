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
from .._presence import MAX_CHANNELS, PresenceOptions
from .._presence_feed import PresenceFeeds
from .dropped import DroppedLog
from .lease import Lease
from .members import Members
from .pipelined import FAILURES, Command
from .presence_lua import AT_ONCE, KEPT
from .presence_reads import PresenceReads
from .presence_scripts import Item, PresenceScripts, texts_of
from .presence_seals import Seals
from .round_trips import Flow, answered
from .settings import Settings
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
        reads: who is there.
    """

    def __init__(self, process: "Process[Any]", settings: Settings, options: PresenceOptions, seals: Seals) -> None:
        self._process = process
        self._owners = process.owners
        self._local = process.local
        self._settings = settings
        self._options = options
        self._seals = seals
        self._dropped = DroppedLog()
        self._scripts = PresenceScripts(settings.prefix, options.grace)
        self._leases = [
            Lease(shard, host, settings.timeout, options.lease, self._scripts, process.id, self._run, self)
            for shard, host in enumerate(settings.hosts)
        ]
        self.reads = PresenceReads(settings, self._scripts, seals, self._dropped)
        self.members = Members(process, settings, self._scripts)
        self._tracked = Tracked(process.local)
        self._feeds = PresenceFeeds(
            process.local, options.max_list, self._tracked.channels, self._read_soon, self._later
        )
        process.local.on_detached = self.end  # also what ends with its event loop
        self._unread: set[str] = set()  # groups whose truth could not be read
        self._asked: set[str] = set()  # groups of which members may know who is there, as somebody here has asked
        self._next_touch = time.monotonic() + KEPT / 4
        self._to_touch: set[str] = set()

    # For the layer

    async def prepare(self, group: str) -> None:
        """Have others know, before somebody joins or is tracked, that this process lives, and hear what changes.

        Raises:
            redis.exceptions.ConnectionError: if Redis cannot be reached in time.
        """
        await self._leases[self._shard(group)].prepare()

    async def track(self, group: str, channel: str, key: str, meta: str) -> int:
        """Have a channel of this process stand for a key; return the version.

        Raises:
            PresenceFull: if the key has as many channels as it may.
            RuntimeError: if the channel has ended.
            redis.exceptions.RedisError: if Redis cannot be reached, or refuses; it is not tracked then.
        """
        await self.prepare(group)
        tracking = key, meta
        before = self._tracked.track(group, channel, tracking)
        try:
            version = await self._write(group, channel)
            if version < 0:
                raise PresenceFull(key, MAX_CHANNELS)
        except BaseException:
            self._tracked.restore(group, channel, tracking, before)
            self._beat_soon(group)
            raise
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
        if self._tracked.end(channel):
            self._owners.call_soon(self._tell_ended)

    def forget_group(self, group: str) -> None:
        """Take note that a group has no members here any more; from any thread, the lock of `local` is held."""
        self._asked.discard(group)
        self._feeds.forget(group)

    def note_asked(self, group: str) -> None:
        """Take note that somebody here asks who is in a group; from any thread."""
        if self._local.has_group(group):
            self._asked.add(group)

    # For the exchange

    async def work(self) -> None:
        """Keep the leases: a background job. Runs for ever."""
        for group in self._feeds.restart():
            self._feeds.lose(group)
        await asyncio.gather(*(lease.keep() for lease in self._leases))

    def clean_up(self, is_final: bool) -> Flow[None]:
        """Tell Redis who has ended, and that nobody vouches for the others; forget these too if it `is_final`."""
        requests = []
        for shard, lease in enumerate(self._leases):
            ended = self._tracked.take_ended(self._is_at(shard))
            if (incarnation := lease.forget()) is not None:
                commands = [self._untracking(part) for part in _in_parts(ended)]
                requests.append((shard, [*commands, self._scripts.end(incarnation, self._options.grace, is_final)]))
        if is_final:
            self.flush()  # first, whatever becomes of the rest
        for shard, commands in requests:
            [[*_, goes_on]] = yield [(shard, commands)]
            if is_final and not goes_on:  # nobody is left who would be told of anything, or look after what is there
                yield from self.reads.sweep(shard, self._options.grace)

    def has_anything(self) -> bool:
        """Whether Redis takes this process for alive, perhaps, or it would track something again; from any thread."""
        return any(lease.incarnation is not None for lease in self._leases) or self._tracked.has_any()

    def flush(self) -> None:
        """Forget what is tracked; from any thread."""
        self._asked.clear()
        self._tracked.flush()
        self._feeds.flush()

    # For leases: see `Keeper`

    async def on_begin(self, shard: int, is_first: bool) -> None:
        self._local.detach_closed()
        wanted = self._tracked.of(self._is_at(shard))
        for part in _in_parts(wanted):
            items = list(self._items(part))
            if items:
                await self._run(shard, [self._scripts.track(self._leases[shard].require(), items)])
        for group in self._feeds.groups() if is_first else self._groups(shard):
            if self._shard(group) == shard:
                self._feeds.lose(group)

    async def on_return(self, shard: int) -> None:
        known = self._feeds.groups()
        names = list({*self._groups(shard), *filter(self._is_at(shard), self._local.groups())})
        for part in _in_parts(names, VERSIONS_AT_ONCE):
            [versions] = await self._run(shard, [("MGET", *map(self._scripts.version_key, part))])
            for group, version in zip(part, versions, strict=True):
                known_version = known.get(group)
                was_told = known_version is not None or group in self._asked or self._tracked.has(group)
                if (version or was_told) and int(version or 0) != known_version:
                    self._feeds.lose(group)
            await asyncio.sleep(0)

    def on_lost(self, shard: int) -> None:
        self._tracked.take_ended(self._is_at(shard))  # others let go of them

    async def on_beat(self, shard: int) -> None:
        self._local.detach_closed()
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
                if self._leases[shard].was_away:
                    self._feeds.lose(group)
        except ValueError as error:
            self._dropped.note(str(error))
        return None

    def on_question(self, shard: int, payload: bytes) -> None:
        self._process.spawn(self.members.answer(shard, payload))

    def _groups(self, shard: int) -> list[str]:
        """Return the groups at a shard in which somebody is to know who is there."""
        names = {*self._feeds.groups(), *self._asked, *self._tracked.groups()}
        return [group for group in names if self._shard(group) == shard]

    # Writing

    def _items(self, wanted: Iterable[Pair]) -> Iterator[Item]:
        """Return what Redis is to be told of channels that are tracked now."""
        for group, channel in wanted:
            tracking = self._tracked.get(group, channel)
            if tracking is not None:
                key, meta = tracking
                sealed = (*self._seals.key(key), *self._seals.meta(meta))
                yield Item(group, self._feeds.version_of(group), self._in_redis(channel), *sealed)

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
        return self._scripts.untrack(
            (group, self._feeds.version_of(group), self._in_redis(channel)) for group, channel in pairs
        )

    def _in_redis(self, channel: str) -> str:
        """Return the name of a channel in Redis, where each process has its own of one without a "!"."""
        return channel if "!" in channel else f"{channel}!{self._process.id}"

    def _tell_ended(self) -> None:
        for shard in set(map(self._shard, self._tracked.ended_groups())):
            self._process.spawn(_attempt(self._write_ended(shard)))

    def _beat_soon(self, group: str) -> None:
        self._owners.call_soon(self._leases[self._shard(group)].beat_soon)

    async def _touch(self, shard: int) -> None:
        """Keep some of what Redis has of this process' channels from expiring."""
        if time.monotonic() >= self._next_touch:
            self._next_touch = time.monotonic() + KEPT / 4
            self._to_touch.update(self._tracked.groups())
        part = list(islice(filter(self._is_at(shard), self._to_touch), AT_ONCE))
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
            truth = await answered(self.reads.read(group, self._options.max_list), self._run)
        except FAILURES:
            self._unread.add(group)
        else:
            self._feeds.tell_truth(group, truth)

    async def _run(self, shard: int, commands: Sequence[Command]) -> list[Any]:
        return await self._owners.require().commands[shard].run(commands)

    def _later(self, seconds: float, function: Callable[[], object]) -> None:
        self._owners.call_soon(_call_later, seconds, function)

    def _shard(self, group: str) -> int:
        return self._settings.shard_of(group)

    def _is_at(self, shard: int) -> Callable[[str], bool]:
        return lambda group: self._shard(group) == shard


def _call_later(seconds: float, function: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(seconds, function)


async def _attempt(work: Any) -> None:
    """Do what is done again, with a later beat, if it fails."""
    with contextlib.suppress(*FAILURES):
        await work


def _in_parts(items: list[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
