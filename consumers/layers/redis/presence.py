"""Who is there, for one process: what it tracks, what Redis is told of that, and what its members are told.

    track(), untrack(), the end of a channel ──▶ `Tracked` ──`PresenceWrites`──▶ Redis: the truth
                                                                                      │
    members' handlers ◀── `PresenceFeeds`: gathers, makes good what was lost ◀────────┘ published, or read

What the process tracks is what is wanted. If Redis cannot be told of it, that is done with a later beat of the lease.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...exceptions import PresenceFull
from .._presence import MAX_CHANNELS, PresenceOptions, not_tracked
from .._presence_feed import PresenceFeeds
from .counting import Members
from .dropped import DroppedLog
from .lease import Lease
from .owner_loop import together
from .pipelined import FAILURES, Command
from .presence_reads import PresenceReads
from .presence_scripts import PresenceScripts, texts_of, version_of
from .presence_seals import Seals
from .presence_tracked import Tracked
from .presence_truths import Truths
from .presence_writes import PresenceWrites, in_parts
from .round_trips import Flow, Request, answered
from .settings import Settings
from .standalone import Standalone

if TYPE_CHECKING:
    from .process import Process

VERSIONS_AT_ONCE = 200
"""Groups whose versions are asked for together."""

SET_BACK = 60_000_000
"""By how much less than what is known a version shows that Redis' clock was set back: microseconds, a minute."""


