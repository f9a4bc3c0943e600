"""The layer on Redis' publish and subscribe."""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Unpack

from ...types import Message
from ..base import never_waits
from ..codec import Codec
from .commands import Commands
from .layer import RedisLayer, as_pattern
from .listener import Listener
from .process import Process
from .running import Event, Flow, Limits
from .subscriber import Subscriber

CHORE_INTERVAL = 5.0
"""Seconds between two looks for what has expired."""


class RedisPubSubChannelLayer(RedisLayer):
    """A channel layer across processes: fast, without queues in Redis.

    Messages go as they come: what nobody listens to is lost, and capacities are those of the receivers' mailboxes
    alone, so `send()` never raises ChannelFull. Needs asyncio. The bytes and names are those of channels_redis 4.3.

    Args:
        hosts: the Redis servers, among which channels and groups are divided: each a URL (redis://, rediss://,
            unix://), a (host, port), or a dict of redis-py's connection arguments, which may have "address" for a URL,
            or "sentinels" and "master_name". Default: redis://localhost:6379.
        prefix: what the names in Redis begin with; without a "!", by which the names of channels are divided.
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
        self._group_prefix = f"{prefix}__group__"
        self._orders = f"{prefix}:close"  # the name of no channel or group, so that no message comes by it

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
                return name

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

    @never_waits
    async def group_discard(self, group: str, channel: str) -> None:
        self._require_group(group)
        self._require_channel(channel)
        self._process.local.group_discard(group, channel)

    async def flush(self) -> None:
        """Forget what waits in this process, and its groups; other processes keep theirs."""
        process = self._process
        process.local.flush()
        home = process.home
        for listener in home.listeners if home is not None else ():
            assert home is not None and isinstance(listener, Subscriber)
            home.call_soon(listener.update_all)

    def require_valid_channel_name(self, name: object, receive: bool = False) -> bool:
        if isinstance(name, str) and name.startswith(self.prefix):  # as those that a layer makes, whatever that is
            rest = name.removeprefix(self.prefix)
            name = rest if rest and not rest.startswith("!") else name
        return super().require_valid_channel_name(name, receive)

    def _require_channel(self, name: str) -> None:
        super()._require_channel(name)
        if name == self._orders:
            raise TypeError(f"Channel {name!r} is the layer's own")

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
        yield from self._publish(channel, message)
        return 0

    def _group_send(self, group: str, message: Message) -> Flow[int]:
        self.require_valid_message(message)
        self._require_group(group)
        yield from self._publish(self._group_prefix + group, message)
        return 0

    def _publish(self, name: str, message: Message) -> Flow[None]:
        """Publish; where this process does not listen, its own receivers get the message all the same."""
        payload, process = self._codec.encode(message), self._process
        is_deaf = not self._has_home()
        yield [(self._shard(name), [("PUBLISH", name, payload)])]
        if is_deaf and not self._has_home() and (process.has_channels or process.named or process.local.has_groups()):
            self._on_message(process, name, payload)

    def _close_group(self, group: str, message: Message) -> Flow[int]:
        self._require_group(group)
        name, order = self._group_prefix + group, self._codec.encode({**message, "group": group})
        yield [(self._shard(name), [("PUBLISH", self._orders, order)])]
        yield from self._publish(name, message)
        return 0

    # What is received

    def _make_listener(
        self, process: Process, shard: int, commands: Commands, on_change: Callable[[bool], object]
    ) -> Listener:
        def wanted() -> list[str]:
            names = [self._group_prefix + group for group in process.local.groups()]
            now = time.monotonic()
            names += [name for name, until in process.named.items() if until > now]
            names = [name for name in names if self._shard(name) == shard]
            return [self._orders, *names] if process.local.has_groups() else names

        return Subscriber(
            self.hosts[shard],
            self.timeout,
            on_change,
            f"{as_pattern(self.prefix)}*{process.id}!*",
            wanted,
            lambda name: self._is_wanted(process, name),
            lambda channel, payload: self._on_message(process, channel, payload),
        )

    def _is_wanted(self, process: Process, name: str) -> bool:
        if process.named.get(name, 0) > time.monotonic():
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
        listener = process.require_home().listeners[self._shard(name)]
        assert isinstance(listener, Subscriber)
        listener.update(self._orders)  # first, so that it is there when the group is
        await listener.until_subscribed(name)

    async def _listen_to(self, process: Process, channel: str) -> None:
        if process.is_own(channel):  # the pattern covers it
            await process.require_home().listeners[self._shard(channel)].until_up()
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

    def _leave(self, process: Process, group: str) -> None:
        self._update(process, self._group_prefix + group)
        for shard in range(len(self.hosts)):
            self._update(process, self._orders, shard)

    def _update(self, process: Process, name: str, shard: int | None = None) -> None:
        home = process.home_here
        if home is not None:
            listener = home.listeners[self._shard(name) if shard is None else shard]
            assert isinstance(listener, Subscriber)
            listener.update(name)
