"""What a process hears by subscriptions, and what it publishes that may be for itself."""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .._history import NOBODY, Channels, Position, Retention
from .._options import take_excluded, unkept
from .._presence import FORGED, is_forged
from ..codec import Codec
from .commands import Commands, as_pattern
from .dropped import DroppedLog
from .exchange import Receiver
from .history import RedisHistory
from .history_scripts import MARK
from .orders import close_members
from .owner_loop import OwnerLoop, together
from .presence import RedisPresence
from .round_trips import Flow
from .settings import Settings
from .subscriptions import Subscriptions

if TYPE_CHECKING:
    from .process import Process

INTERVAL = 5.0
"""Seconds between two looks for what has expired."""

ORDERS = ":close"
"""How the name ends by which the layers of a prefix tell each other to close a group."""


class PubSubExchange:
    """The names that one process is to hear: its channels, its groups, and orders while it has groups.

    Args:
        process: the process.
        settings: the layer's.
        codec: the layer's.
        takes_any: whether a message may be something else than a dict.
        presence: who is there.

    Attributes:
        named: channels that are subscribed to by their names, and until when.
        history: the logs of its groups.
        orders: the name of no channel or group, so that no message comes by it.
    """

    def __init__(
        self,
        process: "Process[PubSubExchange]",
        settings: Settings,
        codec: Codec,
        takes_any: bool,
        presence: RedisPresence,
    ) -> None:
        self.presence = presence
        self.named: dict[str, float] = {}
        self.orders = f"{settings.prefix}{ORDERS}"
        self._process = process
        self._local = process.local
        self._owners = process.owners
        self._settings = settings
        self._group_prefix = settings.group_prefix
        self._control_prefix = settings.prefix + MARK
        self.history = RedisHistory(process, settings, self._decoded)
        self._codec = codec
        self._takes_any = takes_any
        self._dropped = DroppedLog()

    # For the layer

    def publish(self, name: str, payload: bytes) -> Flow[bool]:
        """Publish; where this process hears nothing, its own receivers get the message all the same.

        Returns:
            Whether there are receivers.
        """
        owner, shard = self._owners.current, self._settings.shard_of(name)
        is_deaf = owner is None or owner.loop.is_closed()
        # Asked now: the subscription to a channel may be answered after the message was lost.
        is_new = "!" in name and self._is_new(owner, shard, name)
        [[reached]] = yield [(shard, [("PUBLISH", name, payload)])]
        is_missed = not reached and (is_new or self._is_between_owners(shard, name))
        if is_missed or (is_deaf and self._has_any() and not self._owners.exists()):
            self.on_message(name, payload)
            return True
        return bool(reached)

    def publish_kept(
        self, group: str, retention: Retention, payload: bytes, digests: Sequence[str]
    ) -> Flow[tuple[Position, bool]]:
        """Publish to a group with history, as `publish()`; see `RedisHistory.publish()`.

        Returns:
            The position, and whether there are receivers.
        """
        name, owner = self._group_prefix + group, self._owners.current
        is_deaf = owner is None or owner.loop.is_closed()
        told, reached = yield from self.history.publish(group, retention, payload, digests)
        if reached < 0:  # another one had its id
            return told.place, True
        is_missed = not reached and self._is_between_owners(self._settings.shard_of(name), name)
        if is_missed or (is_deaf and self._has_any() and not self._owners.exists()):
            self.history.take(group, told, payload)
            return told.place, True
        return told.place, bool(reached)

    async def new_channel(self, head: str) -> str:
        """Return the name of a new channel of a shard that messages arrive from; on the owner loop.

        Args:
            head: what it begins with.
        """
        owner = self._owners.require()
        connections = [receiver.connection for receiver in owner.receivers]
        await owner.until_one_is_ready()
        while True:
            name = head + secrets.token_hex(8)
            if connections[self._settings.shard_of(name)].is_up or not any(each.is_up for each in connections):
                break
        if self._subscriptions(owner, name).is_by_name:
            self.named[name] = math.inf
            try:
                await self.subscribe(name)
            finally:
                self.after_receive(name)
        return name

    async def join(self, group: str) -> None:
        """Wait until messages for a group arrive, and others know of this process; on the owner loop."""
        await self.subscribe(self._group_prefix + group)
        await self.presence.prepare(group)

    async def subscribe(self, name: str) -> None:
        """Wait until messages for a name arrive; on the owner loop."""
        subscriptions = self._subscriptions(self._owners.require(), name)
        subscriptions.update(self.orders)  # first, so that it is there when the group is
        await subscriptions.until_subscribed(name)

    def update_own(self, name: str) -> None:
        """Take note, on whichever loop, that one of the process' own channels was attached or detached."""
        owner = self._owners.current
        if owner is None:
            return
        subscriptions = self._subscriptions(owner, name)
        if not subscriptions.is_by_name:  # the pattern covers it
            return
        if owner.is_here:
            subscriptions.update(name)
        else:
            owner.call_soon(subscriptions.update, name)

    def update_all(self, is_by_name: bool = False) -> None:
        """Unsubscribe from what is not wanted any more.

        Args:
            is_by_name: only where Redis refuses the pattern.
        """
        self.history.forget_empty_groups()
        owner = self._owners.here
        for receiver in owner.receivers if owner is not None else ():
            if isinstance(receiver, Subscriptions) and (receiver.is_by_name or not is_by_name):
                receiver.update_all()

    # For the owner loop: see `Exchange`

    def make_receivers(
        self,
        commands: Sequence[Commands],
        on_change: Callable[[int, bool], object],
        predecessors: Sequence[Receiver] | None,
    ) -> list[Subscriptions]:
        settings = self._settings
        pattern = f"{as_pattern(settings.prefix)}*{self._process.id}!*"
        return [
            Subscriptions(host, settings.timeout, partial(on_change, shard), pattern, self, shard)
            for shard, host in enumerate(settings.hosts)
        ]

    async def work(self) -> None:
        await together(self._look_after(), self.presence.work())

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(min(INTERVAL, self._settings.expiry))
            self._local.channels()  # drops what has expired
            await self.history.check_some()
            now = time.monotonic()
            for name in [name for name, until in self.named.items() if until <= now]:
                del self.named[name]
                self._update(name)
            self.update_all(is_by_name=True)

    async def restore(self, shard: int) -> None:  # whoever connects anew subscribes to all that is wanted
        await self.history.check(shard)

    async def settle(self, timeout: float) -> bool:
        return False

    def clean_up(self, is_final: bool) -> Flow[None]:
        yield from self.presence.clean_up(is_final)  # Redis forgets subscriptions with their connection

    def has_anything(self) -> bool:
        return self.presence.has_anything()

    def on_empty(self, group: str) -> None:
        self.presence.forget_group(group)
        self._owners.call_soon(self._leave, group)

    def on_missing(self, group: str, offset: int) -> None:
        self.history.missing(group, offset)

    async def listen_to(self, channel: str) -> None:
        if self._process.is_own(channel):
            subscriptions = self._subscriptions(self._owners.require(), channel)
            await subscriptions.connection.until_up()
            if not subscriptions.is_by_name:  # the pattern covers it
                return
        self.named[channel] = math.inf
        await self.subscribe(channel)

    def after_receive(self, channel: str) -> None:
        # What comes before the next receive() is not to be lost; and it is kept for no longer than that.
        if channel in self.named and not self._local.is_awaited(channel):
            self.named[channel] = time.monotonic() + self._settings.expiry

    # For subscriptions: see `Names`

    def wanted(self, shard: int) -> list[str]:
        names = [self._group_prefix + group for group in self._local.groups()]
        now = time.monotonic()
        names += [name for name, until in self.named.items() if until > now and not self._process.is_own(name)]
        names = [name for name in names if self._settings.shard_of(name) == shard]
        return [self.orders, *names] if self._local.has_groups() else names

    def own(self, shard: int) -> list[str]:
        members = (name for names in self._local.groups(False).values() for name in names)
        names = {*self._local.channels(False), *members, *self.named}
        return [
            name
            for name in names
            if self._process.is_own(name) and self.is_wanted(name) and self._settings.shard_of(name) == shard
        ]

    def is_wanted(self, name: str) -> bool:
        if self.named.get(name, 0) > time.monotonic():
            return True
        if self._process.is_own(name) and (self._local.has_receiver(name) or self._local.is_awaited(name)):
            return True
        if name == self.orders:
            return self._local.has_groups()
        if name.startswith(self._control_prefix):
            name = self._group_prefix + name.removeprefix(self._control_prefix)
        return name.startswith(self._group_prefix) and self._local.has_group(name.removeprefix(self._group_prefix))

    def together(self, name: str) -> list[str]:
        if name.startswith(self._control_prefix):
            return []
        group = self._group_of(name)
        return (
            [name]
            if group is None or self._settings.retention_of(group) is None
            else [self._control_prefix + group, name]
        )

    def begins(self, shard: int) -> None:
        self.history.connection_began(shard)

    def does_without(self, name: str) -> bool:
        return not self._process.is_own(name) and self.named.pop(name, None) is not None

    def on_message(self, channel: str, payload: bytes) -> int:
        if channel.startswith(self._control_prefix):
            self.history.hear_place(channel.removeprefix(self._control_prefix), payload)
            return 0
        message, excluded = self._decoded(payload)
        group = self._group_of(channel)
        if group is not None and self._settings.retention_of(group) is not None:
            return self._on_kept(group, payload, message, excluded)
        channels = [channel] if channel in self.named or (group is None and self._process.is_own(channel)) else []
        return self._deliver(message, excluded, channels, [] if group is None else [group], channel == self.orders)

    # Inside

    def _on_kept(self, group: str, payload: bytes, message: Any, excluded: Channels) -> int:
        """Take a payload of a group with history."""
        waiting = self.history.hear(group, payload, message if isinstance(message, dict) else {}, excluded)
        if waiting is None:  # it is not kept, or its sender knows of no history
            message = unkept(group, message) if isinstance(message, dict) else message
            return self._deliver(message, excluded, [], [group])
        return waiting

    def _deliver(
        self, message: Any, excluded: Channels, channels: list[str], groups: list[str], is_order: bool = False
    ) -> int:
        if message is None:
            return 0
        if not isinstance(message, dict):  # no consumer could handle it
            names = {*channels, *(name for group in groups for name in self._local.members(group))}
            channels, groups = [name for name in names if not self._local.is_attached_name(name)], []
        elif is_order:
            close_members(message, self._local, self._dropped, groups=[str(message.get("group"))])
            return 0
        try:
            return self._local.deliver(message, channels, groups, excluded)
        except Exception as error:
            return self._dropped.note_not_copied(error)

    def _decoded(self, payload: bytes) -> tuple[Any, Channels]:
        """Return a payload's message, None if nobody can read it, and the channels that do not get it."""
        try:
            message = self._codec.decode(payload, self._takes_any)
        except ValueError as error:
            self._dropped.note(str(error))
            return None, NOBODY
        if is_forged(message):
            self._dropped.note(FORGED.format(message["type"]))
            return None, NOBODY
        return message, take_excluded(message)

    def _group_of(self, name: str) -> str | None:
        """Return the group whose name in Redis this is, or None."""
        return name[len(self._group_prefix) :] if name.startswith(self._group_prefix) else None

    def _has_any(self) -> bool:
        """Whether there may be receivers here."""
        return self._process.has_channels or bool(self.named) or self._local.has_groups()

    def _is_new(self, owner: OwnerLoop | None, shard: int, name: str) -> bool:
        """Tell whether one of the process' own channels is about to be subscribed to by its name."""
        if owner is None or not self._process.is_own(name):
            return False
        subscriptions = self._subscriptions(owner, name)
        return subscriptions.is_by_name and not subscriptions.is_subscribed(name)

    def _is_between_owners(self, shard: int, name: str) -> bool:
        """Tell whether a name is for receivers here, and none hears it now: an owner loop has ended, the next begins.

        Where one hears it is no use to ask who was reached: a node of a Redis Cluster counts its own clients alone.
        One that has lost its connection tells its receivers of the gap.
        """
        owner = self._owners.current
        if owner is not None and owner.is_alive and owner.receivers[shard].connection.has_been_up:
            return False
        return self._process.is_own(name) or self.is_wanted(name)

    def _leave(self, group: str) -> None:
        if not self._local.has_group(group):
            self.history.forget(group)
        self._update(self._group_prefix + group)
        for shard in range(len(self._settings.hosts)):
            self._update(self.orders, shard)

    def _update(self, name: str, shard: int | None = None) -> None:
        owner = self._owners.here
        if owner is not None:
            self._subscriptions(owner, name, shard).update(name)

    def _subscriptions(self, owner: OwnerLoop, name: str, shard: int | None = None) -> Subscriptions:
        """Return those at a shard; default: the name's."""
        receiver = owner.receivers[self._settings.shard_of(name) if shard is None else shard]
        assert isinstance(receiver, Subscriptions)
        return receiver