class RedisPresence:
    """Who is there, for one process. On the owner loop, if nothing else is said.

    Args:
        process: the process.
        settings: the layer's.
        options: the layer's.
        seals: the layer's.

    Attributes:
        members: who is in which group, in all processes.
        reads: who is there, as Redis says.
    """

    def __init__(self, process: "Process[Any]", settings: Settings, options: PresenceOptions, seals: Seals) -> None:
        self._process = process
        self._owners = process.owners
        self._local = process.local
        self._options = options
        self._seals = seals
        self._dropped = DroppedLog()
        self._scripts = PresenceScripts(settings.prefix, options.grace)
        self._leases = [
            Lease(shard, host, settings.timeout, options.lease, self._scripts, process.id, self._run, self)
            for shard, host in enumerate(settings.hosts)
        ]
        self._standalone = Standalone(settings)
        self.reads = PresenceReads(settings, self._scripts, seals, self._dropped, self._standalone)
        self.members = Members(process, settings, self._scripts, self._can_count)
        self._tracked = Tracked(process.local)
        self._feeds = PresenceFeeds(
            process.local, options.max_list, self._tracked.channels, self._read_soon, self._later
        )
        self._writes = PresenceWrites(
            process,
            settings,
            self._scripts,
            seals,
            options.grace,
            self._leases,
            self._tracked,
            self._feeds.version_of,
            self._run,
        )
        self._truths = [Truths(self._read_truth) for _ in settings.hosts]
        self._unread: set[str] = set()  # groups whose truth could not be read
        self._asked: set[str] = set()  # groups of which members may know who is there, as somebody here has asked
        self._is_telling = False  # whether Redis will soon be told of channels that have ended

    # For the layer

    async def prepare(self, group: str) -> None:
        """Have others know, before somebody joins, that this process lives; it joins without that if it cannot be.

        Raises:
            OwnerLoopEnded: if the owner loop has ended meanwhile.
        """
        await self._lease_of(group).prepare(is_needed=False)

    async def track(self, group: str, channel: str, key: str, meta: str) -> int:
        """Have a channel of this process stand for a key; return the version.

        Raises:
            PresenceFull: if the key has as many channels as it may.
            RuntimeError: if the channel has ended.
            redis.exceptions.RedisError: if Redis cannot be reached, or refuses; it is not tracked then.
        """
        await self._lease_of(group).prepare()
        tracking = key, meta
        before = self._tracked.track(group, channel, tracking)
        try:
            version = await self._writes.write(group, channel)
            if version < 0:
                raise PresenceFull(key, MAX_CHANNELS)
        except BaseException:
            self._tracked.restore(group, channel, tracking, before)
            self._forget_unheard(group)
            self._owners.call_soon(self._lease_of(group).beat_soon)
            raise
        if before is not None and before[0] != key:  # that one may leave
            self._lease_of(group).beat_after(self._options.grace)
        if self._tracked.get(group, channel) is None:  # it has ended meanwhile
            self._untrack_soon()
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
            self._forget_unheard(group)
            await self._writes.write_untracks(self._shard(group))

    def end(self, channel: str) -> None:
        """Take note that a channel has ended; from any thread."""
        groups = self._tracked.end(channel)
        for group in groups:
            self._forget_unheard(group)
        if groups and not self._is_telling:
            self._is_telling = True
            self._owners.call_soon(self._untrack_soon)

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
        self._is_telling = False
        for truths in self._truths:
            truths.forget()
        for group in self._feeds.restart():
            self._feeds.lose(group)
        reading = (truths.read_forever() for truths in self._truths)
        await together(*(lease.keep() for lease in self._leases), *reading)

    def clean_up(self, is_final: bool) -> Flow[None]:
        """Tell Redis who has ended, and that nobody vouches for the others; forget these too if it `is_final`.

        What is forgotten is forgotten before the flow runs, whatever becomes of that.
        """
        requests: list[Request] = []
        for shard, lease in enumerate(self._leases):
            commands = self._writes.untracking(shard)
            if (incarnation := lease.forget()) is not None:
                requests.append((shard, [*commands, self._scripts.end(incarnation, self._options.grace, is_final)]))
        if is_final:
            self.flush()
        return self._end_leases(requests, is_final)

    def _end_leases(self, requests: list[Request], is_final: bool) -> Flow[None]:
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

    async def renew(self) -> None:
        """Begin another life at all shards: what Redis had of this one was deleted.

        Raises:
            redis.exceptions.ConnectionError: if Redis cannot be reached in time.
        """
        for lease in self._leases:
            if lease.incarnation is not None:
                lease.note_expired()
                await lease.prepare()

    # For leases: see `LeaseHolder`

    async def run_beside(self, shard: int, commands: list[Command]) -> list[Any]:
        self._owners.require()
        return await self._process.trips.run(_one(shard, commands), blocks=True)

    async def before_begin(self, shard: int) -> None:
        await answered(self._standalone.require(shard), self._run)

    async def on_begin(self, shard: int, is_first: bool) -> None:
        self._local.detach_closed()
        await self._writes.write_all(shard)
        for group in self._feeds.groups() if is_first else self._groups(shard):
            if self._shard(group) == shard:
                self._feeds.lose(group)

    async def on_return(self, shard: int) -> None:
        known = self._feeds.groups()
        names = list({*self._groups(shard), *filter(self._writes.is_at(shard), self._local.groups())})
        for part in in_parts(names, VERSIONS_AT_ONCE):
            [versions] = await self._run(shard, [("MGET", *map(self._scripts.version_key, part))])
            for group, version in zip(part, versions, strict=True):
                known_version = known.get(group)
                was_told = known_version is not None or group in self._asked or self._tracked.has(group)
                if (version or was_told) and version != str(known_version or 0).encode():
                    self._feeds.lose(group)
            await asyncio.sleep(0)

    def on_lost(self, shard: int) -> None:
        self._tracked.take_to_untrack(self._writes.is_at(shard))  # others let go of them

    async def on_beat(self, shard: int) -> None:
        self._local.detach_closed()
        await self._writes.write_untracks(shard)
        await self._writes.write_unsure(shard)
        await self._writes.touch(shard)
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
                self._hear(group, version_of(version), int(previous), int(count), self._seals.changes_of(changes))
                if self._leases[shard].may_have_missed:
                    self._feeds.lose(group)
        except (ValueError, OverflowError) as error:
            self._dropped.note(str(error))
        return None

    def on_question(self, shard: int, payload: bytes) -> None:
        self._process.spawn(self.members.answer(shard, payload))

    # Inside

    def _can_count(self, shard: int) -> Flow[None]:
        """Make sure that processes can count each other at a shard.

        Raises:
            redis.exceptions.RedisError: what keeps this one from being counted, and may keep others.
        """
        if (refusal := self._leases[shard].refusal) is not None:
            raise refusal.with_traceback(None)
        yield from self._standalone.require(shard)

    def _groups(self, shard: int) -> list[str]:
        """Return the groups at a shard in which somebody is to know who is there."""
        names = {*self._feeds.groups(), *self._asked, *self._tracked.groups()}
        return [group for group in names if self._shard(group) == shard]

    def _hear(self, group: str, version: int, *what: Any) -> None:
        if version < self._feeds.version_of(group) - SET_BACK:  # reading it puts that right
            self._feeds.lose(group)
        self._feeds.hear(group, version, *what)

    def _forget_unheard(self, group: str) -> None:
        """Forget what was told of a group of which nobody here hears any more; from any thread."""
        if not self._tracked.has(group) and not self._local.has_group(group):
            self._feeds.forget(group)

    def _untrack_soon(self) -> None:
        self._is_telling = False
        self._writes.untrack_soon()

    def _read_soon(self, group: str) -> None:
        self._owners.call_soon(self._start_reading, group)

    def _start_reading(self, group: str) -> None:
        self._truths[self._shard(group)].want(group)

    async def _read_truth(self, group: str) -> None:
        try:
            flow = self.reads.read(group, self._options.max_list, self._feeds.version_of(group))
            truth = await answered(flow, self._run)
        except FAILURES:
            self._unread.add(group)
        else:
            self._feeds.tell_truth(group, truth)

    async def _run(self, shard: int, commands: list[Command]) -> list[Any]:
        return await self._owners.require().commands[shard].run(commands)

    def _later(self, seconds: float, function: Callable[[], object]) -> None:
        self._owners.call_soon(_call_later, seconds, function)

    def _lease_of(self, group: str) -> Lease:
        return self._leases[self._shard(group)]

    def _shard(self, group: str) -> int:
        return self._writes.shard_of(group)


def _one(shard: int, commands: list[Command]) -> Flow[list[Any]]:
    [replies] = yield [(shard, commands)]
    return replies


def _call_later(seconds: float, function: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(seconds, function)
