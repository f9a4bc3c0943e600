"""The layer on queues in Redis, with capacity and expiry."""

import contextlib
import itertools
import math
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Never

from ...exceptions import ChannelFull
from ...types import Close, Deliver, Message, Room
from .._checks import positive
from .._history import EXCLUDE, Channels, Joined
from .._local import EMPTY_GROUP, note_unheard
from .._observed import operation
from .._options import PLAIN, Options, require_last
from .._presence import PresenceRule, is_forged, note_forged
from ..codec import CHANNELS_KEY, Codec
from . import scripts
from .blocking_senders import Sent
from .dropped import DroppedLog
from .layer import RedisLayer
from .memberships import member_name
from .orders import CLOSE, CONTROL, DISCARD, JOIN, control_of
from .own_queues import head_of_process, process_of
from .pipelined import FAILURES, Command
from .process import ATTACHED, Process
from .queue_exchange import QueueExchange
from .round_trips import Flow, deleting
from .settings import Event, Settings

PATIENCE = 3
"""How much longer a sender lets others run for a message that waits in Redis: the receiver has yet to fetch it."""

NO_LIMIT = 10**9
"""The capacity of a queue for what must not be dropped."""


class RedisChannelLayer(RedisLayer):
    """A channel layer across processes on Redis, with a queue there for each process and each named channel.

    `capacity` counts per queue. The channels of a process' consumers share one queue, and each consumer's mailbox has
    that capacity, too. It needs asyncio, and a Redis that is no Cluster. Its bytes and keys in Redis are those of
    channels_redis 4.3.

    Args:
        hosts: see `RedisPubSubChannelLayer`.
        prefix: what the keys in Redis begin with; without ":group:", by which groups are told from queues. Layers are
            apart if the prefix of none begins another's.
        expiry: seconds until a message that nobody has received is dropped.
        group_expiry: seconds until a channel that no process vouches for leaves a group. Must be the same in all
            processes, also those with channels_redis.
        capacity: how many messages a queue holds.
        channel_capacity: other capacities by channel name; see `BaseChannelLayer`.
        symmetric_encryption_keys: a list of keys; the first encrypts, all decrypt. None: nothing is encrypted.
        random_prefix_length: bytes that make equal messages distinct.
        serializer_format: "msgpack", "json", or the name of a serializer that was registered.
        on_disconnect: see `RedisPubSubChannelLayer`.
        on_reconnect: see `RedisPubSubChannelLayer`.
        timeout: seconds that any operation on Redis may take.
        lease: seconds until a process that was killed is in no group any more; at most `group_expiry`.
        presence: see `RedisPubSubChannelLayer`.
        validate_names: check the names of channels and groups.
        unknown: nothing. Any other name is refused.

    Raises:
        TypeError: if there is no such argument, or one has the wrong type.
        ValueError: if an argument has a value that cannot work.
        KeyError: if no such serializer is registered.
        ImportError: if the serializer, or encryption, needs a package that is not installed.
    """

    works_on_cluster: ClassVar[bool] = False
    """Whether a host may be a node of a Redis Cluster (False): scripts and pops have keys of several slots."""

    group_mark = ":group:"
    """What stands between the prefix and a group's name in Redis."""

    def __init__(
        self,
        hosts: Iterable[object] | None = None,
        prefix: str = "asgi",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        symmetric_encryption_keys: Iterable[str | bytes] | None = None,
        random_prefix_length: int = 12,
        serializer_format: str = "msgpack",
        *,
        on_disconnect: Event = None,
        on_reconnect: Event = None,
        timeout: float = 5,
        lease: float = 60,
        presence: PresenceRule | None = None,
        validate_names: bool = True,
        **unknown: Never,
    ) -> None:
        keys = symmetric_encryption_keys
        if isinstance(keys, Iterable) and not isinstance(keys, str | bytes):
            keys = list(keys)
        codec = Codec(
            serializer_format,
            symmetric_encryption_keys=keys,
            random_prefix_length=random_prefix_length,
            expiry=expiry,
        )
        super().__init__(
            hosts,
            prefix,
            codec,
            expiry=expiry,
            group_expiry=group_expiry,
            capacity=capacity,
            channel_capacity=channel_capacity,
            on_disconnect=on_disconnect,
            on_reconnect=on_reconnect,
            timeout=timeout,
            validate_names=validate_names,
            presence=presence,
            encryption_keys=keys or (),
            **unknown,
        )
        self.lease = min(positive("lease", lease), group_expiry)
        self._turns = itertools.count()
        self._full_log = DroppedLog()

    if TYPE_CHECKING:

        @property
        def _process(self) -> Process[QueueExchange]: ...

    def _make_process(self, settings: Settings) -> Process[QueueExchange]:
        return Process(
            settings,
            head_of_process,
            lambda process: QueueExchange(
                process, settings, self._codec, self.lease, self._group_key, self._make_presence(process, settings)
            ),
        )

    def attach(self, deliver: Deliver, close: Close | None = None, room: Room | None = None) -> str:
        process = self._process
        is_first = not process.local.has_attached()
        name = super().attach(deliver, close, room)
        process.exchange.note_attached(is_first)
        return name

    async def new_channel(self, prefix: str = "specific") -> str:
        self._require_channel(prefix)
        process = self._process
        head = f"{prefix.removesuffix('.')}.{process.id}!"
        name = f"{head}n.{secrets.token_hex(8)}"
        self._require_channel(name)
        process.has_channels = True
        process.exchange.queues.note_used(name)
        process.owners.ensure()
        return name

    @operation
    async def group_add(self, group: str, channel: str, since: str | None = None, last: int = 0) -> Joined:
        """Add a channel to a group; once more does nothing but renew the membership.

        No group has a history here, so nothing is handed over; `since` is never recovered.

        Raises:
            TypeError: if a name is invalid.
            ValueError: if `last` is no number of messages.
            redis.exceptions.RedisError: if Redis cannot be reached; the channel is not in the group then.
        """
        self._require_group(group)
        self._require_channel(channel)
        require_last(last)
        process = self._process
        if not process.is_own(channel):
            await process.trips.run(self._add_foreign(group, channel))
            return self._history_rules.joined_without(group, since, last)
        if not process.local.is_attached_name(channel):
            process.has_channels = True
            process.exchange.queues.note_used(channel)
        with process.local.joining(group, channel):
            await process.owners.call(process.exchange.join, group)
        return self._history_rules.joined_without(group, since, last)

    @operation
    async def group_discard(self, group: str, channel: str) -> None:
        self._require_group(group)
        self._require_channel(channel)
        process = self._process
        if not process.is_own(channel):
            await process.trips.run(self._discard_foreign(group, channel))
            return
        process.local.group_discard(group, channel)
        with contextlib.suppress(*FAILURES):  # it has left, here; what may be in Redis is another process' doing
            await process.trips.run(self._forget(group, channel))

    async def flush(self) -> None:
        """Delete all messages and groups, those of other processes too. Attached channels stay attached.

        As with channels_redis that is whatever begins with the prefix; with an empty one, all that is in the database.
        """
        process = self._process
        await process.trips.run(deleting(self.prefix, len(self.hosts)))
        process.local.flush()
        process.exchange.presence.flush()
        process.exchange.memberships.forget_all()
        if process.exchange.presence.has_anything():
            await process.owners.call(process.exchange.presence.renew)

    async def put_back(self, channel: str, message: Message) -> None:
        if "!" in channel:
            await super().put_back(channel, message)
        else:
            process = self._process
            await process.trips.run(process.exchange.put_back.putting_back(channel, [(0.0, message)]))

    # Senders

    def _send(self, channel: str, message: Message) -> Flow[int]:
        self.require_valid_message(message)
        self._require_channel(channel)
        if is_forged(message):
            note_forged(message, f"channel {channel}")
            return 0
        if CHANNELS_KEY in message:
            raise self._wrong(ValueError(f"A message cannot have the key {CHANNELS_KEY!r}: it is the layer's own"))
        queue, shard = channel, next(self._turns) % len(self.hosts)
        if "!" in channel:
            queue = self.non_local_name(channel)
            shard = self.consistent_hash(queue)
            message = {**message, CHANNELS_KEY: channel}
        capacity = self.get_capacity(channel)
        payload = self._codec.encode(message)
        command = scripts.push([(self.prefix + queue, payload, capacity)], self._process.now(), self.expiry)
        [[(waiting, overfull)]] = yield [(shard, [command])]
        if overfull:
            raise ChannelFull(f"Channel {channel!r} is full: its queue holds {capacity} messages, its capacity")
        return PATIENCE * int(waiting)

    def _group_send(self, group: str, message: Message, options: Options = PLAIN) -> Flow[Sent]:
        excluded = options.excluded
        payload_for = self._codec.encode_for({key: message[key] for key in message if key != CHANNELS_KEY})
        queues = yield from self._members(group)
        if not queues:
            note_unheard(message, EMPTY_GROUP, group)
        by_shard: dict[int, list[tuple[str, bytes, int]]] = {}
        for queue, members in queues.items():
            channels = [name for name in members if name not in excluded] if excluded else members
            if channels:
                payload = payload_for(channels, _absent(excluded, queue, group, channels))
                entry = (self.prefix + queue, payload, self.get_capacity(channels[0]))
                by_shard.setdefault(self.consistent_hash(queue), []).append(entry)
        if not by_shard:
            return None, 0
        now = self._process.now()
        replies = yield [(shard, [scripts.push(entries, now, self.expiry)]) for shard, entries in by_shard.items()]
        for ((_, overfull),), entries in zip(replies, by_shard.values(), strict=True):
            if overfull:
                self._note_overfull(group, [entries[index] for index in overfull], sum(map(len, queues.values())))
        return None, PATIENCE * max(int(waiting) for ((waiting, _),) in replies)

    def _members(self, group: str) -> Flow[dict[str, list[str]]]:
        """Find out which channels are in a group, by their queues."""
        command = scripts.members(self._group_key(group), int(time.time()) - self.group_expiry)
        [[names]] = yield [(self.consistent_hash(group), [command])]
        queues: dict[str, list[str]] = {}
        for name in map(bytes.decode, names):
            queues.setdefault(self.non_local_name(name), []).append(name)
        return queues

    def _channels_in(self, group: str) -> Flow[frozenset[str]]:
        others = yield from self._others_in(group)
        return (yield from super()._channels_in(group)) | others

    def _count_in(self, group: str) -> Flow[int]:
        return len((yield from self._channels_in(group)))

    def _others_in(self, group: str) -> Flow[frozenset[str]]:
        """Return the members of a group that no process with this layer vouches for."""
        queues = yield from self._members(group)
        of_processes = {member_name(queue, group) for queue in queues}
        names = {name for members in queues.values() for name in members if ATTACHED not in name}
        return frozenset(names - of_processes)

    def _close_group(self, group: str, message: Message) -> Flow[int]:
        self._require_group(group)
        orders: dict[int, list[tuple[str, bytes, int]]] = {}
        queues = yield from self._members(group)
        for queue, channels in queues.items():
            # Processes with channels_redis know no orders, and would keep them for ever.
            ours = [name for name in channels if ATTACHED in name or name == member_name(queue, group)]
            if ours:
                order = {**message, "type": CLOSE, "channels": ours, CHANNELS_KEY: control_of(queue)}
                entry = (self.prefix + queue, self._codec.encode(order), NO_LIMIT)
                orders.setdefault(self.consistent_hash(queue), []).append(entry)
        if orders:
            now = self._process.now()
            yield [(shard, [scripts.push(entries, now, self.expiry)]) for shard, entries in orders.items()]
        _, waiting = yield from self._group_send(group, message)
        return waiting

    def _add_foreign(self, group: str, channel: str) -> Flow[None]:
        now = time.time()
        # A consumer's own process keeps it in the group, and knows when it leaves: what is written here is for the time
        # until then. Nobody vouches for others.
        lasts = self.lease if ATTACHED in channel else self.group_expiry
        oldest = now - self.group_expiry
        command = scripts.join([self._group_key(group)], [channel], oldest + lasts, oldest, math.ceil(lasts))
        yield [(self.consistent_hash(group), [command])]
        if ATTACHED in channel:
            yield [self._process.exchange.orders.give(JOIN, group, channel)]

    def _forget(self, group: str, channel: str) -> Flow[None]:
        memberships = self._process.exchange.memberships
        commands: list[Command] = [("ZREM", self._group_key(group), channel), *memberships.leaving_late(group)]
        yield [(self.consistent_hash(group), commands)]

    def _discard_foreign(self, group: str, channel: str) -> Flow[None]:
        if "!" not in channel:
            yield from self._forget(group, channel)
            return
        key = self._group_key(group)
        commands: list[Command] = [("ZREM", key, channel), ("ZSCORE", key, member_name(process_of(channel), group))]
        [[_, is_ours]] = yield [(self.consistent_hash(group), commands)]
        if is_ours is not None:  # a process with this layer, which alone knows who of it is in the group
            yield [self._process.exchange.orders.give(DISCARD, group, channel)]

    def _note_overfull(self, group: str, entries: list[tuple[str, bytes, int]], members: int) -> None:
        """Take note of the queues that had no room for a message to a group of so many channels."""
        self._overfull += len(entries)
        for key, _, capacity in entries:
            self._full_log.note(
                f"the queue {key!r:.200} is full (capacity {capacity}), a message of group {group!r:.200}"
            )

    # Names

    def _group_key(self, group: str) -> bytes:
        return f"{self.prefix}{self.group_mark}{group}".encode()

    def _require_channel(self, name: str) -> None:
        super()._require_channel(name)
        if name.endswith(CONTROL) or self.group_mark in self.prefix + name:
            raise TypeError(
                f"Channel {name!r:.200} is a layer's own: its key in Redis contains {self.group_mark!r}, as a group's, "
                f"or the name ends with {CONTROL!r}"
            )


def _absent(excluded: Channels, queue: str, group: str, channels: list[str]) -> Message | None:
    """Return what tells a process, the member of a group for its consumers, who of these is excluded; or nothing."""
    if not excluded or member_name(queue, group) not in channels:
        return None
    names = sorted(name for name in excluded if process_of(name) == queue)
    return {EXCLUDE: names} if names else None
