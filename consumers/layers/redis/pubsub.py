"""The layer on Redis' publish and subscribe."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Never

from ...types import Close, Deliver, Message, Room
from .._history import EXCLUDE, History, Joined, Page
from .._local import EMPTY_GROUP, NO_RECEIVER, note_unheard
from .._observed import operation
from .._options import PLAIN, Options, checked_limit, require_last, require_new
from .._presence import PresenceRule, is_forged, note_forged
from ..codec import Codec
from .blocking_senders import Sent
from .history_scripts import MARK, Digests
from .layer import RedisLayer
from .names import checked_prefix
from .presence_scripts import MARK as PRESENCE_MARK
from .process import Process
from .pubsub_exchange import ORDERS, PubSubExchange
from .round_trips import Flow, deleting
from .settings import Event, Settings


class RedisPubSubChannelLayer(RedisLayer):
    """A channel layer across processes on Redis' publish and subscribe: fast, without queues in Redis.

    What nobody listens to is lost. A full mailbox drops what comes, so `send()` never raises ChannelFull. It needs
    asyncio. Its bytes and names in Redis are those of channels_redis 4.3. It works on a Redis Cluster, without history
    and presence.

    Args:
        hosts: the Redis servers, among which channels and groups are divided. Each is a URL (redis://, rediss://,
            unix://), a (host, port), or a dict of redis-py's connection arguments. The dict may have "address" for a
            URL, or "sentinels" and "master_name". None: redis://localhost:6379.
        prefix: what the names of groups, and of channels that the layer makes, begin with in Redis. It has no "!" and
            no `__group__`. Channels that have no "!" are the same with every prefix.
        on_disconnect: the type of a message that every consumer gets when the connection to Redis is lost, as in
            channels_redis; or a function without arguments, plain or async.
        on_reconnect: the same, for when it is there again.
        symmetric_encryption_keys: a list of keys; the first encrypts, all decrypt. None: nothing is encrypted.
        serializer_format: "msgpack", "json", or the name of a serializer that was registered.
        expiry: seconds until a message in this process that nobody has received is dropped.
        group_expiry: seconds until a channel that is not attached leaves a group.
        capacity: how many messages a channel holds in this process.
        channel_capacity: other capacities by channel name; see `BaseChannelLayer`.
        history: which groups remember their messages, by globs or compiled regular expressions, and how many:
            `{"chat.*": {"size": 1000, "ttl": 3600}}` keeps 1,000 messages, for 3,600 seconds after the newest. The
            first that matches counts. All processes should have the same. None: no group has a history.
        presence: `{"grace": 5, "lease": 15, "max_list": 1000}`: see `PresenceOptions`. None: these.
        timeout: seconds that any operation on Redis may take.
        validate_names: check the names of channels and groups; channels_redis does not.
        unknown: nothing. Any other name is refused.

    Raises:
        TypeError: if there is no such argument, or one has the wrong type.
        ValueError: if an argument has a value that cannot work.
        KeyError: if no such serializer is registered.
        ImportError: if the serializer, or encryption, needs a package that is not installed.
    """

    group_mark = "__group__"
    """What stands between the prefix and a group's name in Redis."""

    can_have_history = True
    """Whether its groups may have a history (True)."""

    def __init__(
        self,
        hosts: Iterable[object] | None = None,
        prefix: str = "asgi",
        on_disconnect: Event = None,
        on_reconnect: Event = None,
        *,
        symmetric_encryption_keys: Iterable[str | bytes] | None = None,
        serializer_format: str = "msgpack",
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        history: History = None,
        presence: PresenceRule | None = None,
        timeout: float = 5,
        validate_names: bool = True,
        **unknown: Never,
    ) -> None:
        keys = None if symmetric_encryption_keys is None else list(symmetric_encryption_keys)
        codec = Codec(serializer_format, symmetric_encryption_keys=keys)
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
            history=history,
            presence=presence,
            encryption_keys=keys or (),
            **unknown,
        )
        self._group_prefix = f"{prefix}{self.group_mark}"
        self._digests_of = Digests(keys or ())

    if TYPE_CHECKING:

        @property
        def _process(self) -> Process[PubSubExchange]: ...

    def _make_process(self, settings: Settings) -> Process[PubSubExchange]:
        return Process(
            settings,
            lambda process_id: f"{settings.prefix}specific.{process_id}!",
            lambda process: PubSubExchange(
                process, settings, self._codec, self.takes_any_message, self._make_presence(process, settings)
            ),
        )

    # Receivers

    def attach(self, deliver: Deliver, close: Close | None = None, room: Room | None = None) -> str:
        name = super().attach(deliver, close, room)
        self._process.exchange.update_own(name)
        return name

    def detach(self, name: str) -> None:
        super().detach(name)
        self._process.exchange.update_own(name)

    async def new_channel(self, prefix: str = "specific.") -> str:
        self._require_channel(prefix)
        process = self._process
        head = f"{self.prefix}{prefix.removesuffix('.')}.{process.id}!n."
        self._require_channel(head + "f" * 16)
        process.has_channels = True
        return await process.owners.call(process.exchange.new_channel, head)

    @operation
    async def group_add(self, group: str, channel: str, since: str | None = None, last: int = 0) -> Joined:
        """Add a channel of this process to a group; once more does nothing but renew the membership.

        A channel without a "!" is added for this process: its `receive()` gets the group's messages here.
        `Layer.group_add()` tells of `since`, `last` and what is returned.

        Raises:
            TypeError: if a name is invalid.
            ValueError: if `last` is no number of messages; `since` or `last` for a channel that is in the group.
            RuntimeError: if the channel is another process'; channels_redis cannot do that either.
            redis.exceptions.RedisError: if Redis cannot be reached; the channel is not in the group then.
        """
        group = self._named(group)
        self._require_group(group)
        self._require_channel(channel)
        require_last(last)
        process, retention = self._process, self.retention_of(group)
        if "!" in channel and not process.is_own(channel):
            raise RuntimeError(f"Channel {channel!r} is another process': only that one can add it to a group")
        is_member = process.local.has_member(group, channel)
        if is_member and retention is not None:
            require_new(group, channel, since, last)
        with process.local.joining(group, channel) as joining:
            await process.owners.call(process.exchange.join, group)
            if retention is None:
                return self._history_rules.joined_without(group, since, last)
            return await process.exchange.history.join(group, retention, channel, joining, since, last)

    async def history(self, group: str, since: str | None = None, limit: int = 100) -> Page:
        group = self._named(group)
        self._require_group(group)
        limit = checked_limit(limit)
        retention = self.retention_of(group)
        if retention is None:
            self._history_rules.warn_of(group)
            return Page([], None, since is None)
        return await self._process.trips.run(self._process.exchange.history.page(group, retention, since, limit))

    async def position(self, group: str) -> str | None:
        group = self._named(group)
        self._require_group(group)
        retention = self.retention_of(group)
        if retention is None:
            self._history_rules.warn_of(group)
            return None
        reading = self._process.exchange.history.read(group, retention, None, None, 0)
        return str((await self._process.trips.run(reading)).place)

    @operation
    async def group_discard(self, group: str, channel: str) -> None:
        group = self._named(group)
        self._require_group(group)
        self._require_channel(channel)
        self._process.local.group_discard(group, channel)

    async def flush(self) -> None:
        """Forget what waits in this process, and its groups; other processes keep theirs. Delete all logs in Redis.

        Raises:
            redis.exceptions.RedisError: if they cannot be deleted.
        """
        process = self._process
        process.local.flush()
        process.owners.call_soon(process.exchange.update_all)
        process.exchange.presence.flush()
        if self.has_history:
            await process.trips.run(deleting(f"{self.prefix}{MARK}", len(self.hosts)))
        if process.exchange.presence.has_anything():
            await process.trips.run(deleting(f"{self.prefix}{PRESENCE_MARK}", len(self.hosts)))
            await process.owners.call(process.exchange.presence.renew)

    async def close(self) -> None:
        """Leave the groups, and close the connections.

        The layer opens again when it is next used. What groups with history keep stays in Redis.
        """
        await super().close()
        self._process.exchange.history.forget_empty_groups()

    # Senders

    def _send(self, channel: str, message: Message) -> Flow[int]:
        self.require_valid_message(message)
        self._require_channel(channel)
        if is_forged(message):
            note_forged(message, f"channel {channel}")
            return 0
        if not (yield from self._process.exchange.publish(channel, self._codec.encode(message))):
            note_unheard(message, NO_RECEIVER, channel)
        return 0

    def _group_send(self, group: str, message: Message, options: Options = PLAIN) -> Flow[Sent]:
        if options.excluded and isinstance(message, dict):
            message = {**message, EXCLUDE: sorted(options.excluded)}
        if options.retention is None:
            return None, (yield from self._publish_to_group(group, message))
        payload = self._codec.encode(message)
        digests = [] if options.id is None else self._digests_of(options.id)
        place, has_receivers = yield from self._process.exchange.publish_kept(
            group, options.retention, payload, digests
        )
        if not has_receivers:
            note_unheard(message, EMPTY_GROUP, group)
        return str(place), 0

    def _publish_to_group(self, group: str, message: Message) -> Flow[int]:
        payload = self._codec.encode(message)
        if not (yield from self._process.exchange.publish(self._group_prefix + group, payload)):
            note_unheard(message, EMPTY_GROUP, group)
        return 0

    def _shard_of_group(self, group: str) -> int:
        return self.consistent_hash(self._group_prefix + group)

    def _close_group(self, group: str, message: Message) -> Flow[int]:
        self._require_group(group)
        order = self._codec.encode({**message, "group": group})
        yield [(self._shard_of_group(group), [("PUBLISH", self._process.exchange.orders, order)])]
        return (yield from self._publish_to_group(group, message))

    # Names

    def require_valid_channel_name(self, name: object, receive: bool = False) -> bool:
        if isinstance(name, str) and name.startswith(self.prefix):  # as those that a layer makes, whatever that is
            rest = name.removeprefix(self.prefix)
            name = rest if rest and not rest.startswith("!") else name
        return super().require_valid_channel_name(name, receive)

    def _require_channel(self, name: str) -> None:
        super()._require_channel(name)
        if any(mark in name for mark in (self.group_mark, MARK, PRESENCE_MARK)) or name.endswith(ORDERS):
            raise TypeError(
                f"Channel {name!r:.200} is a layer's own: the names of channels do not contain {self.group_mark!r}, "
                f"{MARK!r} or {PRESENCE_MARK!r}, and do not end with {ORDERS!r}"
            )

    def _checked_prefix(self, prefix: str) -> str:
        if "!" in super()._checked_prefix(prefix):
            raise ValueError(f"prefix must not have a '!', by which the names of channels are divided: {prefix!r}")
        checked_prefix(prefix, MARK)
        return checked_prefix(prefix, PRESENCE_MARK)
