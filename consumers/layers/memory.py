"""The channel layer for one process."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

import anyio
from anyio.lowlevel import checkpoint

from .._aio.loops import yield_to_loop
from ..exceptions import ChannelFull
from ..types import Close, Deliver, Message, Room
from ._history import History, Joined, Page
from ._local import EMPTY_GROUP, LocalChannels, note_unheard
from ._memory_history import MemoryHistory
from ._memory_presence import MemoryPresence
from ._observed import operation
from ._options import checked_limit, checked_options, require_last, unkept
from ._overrides import AGAINST_HISTORY, overrides, refuse
from ._presence import Presence, PresenceRule, is_forged, meta_as_json, note_forged, require_key
from ._processes import server_processes
from .base import DEFAULT_CODE, Layer, closing

logger = logging.getLogger("consumers.layers")

ATTACHED_PREFIX = "specific.inmemory!attached."


class InMemoryChannelLayer(Layer):
    """A channel layer inside one process: for tests, for development, and where one process is enough.

    Works on asyncio and trio, and between threads and event loops: a message for a receiver on another loop
    is handed to that loop, without waiting for it.

    Args:
        expiry: seconds until a message that nobody has received is dropped.
        group_expiry: seconds until a channel leaves a group that it is not added to again. Does not apply to
            attached channels, such as those of consumers.
        capacity: how many messages a channel holds.
        channel_capacity: other capacities by channel name; see `BaseChannelLayer`.
        history: which groups remember their messages, by globs or compiled regular expressions, and how many:
            {"chat.*": {"size": 1000, "ttl": 3600}} keeps 1,000 messages, for an hour after the newest. The first that
            matches counts. Nothing of it survives the process.
        presence: {"grace": 5, "max_list": 1000}: see `PresenceOptions`.
        clock: returns the time in seconds and never goes backwards; for tests.

    Raises:
        TypeError: for any other argument, or if a subclass with `history` overrides a method that `history` needs.
        ValueError: if a time or a capacity is not positive, or `history` or `presence` is wrong.
    """

    extensions: ClassVar[list[str]] = ["groups", "flush"]
    """Which extensions of Channels' specification the layer has."""

    can_have_history = True
    """Whether its groups may have a history (True)."""

    can_have_presence = True
    """Whether it knows who is there (True)."""

    _is_in_use = False

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        *,
        history: History = None,
        presence: PresenceRule | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(expiry, capacity, channel_capacity, history, presence)
        if not group_expiry > 0:
            raise ValueError(f"group_expiry must be positive, not {group_expiry!r}")
        self.group_expiry = group_expiry
        if self.has_history:
            refuse(type(self), AGAINST_HISTORY)
        self._has_own_send = overrides(type(self), "send")
        self._local = LocalChannels(
            self.get_capacity,
            expiry,
            group_expiry,
            ATTACHED_PREFIX,
            clock,
            emptied=self._on_empty,
            ended=self._on_end,
        )
        self._logs = MemoryHistory(self._local, clock)
        self._presence = MemoryPresence(self._local, self._presence_options, clock)

    @property
    def channels(self) -> Mapping[str, int]:
        """The channels that are attached, waited on or not empty, with the messages in them; a snapshot."""
        return MappingProxyType(self._local.channels())

    @property
    def groups(self) -> Mapping[str, frozenset[str]]:
        """The groups and their members; a snapshot."""
        return MappingProxyType(self._local.groups())

    @property
    def leaves_at_once(self) -> bool:
        """Whether `group_discard()` never waits: it is this class' own."""
        return getattr(self.group_discard, "__func__", None) is InMemoryChannelLayer.group_discard

    @property
    def dropped(self) -> int:
        """How many messages receivers have missed because they were full. A `send()` that raises is not counted."""
        return self._local.dropped

    @property
    def stored(self) -> int:
        """How many messages wait for a `receive()`."""
        return self._local.stored()

    def attach(self, deliver: Deliver, close: Close | None = None, room: Room | None = None) -> str:
        if not self._is_in_use:
            self._begin()
        name = ATTACHED_PREFIX + secrets.token_hex(8)
        self._local.attach(name, deliver, close, room)
        return name

    def resume(self, name: str) -> None:
        self._local.resume(name)

    def detach(self, name: str) -> None:
        self._require_channel(name)
        self._local.detach(name)

    def adopt(self, name: str, close: Close) -> None:
        if "!" in name:  # else it may be the name of several consumers
            self._local.adopt(name, close)

    def groups_of(self, channel: str) -> frozenset[str]:
        return self._local.groups_of(channel)

    @operation
    async def send(self, channel: str, message: Message) -> None:
        self.require_valid_message(message)
        self._require_channel(channel)
        if is_forged(message):
            note_forged(message, f"channel {channel}")
            return
        try:
            waiting = self._local.send(channel, message)
        except ChannelFull:
            await checkpoint()  # whoever tries again and again must let the receiver run
            raise
        await yield_to_loop(waiting)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the oldest message of a channel and take it.

        Raises:
            TypeError: if the name is invalid.
            ValueError: if the channel is attached: its messages go elsewhere.
        """
        self.require_valid_channel_name(channel)
        if self._local.is_attached_name(channel):
            raise ValueError(f"Channel {channel!r} is attached: its messages are delivered to its consumer")
        await checkpoint()  # before taking a message, which a cancellation would lose
        arrived = anyio.Event()
        waiter = self._local.take(channel, arrived.set)
        if waiter.entry is None:
            try:
                await arrived.wait()
            except BaseException:
                self._local.withdraw(waiter)
                raise
        return cast("tuple[float, dict[str, Any]]", waiter.entry)[1]

    def held(self, channel: str) -> int:
        return self._local.held(channel)

    async def put_back(self, channel: str, message: Message) -> None:
        self._local.put_back(channel, message)

    async def new_channel(self, prefix: str = "specific.") -> str:
        if not self._is_in_use:
            self._begin()
        self.require_valid_channel_name(prefix)
        name = f"{prefix.removesuffix('.')}.inmemory!{secrets.token_hex(8)}"
        self.require_valid_channel_name(name)
        return name

    @operation
    async def group_add(self, group: str, channel: str, since: str | None = None, last: int = 0) -> Joined:
        self._require_group(group)
        self._require_channel(channel)
        require_last(last)
        retention = self.retention_of(group)
        if retention is not None:
            return self._logs.join(group, retention, channel, since, last)
        self._local.group_add(group, channel)
        return self._history_rules.joined_without(group, since, last)

    @operation
    async def group_discard(self, group: str, channel: str) -> None:
        self._require_group(group)
        self._require_channel(channel)
        self._local.group_discard(group, channel)

    @operation
    async def group_send(
        self,
        group: str,
        message: Message,
        id: str | None = None,
        keep: bool = True,
        exclude: str | Iterable[str] = (),
    ) -> str | None:
        self.require_valid_message(message)
        self._require_group(group)
        retention = self.retention_of(group)
        options = checked_options(retention, message, id, keep, exclude)
        if is_forged(message):
            note_forged(message, f"group {group}")
            return None
        if options.retention is not None:
            position, waiting = self._logs.publish(group, options.retention, message, options.id, options.excluded)
            await yield_to_loop(waiting)
            return position
        if retention is not None:
            message = unkept(group, message)
        await self._send_to_members(group, message, options.excluded)
        return None

    async def history(self, group: str, since: str | None = None, limit: int = 100) -> Page:
        self._require_group(group)
        limit = checked_limit(limit)
        retention = self.retention_of(group)
        await checkpoint()
        if retention is None:
            self._history_rules.warn_of(group)
            return Page([], None, since is None)
        return self._logs.page(group, retention, since, limit)

    async def position(self, group: str) -> str | None:
        self._require_group(group)
        retention = self.retention_of(group)
        await checkpoint()
        if retention is None:
            self._history_rules.warn_of(group)
            return None
        return self._logs.position(group, retention)

    async def group_count(self, group: str) -> int:
        return len(await self.group_channels(group))

    async def group_channels(self, group: str) -> frozenset[str]:
        self._require_group(group)
        await checkpoint()
        return self._local.members(group)

    async def presence_track(self, group: str, channel: str, *, key: str, meta: dict[str, Any] | None = None) -> int:
        self._require_group(group)
        self._require_channel(channel)
        version = self._presence.track(group, channel, require_key(key), meta_as_json(meta))
        await checkpoint()
        return version

    async def presence_update(self, group: str, channel: str, *, meta: dict[str, Any] | None) -> int:
        self._require_group(group)
        self._require_channel(channel)
        version = self._presence.update(group, channel, meta_as_json(meta))
        await checkpoint()
        return version

    async def presence_untrack(self, group: str, channel: str) -> None:
        self._require_group(group)
        self._require_channel(channel)
        self._presence.untrack(group, channel)
        await checkpoint()

    async def presence(self, group: str) -> Presence:
        self._require_group(group)
        await checkpoint()
        return self._presence.read(group)

    async def presence_count(self, group: str) -> int:
        self._require_group(group)
        await checkpoint()
        return self._presence.count(group)

    @operation
    async def close_group(self, group: str, code: int = DEFAULT_CODE, reason: str = "") -> None:
        message = closing(code, reason)
        self._require_group(group)
        self._local.close_members(message["code"], message["reason"], groups=(group,))
        if self.retention_of(group) is not None:
            message = unkept(group, message)
        await self._send_to_members(group, message)

    async def flush(self) -> None:
        self._logs.flush()  # first: who joins meanwhile is to follow the new log, or to be in no group
        self._local.flush()
        self._presence.flush()

    async def close(self) -> None:
        """Forget all messages and groups; the layer can be used again."""
        await self.flush()

    async def __aenter__(self) -> Self:
        if not self._is_in_use:
            self._begin()
        return self

    def _on_empty(self, group: str) -> None:
        self._presence.forget(group)

    def _on_end(self, channel: str) -> None:
        self._presence.end(channel)

    def _begin(self) -> None:
        """Warn, once, that other processes serve clients which the messages of this one do not reach."""
        self._is_in_use = True
        count, source = server_processes()
        if count > 1:
            logger.warning(
                "InMemoryChannelLayer in one of %d server processes (%s): its messages do not reach the clients of the "
                'others. Serve with one process, or use "consumers.layers.redis.RedisPubSubChannelLayer"',
                count,
                source,
            )

    async def _send_to_members(self, group: str, message: Message, excluded: frozenset[str] = frozenset()) -> None:
        if self._has_own_send:
            await self._send_to_each(group, message, excluded)
        else:
            await yield_to_loop(self._local.group_send(group, message, excluded))

    async def _send_to_each(self, group: str, message: Message, excluded: frozenset[str]) -> None:
        errors: list[Exception] = []
        members = self._local.members(group)
        if not members:
            note_unheard(message, EMPTY_GROUP, group)
        async with anyio.create_task_group() as tasks:
            for channel in members - excluded:
                tasks.start_soon(self._send_to_member, channel, message, errors)
        if errors:
            raise errors[0]

    async def _send_to_member(self, channel: str, message: Message, errors: list[Exception]) -> None:
        try:
            await self.send(channel, message)
        except ChannelFull:
            self._local.note_drop(channel)
        except Exception as error:
            errors.append(error)

    def _require_channel(self, name: str) -> None:
        if self._has_own_rules or not (isinstance(name, str) and self._local.has_receiver(name)):
            self.require_valid_channel_name(name)

    def _require_group(self, name: str) -> None:
        if self._has_own_rules or not (isinstance(name, str) and self._local.has_group(name)):
            self.require_valid_group_name(name)
