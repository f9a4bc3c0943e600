"""What both Redis layers have in common: the contract of a layer, names, what is received."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, cast

import anyio
from asgiref.sync import async_to_sync

from ..._aio.loops import yield_to_loop
from ...exceptions import ChannelFull
from ...types import Close, Deliver, Message
from .._closing import DEFAULT_CODE, closing
from .._observed import operation
from .._overrides import overrides
from .home import FAREWELL_TIMEOUT
from .hosts import shard_of
from .pipelined import FAILURES
from .process import Process
from .running import Flow, RunningLayer


class RedisLayer(RunningLayer):
    """The base of the two layers, whose code runs where `RunningLayer` says."""

    extensions: ClassVar[list[str]] = ["groups", "flush"]

    _overfull = 0
    takes_any_message: ClassVar[bool] = False
    """Whether a message may be something else than a dict, as with channels_redis' pub/sub layer."""

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

    def attach(self, deliver: Deliver, close: Close | None = None) -> str:
        process = self._process
        home = self._ensure_home()
        name = process.attached_prefix + secrets.token_hex(8)
        process.local.attach(name, deliver, close)
        if not home.is_here:  # it may have ended meanwhile, on its loop, without knowing of this receiver
            self._ensure_home()
        return name

    def detach(self, name: str) -> None:
        self._require_channel(name)
        self._process.local.detach(name)

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
        self._ensure_home()
        await asyncio.sleep(0)  # before taking a message, which a cancellation would lose
        arrived = anyio.Event()
        waiter = process.local.take(channel, arrived.set)
        try:
            if waiter.entry is None:
                await self._at_home(self._listen_to, process, channel)
                await arrived.wait()
        except BaseException:
            process.local.withdraw(waiter)
            raise
        finally:
            self._after_receive(process, channel)
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
        await self._ensure_home().until_ready()
        return self

    async def close(self) -> None:
        """Leave the groups, close the connections; the layer opens again when it is next used."""
        process = self._process
        with process.lock:
            home, process.home = process.home, None
        may_be_there = process.has_channels or process.local.has_groups() or process.left
        has_left = not may_be_there if home is None else await home.close()
        if not has_left:  # loops have ended, or stand still, that had something in Redis
            with contextlib.suppress(*FAILURES):
                await self._run(self._farewell(process, True), FAREWELL_TIMEOUT)
        process.has_channels = False
        process.local.flush()
        for commands in process.blocking:
            commands.close()

    async def _rest(self) -> None:
        """Close the connections that nobody on the running event loop needs, as its end would; keep all else."""
        process, loop = self._process, asyncio.get_running_loop()
        home = process.home
        if home is not None and home.loop is loop and loop not in process.local.loops():
            await home.end()
        for commands in process.blocking:
            commands.close()

    def require_valid_message(self, message: object) -> None:
        if not self.takes_any_message:
            super().require_valid_message(message)

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
            waiting = await self._run(self._send(channel, message))
        except ChannelFull:
            await yield_to_loop(0)  # whoever tries again and again must let the receiver run
            raise
        await yield_to_loop(waiting)

    @operation
    async def group_send(self, group: str, message: Message) -> None:
        """Send a message to every channel in a group. It is dropped for those that are full.

        Raises:
            TypeError: if the name is invalid, or if the message is not a dict, or has a value that cannot be serialised
                or a key that no receiver can decode.
            ValueError: if it has no type that a handler can have, or is nested too deeply for its receivers.
            redis.exceptions.RedisError: if Redis cannot be reached, refuses, or does not answer in time.
        """
        await yield_to_loop(await self._run(self._group_send(group, message)))

    @operation
    async def close_group(self, group: str, code: int = DEFAULT_CODE, reason: str = "") -> None:
        """Close every member of a group; see `consumers.close_group()`. Full queues do not hold it up.

        Raises:
            TypeError: if the name is invalid or the reason is not a str.
            ValueError: if the code is none that may be sent.
            redis.exceptions.RedisError: if Redis cannot be reached, refuses, or does not answer in time.
        """
        await yield_to_loop(await self._run(self._close_group(group, closing(code, reason))))

    @operation
    def send_sync(self, channel: str, message: Message) -> None:
        """As `send()`, without an event loop: blocks."""
        if overrides(type(self), "send"):
            async_to_sync(self.send)(channel, message)
        else:
            self._run_blocking(self._send(channel, message))

    @operation
    def group_send_sync(self, group: str, message: Message) -> None:
        """As `group_send()`, without an event loop: blocks."""
        if overrides(type(self), "group_send"):
            async_to_sync(self.group_send)(group, message)
        else:
            self._run_blocking(self._group_send(group, message))

    @operation
    def close_group_sync(self, group: str, code: int = DEFAULT_CODE, reason: str = "") -> None:
        """As `close_group()`, without an event loop: blocks."""
        if overrides(type(self), "close_group"):
            async_to_sync(self.close_group)(group, code, reason)
        else:
            self._run_blocking(self._close_group(group, closing(code, reason)))

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
        return shard_of(value, len(self.hosts))

    # What differs

    def _send(self, channel: str, message: Message) -> Flow[int]:
        """Send; return how many messages wait if a queue is over half full, else 0."""
        raise NotImplementedError

    def _group_send(self, group: str, message: Message) -> Flow[int]:
        """Send; return how many messages wait if a queue is over half full, else 0."""
        raise NotImplementedError

    def _close_group(self, group: str, message: Message) -> Flow[int]:
        """Have the members of a group closed, then send it the message; return as `_group_send()`."""
        raise NotImplementedError

    async def _listen_to(self, process: Process, channel: str) -> None:
        """Have the messages of a channel come here; on the home loop."""
        raise NotImplementedError

    def _after_receive(self, process: Process, channel: str) -> None:
        """Take note that a `receive()` of this channel has ended."""

    # Names

    def _require_channel(self, name: str) -> None:
        if not self._has_own_rules and isinstance(name, str) and self._process.local.has_receiver(name):
            return
        if self.validate_names:
            self.require_valid_channel_name(name)
        else:
            _require_text("Channel", name)

    def _require_group(self, name: str) -> None:
        if not self._has_own_rules and isinstance(name, str) and self._process.local.has_group(name):
            return
        if self.validate_names:
            self.require_valid_group_name(name)
        else:
            _require_text("Group", name)

    def _shard(self, name: str) -> int:
        return self.consistent_hash(name)

    def _wrong(self, error: Exception) -> Exception:
        """Return what is raised for a wrong argument; ported code may expect something else."""
        return error

    # What is received

    def _decode(self, payload: bytes) -> Any:
        try:
            return self._codec.decode(payload, self.takes_any_message)
        except ValueError as error:
            self._payload_alarm.note(str(error))
            return None

    def _deliver(self, process: Process, message: Message, channels: Iterable[str], groups: Iterable[str]) -> int:
        try:
            return process.local.deliver(message, channels, groups)
        except Exception as error:  # whatever a copy for each receiver makes of a foreign value
            self._payload_alarm.note(f"it cannot be copied for its receivers ({type(error).__name__}: {error})")
            return 0

    def _close(self, process: Process, order: Message, channels: Iterable[str], groups: Iterable[str]) -> None:
        """Close those who are here, with what the order of another process, or this one, says."""
        try:
            checked = closing(order["code"], order["reason"])
        except (KeyError, TypeError, ValueError) as error:
            self._payload_alarm.note(f"an order to close a group that is none ({type(error).__name__}: {error})")
            return
        process.local.close_members(checked["code"], checked["reason"], channels, groups)


def _require_text(noun: str, name: object) -> None:
    """Check what a name needs even where no other rule for names holds: that it can be sent to Redis.

    Raises:
        TypeError: if it cannot.
    """
    try:
        if isinstance(name, str):
            name.encode()
            return
    except UnicodeEncodeError:  # a lone surrogate, which JSON from a client can have
        pass
    raise TypeError(f"{noun} name must be a string that UTF-8 has bytes for, not {name!r:.100}")


def as_pattern(text: str) -> str:
    """Return a pattern of Redis' that matches this text alone."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
