"""The logs of the groups that have members in one process: what it hears, what it reads, and for whom.

A group's log is read once for all who wait for it: members that lag, channels that join, a hole in what was heard.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from .._history import HISTORY, Channels, Joined, Mark, Page, Position, Retention
from .._options import require_new
from .._receivers import PendingJoin
from .history_scripts import LogReply, keys_of, place_of, publish, read, reply_of
from .known_log import AtHand, Decode, KnownLog, Told
from .owner_loop import ENDED, OwnerLoopEnded
from .round_trips import Flow
from .settings import Settings

if TYPE_CHECKING:
    from .process import Process

logger = logging.getLogger("consumers.layers")

PAGE = 200
"""Messages that are read at once."""

CHECKED_AT_ONCE = 200
"""Groups whose places are compared with Redis' at once."""

MOST_ATTEMPTS = 20
"""How often a join has the log read, while others have other parts of it read."""

PAUSE = 0.5
"""Seconds before a log is read again that could not be."""

BREATH = 0.05
"""Seconds before a log is read again that this process is far behind, as long as it hears more."""


class Reading:
    """What is to be read of one group's log.

    Attributes:
        asked: the offset from which, while the owner loop has not heard of that; or None.
        wanted: the offset from which, or None.
        done: awaited by those who need what is `wanted`.
        runs: whether it is being read.
        loop: the event loop that it is read on, if it is.
    """

    __slots__ = ("asked", "done", "loop", "runs", "wanted")

    def __init__(self) -> None:
        self.asked: int | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.wanted: int | None = None
        self.done: asyncio.Future[None] | None = None
        self.runs = False


