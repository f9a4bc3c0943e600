"""The layer on Redis' publish and subscribe."""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Unpack

from ...types import Close, Deliver, Message
from .._local import EMPTY_GROUP, NO_RECEIVER, note_unheard
from .._observed import operation
from ..codec import Codec
from .commands import Commands
from .home import Home
from .layer import RedisLayer, as_pattern
from .listener import Listener
from .process import Process
from .running import Event, Flow, Limits
from .subscriber import Subscriber

CHORE_INTERVAL = 5.0
"""Seconds between two looks for what has expired."""

ORDERS = ":close"
"""How the name ends by which the layers of a prefix tell each other to close a group."""


class RedisPubSubChannelLayer(RedisLayer):
    """A channel layer across processes: fast, without queues in Redis.

    Messages go as they come: what nobody listens to is lost, and capacities are those of the receivers' mailboxes
    alone, so `send()` never raises ChannelFull. Needs asyncio. The bytes and names are those of channels_redis 4.3.
    A host may be a node of a Redis Cluster: README.md says what works there.

    Args:
        hosts: the Redis servers, among which channels and groups are divided: each a URL (redis://, rediss://,
            unix://), a (host, port), or a dict of redis-py's connection arguments, which may have "address" for a URL,
            or "sentinels" and "master_name". Default: redis://localhost:6379.
        prefix: what the names of groups, and of channels that the layer makes, begin with in Redis. It has no "!" and
            no "__group__", by which names are divided. Channels that have no "!" are the same with every prefix.
        on_disconnect: the type of a message that every consumer gets when the connection to Redis is lost, as in
            channels_redis; or a function without arguments, plain or async.
        on_reconnect: the same, for when it is there again.
        symmetric_encryption_keys: a list of keys; the first encrypts, all decrypt.
        serializer_format: "msgpack", "json", or the name of a serializer that was registered.
        expiry: seconds until a message in this process that nobody has received is dropped.
        group_expiry: seconds until a channel that is not attached leaves a group.
        capacity: how many messages a channel holds in this process.
        channel_capacity: other capacities by channel name; see `BaseChannelLayer`.
        timeout: seconds that any operation on Redis may take.
        validate_names: check the names of channels and groups; channels_redis does not.

    Raises:
        TypeError, ValueError: if an argument is wrong.
        KeyError: if no such serializer is registered.
        ImportError: if the serializer, or encryption, needs a package that is not installed.
    """

    group_mark = "__group__"

    def __init__(
        self,
        hosts: Iterable[object] | None = None,
        prefix: str = "asgi",
        on_disconnect: Event = None,
        on_reconnect: Event = None,
        *,
        symmetric_encryption_keys: Iterable[str | bytes] | None = None,
        serializer_format: str = "msgpack",
        **options: Unpack[Limits],
    ) -> None:
        codec = Codec(serializer_format, symmetric_encryption_keys=symmetric_encryption_keys)
        super().__init__(hosts, prefix, codec, on_disconnect=on_disconnect, on_reconnect=on_reconnect, **options)
        self._group_prefix = f"{prefix}{self.group_mark}"
        self._orders = f"{prefix}{ORDERS}"  # the name of no channel or group, so that no message comes by it

    def attach(self, deliver: Deliver, close: Close | None = None) -> str:
        name = super().attach(deliver, close)
        self._update_own(self._process, name)
        return name

    def detach(self, name: str) -> None:
        super().detach(name)
        self._update_own(self._process, name)

    async def new_channel(self, prefix: str = "specific.") -> str:
        self._require_channel(prefix)
        process = self._process
        head = f"{self.prefix}{prefix.removesuffix('.')}.{process.id}!n."
        self._require_channel(head + "f" * 16)
        process.has_channels = True
        return await self._at_home(self._find_name, process, head)

    async def _find_name(self, process: Process, head: str) -> str:
        """Return the name of a new channel of a shard that messages arrive from."""
        home = process.require_home()
        listeners = home.listeners
        await home.until_one_is_ready()
        while True:
            name = head + secrets.token_hex(8)
            if listeners[self._shard(name)].is_up or not any(listener.is_up for listener in listeners):
                break
        if self._subscriber(home, name).is_by_name:
            process.named[name] = math.inf
            try:
                await self._subscribe(process, name)
            finally:
                self._after_receive(process, name)
        return name

    @operation
    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel of this process to a group; once more does nothing but renew the membership.

        A channel without a "!" is added for this process: its `receive()` gets the group's messages here.

        Raises:
            TypeError: if a name is invalid.
            RuntimeError: if the channel is another process'; channels_redis cannot do that either.
            redis.exceptions.RedisError: if Redis cannot be reached; the channel is not in the group then.
        """
        self._require_group(group)
        self._require_channel(channel)
        process = self._process
        if "!" in channel and not process.is_own(channel):
            raise RuntimeError(f"Channel {channel!r} is another process': only that one can add it to a group")
        with process.local.joining(group, channel):
            await self._at_home(self._subscribe, process, self._group_prefix + group)

    @operation
    async def group_discard(self, group: str, channel: str) -> None:
        self._require_group(group)
        self._require_channel(channel)
        self._process.local.group_discard(group, channel)

    async def flush(self) -> None:
        """Forget what waits in this process, and its groups; other processes keep theirs."""
        process = self._process
        process.local.flush()
        if process.home is not None:
            process.home.call_soon(self._update_all, process, lambda subscriber: True)

    def require_valid_channel_name(self, name: object, receive: bool = False) -> bool:
        if isinstance(name, str) and name.startswith(self.prefix):  # as those that a layer makes, whatever that is
            rest = name.removeprefix(self.prefix)
            name = rest if rest and not rest.startswith("!") else name
        return super().require_valid_channel_name(name, receive)

    def _require_channel(self, name: str) -> None:
        super()._require_channel(name)
        if self.group_mark in name or name.endswith(ORDERS):
            raise TypeError(
                f"Channel {name!r:.200} is a layer's own: that of a group, which contains {self.group_mark!r}, or of "
                f"orders, which ends with {ORDERS!r}"
            )

    # What is sent

    def _checked_prefix(self, prefix: str) -> str:
        if "!" in super()._checked_prefix(prefix):
            raise ValueError(f"prefix must not have a '!', by which the names of channels are divided: {prefix!r}")
        return prefix

    def _head(self, process_id: str) -> str:
        return f"{self.prefix}specific.{process_id}!"

    def _send(self, channel: str, message: Message) -> Flow[int]:
        self.require_valid_message(message)
        self._require_channel(channel)
        if not (yield from self._publish(channel, message)):
            note_unheard(message, NO_RECEIVER, channel)
        return 0

    def _group_send(self, group: str, message: Message) -> Flow[int]:
        self.require_valid_message(message)
        self._require_group(group)
        yield from self._publish_to_group(group, message)
        return 0

    def _publish_to_group(self, group: str, message: Message) -> Flow[None]:
        if not (yield from self._publish(self._group_prefix + group, message)):
            note_unheard(message, EMPTY_GROUP, group)

    def _publish(self, name: str, message: Message) -> Flow[bool]:
        """Publish; where this process does not listen, its own receivers get the message all the same.

        Returns:
            Whether there are receivers.
        """
        payload, process = self._codec.encode(message), self._process
        is_deaf, shard = not self._has_home(), self._shard(name)
        is_new = self._is_new(process, shard, name)  # now: its subscription may be answered after the message was lost
        [[listeners]] = yield [(shard, [("PUBLISH", name, payload)])]
        has_any = process.has_channels or process.named or process.local.has_groups()
        is_missed = not listeners and (is_new or self._is_between_homes(process, shard, name))
        if is_missed or (is_deaf and has_any and not self._has_home()):
            self._on_message(process, name, payload)
            return True
        return bool(listeners)

    def _is_between_homes(self, process: Process, shard: int, name: str) -> bool:
        """Tell whether a name is for receivers here, and no home listens now: one has ended, the next one begins.

        Where one listens it is no use to ask who was reached: a node of a Redis Cluster counts its own clients alone.
        One that has lost its connection tells its receivers of the gap.
        """
        home = process.home
        if home is not None and home.is_alive and home.listeners[shard].has_been_up:
            return False
        return process.is_own(name) or self._is_wanted(process, name)

    def _is_new(self, process: Process, shard: int, name: str) -> bool:
        """Tell whether a channel is this process' own, and is about to be subscribed to by its name."""
        home = process.home
        listener = None if home is None else home.listeners[shard]
        if not isinstance(listener, Subscriber) or not listener.is_by_name:
            return False
        return process.is_own(name) and not listener.is_subscribed(name)

    def _close_group(self, group: str, message: Message) -> Flow[int]:
        self._require_group(group)
        order = self._codec.encode({**message, "group": group})
        yield [(self._shard(self._group_prefix + group), [("PUBLISH", self._orders, order)])]
        yield from self._publish_to_group(group, message)
        return 0

    # What is received

    def _make_listener(
        self, process: Process, shard: int, commands: Commands, on_change: Callable[[bool], object]
    ) -> Listener:
        def wanted() -> list[str]:
            names = [self._group_prefix + group for group in process.local.groups()]
            now = time.monotonic()
            names += [name for name, until in process.named.items() if until > now and not process.is_own(name)]
            names = [name for name in names if self._shard(name) == shard]
            return [self._orders, *names] if process.local.has_groups() else names

        def own() -> list[str]:
            local = process.local
            members = (name for names in local.groups(False).values() for name in names)
            names = {*local.channels(False), *members, *process.named}
            return [n for n in names if process.is_own(n) and self._is_wanted(process, n) and self._shard(n) == shard]

        def does_without(name: str) -> bool:
            return not process.is_own(name) and process.named.pop(name, None) is not None

        return Subscriber(
            self.hosts[shard],
            self.timeout,
            on_change,
            f"{as_pattern(self.prefix)}*{process.id}!*",
            wanted,
            own,
            lambda name: self._is_wanted(process, name),
            does_without,
            lambda channel, payload: self._on_message(process, channel, payload),
        )

    def _is_wanted(self, process: Process, name: str) -> bool:
        if process.named.get(name, 0) > time.monotonic():
            return True
        if process.is_own(name) and (process.local.has_receiver(name) or process.local.is_awaited(name)):
            return True
        if name == self._orders:
            return process.local.has_groups()
        return name.startswith(self._group_prefix) and process.local.has_group(name[len(self._group_prefix) :])

    def _on_message(self, process: Process, channel: str, payload: bytes) -> int:
        message = self._decode(payload)
        if message is None:
            return 0
        groups = [channel[len(self._group_prefix) :]] if channel.startswith(self._group_prefix) else []
        channels = [channel] if channel in process.named or (not groups and process.is_own(channel)) else []
        if not isinstance(message, dict):  # no consumer could handle it
            names = {*channels, *(name for group in groups for name in process.local.members(group))}
            return self._deliver(process, message, [n for n in names if not process.local.is_attached_name(n)], ())
        if channel == self._orders:
            self._close(process, message, (), [str(message.get("group"))])
            return 0
        return self._deliver(process, message, channels, groups)

    async def _subscribe(self, process: Process, name: str) -> None:
        subscriber = self._subscriber(process.require_home(), name)
        subscriber.update(self._orders)  # first, so that it is there when the group is
        await subscriber.until_subscribed(name)

    async def _listen_to(self, process: Process, channel: str) -> None:
        if process.is_own(channel):
            subscriber = self._subscriber(process.require_home(), channel)
            await subscriber.until_up()
            if not subscriber.is_by_name:  # the pattern covers it
                return
        process.named[channel] = math.inf
        await self._subscribe(process, channel)

    def _after_receive(self, process: Process, channel: str) -> None:
        # What comes before the next receive() is not to be lost; and it is kept for no longer than that.
        if channel in process.named and not process.local.is_awaited(channel):
            process.named[channel] = time.monotonic() + self.expiry

    async def _do_chores(self, process: Process) -> None:
        while True:
            await asyncio.sleep(min(CHORE_INTERVAL, self.expiry))
            process.local.channels()  # drops what has expired
            now = time.monotonic()
            for name in [name for name, until in process.named.items() if until <= now]:
                del process.named[name]
                self._update(process, name)
            self._update_all(process, lambda subscriber: subscriber.is_by_name)

    def _leave(self, process: Process, group: str) -> None:
        self._update(process, self._group_prefix + group)
        for shard in range(len(self.hosts)):
            self._update(process, self._orders, shard)

    def _update(self, process: Process, name: str, shard: int | None = None) -> None:
        home = process.home_here
        if home is not None:
            self._subscriber(home, name, shard).update(name)

    def _update_all(self, process: Process, which: Callable[[Subscriber], bool]) -> None:
        home = process.home_here
        for listener in home.listeners if home is not None else ():
            if isinstance(listener, Subscriber) and which(listener):
                listener.update_all()

    def _update_own(self, process: Process, name: str) -> None:
        """Take note, on whichever loop, that one of the process' own channels was attached or detached."""
        home = process.home
        if home is None:
            return
        subscriber = self._subscriber(home, name)
        if not subscriber.is_by_name:  # the pattern covers it
            return
        if home.is_here:
            subscriber.update(name)
        else:
            home.call_soon(subscriber.update, name)

    def _subscriber(self, home: Home, name: str, shard: int | None = None) -> Subscriber:
        """Return what hears from a shard; default: the name's."""
        listener = home.listeners[self._shard(name) if shard is None else shard]
        assert isinstance(listener, Subscriber)
        return listener
