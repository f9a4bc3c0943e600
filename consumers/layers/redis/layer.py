"""What both Redis layers have in common: the contract of a layer, and the rules for names.

A layer is a face. In each operating system process it has a `Process`, which holds the parts that do the work.
"""

import asyncio
import contextlib
import logging
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, cast

import anyio

from ..._aio.loops import yield_to_loop
from ...exceptions import ChannelFull
from ...types import Close, Deliver, Message, Room
from .._history import History
from .._observed import operation
from .._options import PLAIN, Options, checked_options
from .._overrides import AGAINST_HISTORY, overrides, refuse
from .._presence import PresenceRule, is_forged, note_forged
from ..base import DEFAULT_CODE, closing, positive
from ..codec import Codec
from .blocking_senders import BlockingSenders, Sent
from .hosts import decode_hosts, shard_of
from .names import checked_prefix, require_text
from .owner_loop import CLEAN_UP_TIMEOUT
from .pipelined import FAILURES
from .presence import RedisPresence
from .presence_methods import KnowsWho
from .presence_seals import Seals
from .process import Process
from .round_trips import Flow
from .settings import Event, Settings, require_event


class RedisLayer(KnowsWho, BlockingSenders):
    """The base of the two layers; see there for the arguments."""

    extensions: ClassVar[list[str]] = ["groups", "flush"]
    """Which extensions of Channels' specification the layer has."""

    can_have_presence = True
    """Whether it knows who is there (True)."""

    works_on_cluster: ClassVar[bool] = True
    """Whether a host may be a node of a Redis Cluster (True)."""

    takes_any_message: ClassVar[bool] = False
    """Whether a message may be something else than a dict, as with channels_redis' pub/sub layer (False)."""

    instead: ClassVar[Mapping[str, str]] = {}
    """Methods that a subclass may not override, as nothing calls them, and what to do instead."""

    full_level: ClassVar[int] = logging.WARNING
    """The level at which the log tells that a receiver here is full."""

    group_mark: ClassVar[str]
    """What stands between the prefix and a group's name in Redis."""

    _overfull = 0

    def __init__(
        self,
        hosts: object,
        prefix: str,
        codec: Codec,
        *,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        on_disconnect: Event = None,
        on_reconnect: Event = None,
        timeout: float = 5,
        validate_names: bool = True,
        history: History = None,
        presence: PresenceRule | None = None,
        encryption_keys: Iterable[str | bytes] = (),
        **unknown: object,
    ) -> None:
        for name in unknown:
            raise TypeError(f"{type(self).__name__} has no argument {name!r}")
        require_event("on_disconnect", on_disconnect)
        require_event("on_reconnect", on_reconnect)
        refuse(type(self), self.instead)
        super().__init__(expiry, capacity, channel_capacity, history, presence)
        if self.has_history:
            refuse(type(self), AGAINST_HISTORY)
        self.hosts = decode_hosts(hosts, self.works_on_cluster and not self.has_history)
        self.prefix = self._checked_prefix(prefix)
        self.group_expiry = positive("group_expiry", group_expiry)
        self.timeout = positive("timeout", timeout)
        self.validate_names = validate_names
        self.on_disconnect = on_disconnect
        self.on_reconnect = on_reconnect
        self._serializer = codec.serializer
        has_own = overrides(type(self), "serialize", "deserialize")
        self._codec = codec.through(cast(Any, self)) if has_own else codec
        self._seals = Seals(self._codec if has_own else codec.lasting() if encryption_keys else None, encryption_keys)
        self._processes: dict[int, Process[Any]] = {}  # by their ids: this one, and those that it was forked from

    @property
    def _process(self) -> Process[Any]:
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            # In one step, and without a lock: a fork copies one that is held, and nobody would release the copy.
            process = self._processes.setdefault(pid, self._make_process(self._settings()))
        return process

    def _settings(self) -> Settings:
        return Settings(
            hosts=self.hosts,
            shard_of=self.consistent_hash,
            shard_of_group=self._shard_of_group,
            prefix=self.prefix,
            group_prefix=f"{self.prefix}{self.group_mark}",
            expiry=self.expiry,
            group_expiry=self.group_expiry,
            timeout=self.timeout,
            capacity_of=self.get_capacity,
            full_level=self.full_level,
            retention_of=self.retention_of,
            on_disconnect=self.on_disconnect,
            on_reconnect=self.on_reconnect,
        )

    def _make_presence(self, process: Process[Any], settings: Settings) -> RedisPresence:
        return RedisPresence(process, settings, self._presence_options, self._seals)

    # What differs

    def _make_process(self, settings: Settings) -> Process[Any]:
        raise NotImplementedError

    def _group_send(self, group: str, message: Message, options: Options = PLAIN) -> Flow[Sent]:
        """Send; return the message's position, and how many messages wait if a queue is over half full, else 0."""
        raise NotImplementedError

    def _named(self, group: Any) -> str:
        """Return the name of a group; ported code may use other objects."""
        name: str = group
        return name

    def _shard_of_group(self, group: str) -> int:
        """Return the index of the shard that has all of a group."""
        return self.consistent_hash(group)

    def _checked_prefix(self, prefix: str) -> str:
        return checked_prefix(prefix, self.group_mark)

    def _wrong(self, error: Exception) -> Exception:
        """Return what is raised for a wrong argument; ported code may expect something else."""
        return error

    # What a layer knows

    @property
    def dropped(self) -> int:
        """How many messages were dropped because a receiver of this process, or a queue in Redis, was full.

        A receiver counts each message that it misses. A full queue counts each group's message from this process once,
        however many members of the group it is for: it is the queue of a whole process, and only that knows how many
        there are. A `send()` that raises ChannelFull is not counted.
        """
        return self._process.local.dropped + self._overfull

    @property
    def stored(self) -> int:
        """How many messages wait in this process for a `receive()`; those that wait in Redis are not among them."""
        return self._process.local.stored()

    @property
    def groups(self) -> Mapping[str, frozenset[str]]:
        """The groups that have members in this process, and these members; a snapshot."""
        return self._process.local.groups()

    # Receivers

    def attach(self, deliver: Deliver, close: Close | None = None, room: Room | None = None) -> str:
        process = self._process
        owner = process.owners.ensure()
        name = process.attached_prefix + secrets.token_hex(8)
        process.local.attach(name, deliver, close, room)
        if not owner.is_here:  # it may have ended meanwhile, on its loop, without knowing of this receiver
            process.owners.ensure()
        return name

    def detach(self, name: str) -> None:
        self._require_channel(name)
        self._process.local.detach(name)

    def resume(self, name: str) -> None:
        self._process.local.resume(name)

    def adopt(self, name: str, close: Close) -> None:
        process = self._process
        if "!" in name and process.is_own(name):  # else it may be the name of several consumers
            process.local.adopt(name, close)

    def groups_of(self, channel: str) -> frozenset[str]:
        return self._process.local.groups_of(channel)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the oldest message of a channel and take it.

        Raises:
            TypeError: if the name is invalid.
            ValueError: if the channel is attached, or another process': its messages go elsewhere.
            redis.exceptions.RedisError: if no shard that may have messages for it can be reached, or Redis refuses it.
        """
        self._require_channel(channel)
        process = self._process
        if process.local.is_attached_name(channel):
            raise ValueError(f"Channel {channel!r} is attached: its messages are delivered to its consumer")
        if "!" in channel and not process.is_own(channel):
            raise self._wrong(
                ValueError(f"Channel {channel!r} is another process': only that one receives its messages")
            )
        process.has_channels |= "!" in channel
        process.owners.ensure()
        await asyncio.sleep(0)  # before taking a message, which a cancellation would lose
        arrived = anyio.Event()
        waiter = process.local.take(channel, arrived.set)
        try:
            if waiter.entry is None:
                await process.owners.call(process.exchange.listen_to, channel)
                await arrived.wait()
        except BaseException:
            process.local.withdraw(waiter)
            raise
        finally:
            process.exchange.after_receive(channel)
        return cast("tuple[float, dict[str, Any]]", waiter.entry)[1]

    def held(self, channel: str) -> int:
        return self._process.local.held(channel)

    async def put_back(self, channel: str, message: Message) -> None:
        self._process.local.put_back(channel, message)

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            redis.exceptions.ConnectionError: if a shard cannot be reached; the layer goes on trying.
        """
        await self._process.owners.ensure().until_ready()
        return self

    async def close(self) -> None:
        """Leave the groups, put back what was taken for nobody, close the connections.

        The layer opens again when it is next used.
        """
        process = self._process
        owner = process.owners.release()
        has_anything = process.exchange.has_anything()
        has_left = not has_anything if owner is None else await owner.close()
        if not has_left:  # loops have ended, or stand still, that had something in Redis
            with contextlib.suppress(*FAILURES):
                await process.trips.run(process.exchange.clean_up(True), CLEAN_UP_TIMEOUT)
        process.has_channels = False
        process.local.flush()
        process.trips.close_idle()
        if await process.exchange.settle(self.timeout):
            process.trips.close_idle()

    async def _rest(self) -> None:
        """Close the connections that nobody on the running event loop needs, as its end would; keep all else."""
        process, loop = self._process, asyncio.get_running_loop()
        owner = process.owners.current
        if owner is not None and owner.loop is loop and loop not in process.local.loops():
            await owner.end()
        process.trips.close_idle()

    # Senders

    @operation
    async def send(self, channel: str, message: Message) -> None:
        """Send a message to one channel.

        Raises:
            TypeError: if the name is invalid, or if the message is not a dict, or has a value that cannot be serialised
                or a key that no receiver can decode.
            ValueError: if it has no type that a handler can have, or is nested too deeply for its receivers.
            ChannelFull: if the channel's queue is full; the pub/sub layer has none.
            redis.exceptions.RedisError: if Redis cannot be reached, refuses, or does not answer in time.
        """
        try:
            waiting = await self._process.trips.run(self._send(channel, message))
        except ChannelFull:
            await asyncio.sleep(0)  # whoever tries again and again must let the receiver run
            raise
        await (yield_to_loop(waiting) if waiting else asyncio.sleep(0))

    @operation
    async def group_send(
        self,
        group: str,
        message: Message,
        id: str | None = None,
        keep: bool = True,
        exclude: str | Iterable[str] = (),
    ) -> str | None:
        """Send a message to every channel in a group; see `Layer.group_send()`.

        Whom `exclude` names does not get it, in whichever process. With the pub/sub layer, members in processes with
        channels_redis get it all the same.

        Raises:
            TypeError, ValueError: as there. Or the message has a value that cannot be serialised, or a key that no
                receiver can decode, or is nested too deeply for them.
            redis.exceptions.RedisError: if Redis cannot be reached, refuses, or does not answer in time. A message that
                has an `id` may be sent again then.
        """
        position, waiting = await self._process.trips.run(self._checked_send(group, message, id, keep, exclude))
        await (yield_to_loop(waiting) if waiting else asyncio.sleep(0))
        return position

    def _checked_send(
        self, group: str, message: Message, id: str | None, keep: bool, exclude: str | Iterable[str]
    ) -> Flow[Sent]:
        """Send, as `_group_send()`; the options are yet to be checked."""
        group = self._named(group)
        self.require_valid_message(message)
        self._require_group(group)
        options = checked_options(self.retention_of(group), message, id, keep, exclude)
        if is_forged(message):
            note_forged(message, f"group {group}")
            return None, 0
        return (yield from self._group_send(group, message, options))

    @operation
    async def close_group(self, group: str, code: int = DEFAULT_CODE, reason: str = "") -> None:
        """Close every member of a group; see `consumers.close_group()`. Full queues do not hold it up.

        Raises:
            TypeError: if the name is invalid or the reason is not a str.
            ValueError: if the code is none that may be sent.
            redis.exceptions.RedisError: if Redis cannot be reached, refuses, or does not answer in time.
        """
        await yield_to_loop(await self._process.trips.run(self._close_group(group, closing(code, reason))))

    # For subclasses to override

    def serialize(self, message: Message) -> bytes:
        """Return the bytes that a message is in Redis."""
        return self._serializer.serialize(message)

    def deserialize(self, message: bytes) -> Any:
        """Return the message that `serialize()` was given.

        Raises:
            Exception: if these bytes are none; the message is dropped then, and counted in the log.
        """
        return self._serializer.deserialize(message)

    def consistent_hash(self, value: str | bytes) -> int:
        """Return the index of the shard that a name belongs to."""
        return shard_of(value, len(self.hosts)) if len(self.hosts) > 1 else 0

    # Names

    def _require_channel(self, name: str) -> None:
        if not self._has_own_rules and isinstance(name, str) and self._process.local.has_receiver(name):
            return
        if self.validate_names:
            self.require_valid_channel_name(name)
        else:
            require_text("Channel", name)

    def _require_group(self, name: str) -> None:
        if not self._has_own_rules and isinstance(name, str) and self._process.local.has_group(name):
            return
        if self.validate_names:
            self.require_valid_group_name(name)
        else:
            require_text("Group", name)