class RedisHistory:
    """The logs of one process. On the owner loop, if nothing else is said.

    The lock of the process' groups guards what is in the logs. `_known` has changes on the owner loop only. `missing()`
    may add to `_readings` on any thread, with the lock held.

    Args:
        process: the process.
        settings: the layer's.
        decode: makes a message of a payload.
    """

    def __init__(self, process: "Process[Any]", settings: Settings, decode: Decode) -> None:
        self._owners = process.owners
        self._spawn = process.spawn
        self._local = process.local
        self._settings = settings
        self._decode = decode
        self._known: dict[str, KnownLog] = {}
        self._readings: dict[str, Reading] = {}
        self._told: dict[str, Told] = {}  # where the next payload of a group belongs
        self._at_hand = AtHand()
        self._next_checked = 0

    # Senders and readers, on any thread

    def publish(
        self, group: str, retention: Retention, payload: bytes, digests: Sequence[str]
    ) -> Flow[tuple[Told, int]]:
        """Add a payload to a group's log, and publish it.

        Args:
            group: the group.
            retention: how much is kept.
            payload: the payload.
            digests: those of the message's id, if it has one.

        Returns:
            Where it belongs, and how many have heard it; -1 if it was there already.
        """
        channel = self._settings.group_prefix + group
        command = publish(keys_of(self._settings.prefix, group), channel, payload, retention, digests)
        [[[text, reached, previous]]] = yield [(self._shard(group), [command])]
        return Told(place_of(text), previous.decode(), len(payload)), reached

    def read(
        self, group: str, retention: Retention, proof: Position | None, start: int | None, count: int
    ) -> Flow[LogReply]:
        """Read a log; see `history_scripts.read()`."""
        command = read(keys_of(self._settings.prefix, group), retention, proof, start, count)
        [[answer]] = yield [(self._shard(group), [command])]
        return reply_of(answer)

    def page(self, group: str, retention: Retention, since: str | None, limit: int) -> Flow[Page]:
        """Read messages of a group; see `Layer.history()`."""
        position = Position.parse(since)
        if position is None:
            reply = yield from self.read(group, retention, None, None, 0 if since is not None else limit)
            reply.entries.reverse()
        else:
            reply = yield from self.read(group, retention, position, position.offset + 1, limit)
        if since is not None and not reply.proven:
            return Page([], str(reply.place), False)
        messages: list[dict[str, Any]] = []
        last = reply.place
        for place, payload in reply.entries:
            if payload is not None and place.offset >= reply.first:
                message, _ = self._decode(payload)
                if isinstance(message, dict):
                    messages.append({**message, HISTORY: Mark(group, str(place), replayed=True)})
                last = place
        return Page(messages, str(last), True)

    def take(self, group: str, told: Told, payload: bytes) -> None:
        """Take a message that this process has sent, and does not hear."""
        self._take(group, told, *self._decode(payload))

    # Joining

    async def join(
        self, group: str, retention: Retention, channel: str, joining: PendingJoin, since: str | None, last: int
    ) -> Joined:
        """Have a channel, which is joining a group that is subscribed to, follow its log; on any event loop.

        Raises:
            ValueError: `since` or `last` for a channel that follows it already.
            redis.exceptions.RedisError: if the log cannot be read.
        """
        await self._owners.call(self._prepare, group, retention, Position.parse(since))
        with self._local.lock:
            known = self._known.get(group)
            if known is None or known.log is None or not self._local.is_under_way(group, channel, joining):
                return Joined(None, False, 0)  # the channel has left again, and may even be joining anew
            if self._local.follows(group, channel):  # where it goes on is not to be changed: it may lag
                require_new(group, channel, since, last)
                return Joined(str(known.log.place), True, 0)
            known.expire()
            cursor, joined = known.log.plan(since, last, channel)
            self._local.follow(group, channel, known.log, cursor)
        self._local.feeds.advance(group)
        return joined

    async def _prepare(self, group: str, retention: Retention, since: Position | None) -> None:
        """Know a log's newest place, and whether it proves a position."""
        known = self._known.get(group)
        if known is None:
            keys = keys_of(self._settings.prefix, group)
            known = self._known[group] = KnownLog(keys, retention, self._decode, self._at_hand)
        if known.log is None or not self._local.feeds.has(group):  # it may have gone on, unheard
            await self._read(group, known.following if since is None else min(since.offset, known.following))
        if since is None or known.log is None:
            return
        for attempt in range(MOST_ATTEMPTS):
            with self._local.lock:
                known.expire()
                place, proven = known.log.place, known.log.proves(since)
            if proven:
                return
            if since.epoch == place.epoch and since.offset <= place.offset:
                if proven is False:
                    return
                await self._read(group, since.offset)
            elif attempt and not known.is_behind:  # Redis was asked, and has no such position
                return
            else:
                await self._read(group, place.offset + 1)

    # Hearing

    def hear_place(self, group: str, data: bytes) -> None:
        """Take note where the next payload of a group belongs."""
        told = Told.parse(data)
        if told is not None:
            self._told[group] = told

    def hear(self, group: str, payload: bytes, message: Any, excluded: Channels) -> int | None:
        """Take a payload of a group.

        Returns:
            As `Feeds.advance()`; None if it has no place: it is not kept.
        """
        told = self._told.pop(group, None)
        if told is None:
            return None
        if told.length != len(payload):  # what that belonged to is lost
            if (known := self._known.get(group)) is not None:
                self._want(group, known.following)
            return None
        return self._take(group, told, message, excluded)

    def _take(self, group: str, told: Told, message: Any, excluded: Channels) -> int:
        known = self._known.get(group)
        if known is None:
            return 0
        with self._local.lock:
            wanted = known.hear(told, message, excluded)
            if wanted is not None:
                self.missing(group, wanted)
        return self._local.feeds.advance(group)

    # Reading

    def missing(self, group: str, offset: int) -> None:
        """Have a log read from an offset; on any thread, the lock is held. See `Missing`."""
        reading = self._readings.setdefault(group, Reading())
        if reading.asked is None or offset < reading.asked:
            reading.asked = offset
            self._owners.call_soon(self._want, group, offset)

    def _want(self, group: str, offset: int) -> "asyncio.Future[None] | None":
        """Have a log read from an offset; return what is done then. None if the group has no members any more."""
        if group not in self._known:
            self._readings.pop(group, None)
            return None
        reading, loop = self._readings.setdefault(group, Reading()), asyncio.get_running_loop()
        if reading.loop not in (None, loop):  # that one stands still: this one has taken over
            reading = self._readings[group] = Reading()
        reading.loop, reading.asked = loop, None
        reading.wanted = offset if reading.wanted is None else min(offset, reading.wanted)
        if reading.done is None:
            reading.done = loop.create_future()
        done = reading.done
        if not reading.runs:
            reading.runs = True
            self._spawn(self._read_on(group, reading))
        return done

    async def _read(self, group: str, offset: int) -> None:
        """Read a log from an offset, together with all who wait for that.

        Raises:
            redis.exceptions.RedisError: if it cannot be read.
        """
        done = self._want(group, offset)
        if done is not None:
            await asyncio.shield(done)

    async def _read_on(self, group: str, reading: Reading) -> None:
        """Read a log until nobody wants more of it."""
        done: asyncio.Future[None] | None = None
        has_warned = False
        try:
            while reading.wanted is not None and (known := self._known.get(group)) is not None:
                start, reading.wanted = reading.wanted, None
                done, reading.done = reading.done, None
                try:
                    is_overtaken = await self._read_page(group, known, start)
                except RedisError as error:
                    reading.wanted = start if reading.wanted is None else min(start, reading.wanted)
                    _end(done, error)
                    if isinstance(error, OwnerLoopEnded) or not self._is_up(self._shard(group)):
                        return  # all that is wanted is read when the connection is back
                    if not has_warned:
                        logger.warning(
                            "Redis: the history of group %.200r cannot be read, trying again: %s", group, error
                        )
                        has_warned = True
                    await asyncio.sleep(PAUSE)
                else:
                    _end(done)
                    if is_overtaken:
                        await asyncio.sleep(BREATH)
        finally:
            reading.runs, reading.loop = False, None
            _end(done, OwnerLoopEnded(ENDED))
            _end(reading.done, OwnerLoopEnded(ENDED))
            reading.done = None

    async def _read_page(self, group: str, known: KnownLog, start: int) -> bool:
        """Read a part; return whether more was heard meanwhile than the log keeps: much more may be on its way."""
        proof = None if known.log is None else known.log.place
        command = read(known.keys, known.retention, proof, start, PAGE)
        deadline = time.monotonic() + self._settings.timeout
        [answer] = await self._owners.require().run(self._shard(group), [command], deadline)
        if self._known.get(group) is not known:  # it was forgotten meanwhile
            return False
        reply = reply_of(answer)
        entries = known.decoded(reply)
        with self._local.lock:
            is_overtaken = not reply.proven and proof is not None and known.log is not None and known.log.place != proof
            wanted = known.read(proof, reply, entries)
            if wanted is not None:
                self.missing(group, wanted)
        self._local.feeds.advance(group)
        return is_overtaken

    # Looking after

    async def check(self, shard: int) -> None:
        """Compare the places of all groups of a shard with Redis', and read what is missing."""
        groups = self._groups_of(shard)
        for start in range(0, len(groups), CHECKED_AT_ONCE):
            await self._check(groups[start : start + CHECKED_AT_ONCE])
            await asyncio.sleep(0)

    async def check_some(self) -> None:
        """Compare the places of some groups of each shard, other ones each time, and drop what has expired."""
        with self._local.lock:
            for known in self._known.values():
                known.expire()
        start, self._next_checked = self._next_checked, self._next_checked + CHECKED_AT_ONCE
        by_shard = [self._groups_of(shard) for shard in range(len(self._settings.hosts))]
        if self._next_checked >= max(map(len, by_shard)):
            self._next_checked = 0
        for shard, groups in enumerate(by_shard):
            if self._is_up(shard):
                await self._check(groups[start : start + CHECKED_AT_ONCE])

    def _groups_of(self, shard: int) -> list[str]:
        return [group for group in self._known if self._shard(group) == shard]

    async def _check(self, groups: Sequence[str]) -> None:
        known = [(group, self._known[group]) for group in groups if group in self._known]
        reads = [self._want(group, each.following) for group, each in known if each.log is not None]
        await asyncio.gather(*filter(None, reads), return_exceptions=True)

    def connection_began(self, shard: int) -> None:
        """Forget what the last connection to a shard has told: the payloads will not come."""
        for group in [group for group in self._told if self._shard(group) == shard]:
            del self._told[group]

    def forget(self, group: str) -> None:
        """Forget the log of a group that has no members here any more."""
        known = self._known.pop(group, None)
        if known is not None and known.log is not None:
            with self._local.lock:
                known.log.entries.clear()  # they need not stay at hand
        reading = self._readings.pop(group, None)
        if reading is not None:
            _end(reading.done)

    def forget_empty_groups(self) -> None:
        """Forget the logs of all groups that have no members here any more; from any thread where none owns them."""
        empty = [group for group in list(self._known) if not self._local.has_group(group)]
        for group in empty:
            self.forget(group)
        if empty:
            self._at_hand.let_go()

    def _is_up(self, shard: int) -> bool:
        owner = self._owners.here
        return owner is not None and owner.receivers[shard].connection.is_up

    def _shard(self, group: str) -> int:
        return self._settings.shard_of_group(group)


def _end(done: "asyncio.Future[None] | None", error: Exception | None = None) -> None:
    """Tell those who wait for what was to be read, unless they have been told."""
    if done is None or done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
        done.exception()  # perhaps nobody waits for it any more
