"""What both Redis layers have in common: names, where their code runs, deadlines, the gap, the end."""

import asyncio
import builtins
import inspect
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Self, TypeVar, cast

import anyio
from redis.exceptions import RedisError, TimeoutError

from ...exceptions import ChannelFull
from ...types import Deliver, Message
from ..base import BaseChannelLayer
from ..codec import Codec
from ..local import LocalChannels
from ..loops import call_soon, let_others_run
from .commands import BlockingCommands, Commands
from .home import Home
from .hosts import decode_hosts, shard_of
from .link import Command
from .listener import Listener
from .process import Alarm, Process

logger = logging.getLogger("consumers.layers")

T = TypeVar("T")

Request = tuple[int, list[Command]]
"""A shard's index and commands for it."""

Flow = Generator[list[Request], list[list[Any]], T]
"""What to ask of Redis, one round trip after the other, told apart from how: it is awaited, or blocks."""

GAP = {"type": "layer.gap"}
"""Tells a consumer that has a handler `layer_gap` that it may have missed messages."""


class RedisLayer(BaseChannelLayer):
    """The base of the two layers; see there for the arguments."""

    extensions: ClassVar[list[str]] = ["groups", "flush"]

    def __init__(
        self,
        hosts: object,
        prefix: str,
        expiry: float,
        group_expiry: float,
        capacity: int,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None,
        on_disconnect: str | Callable[[], object] | None,
        on_reconnect: str | Callable[[], object] | None,
        timeout: float,
        validate_names: bool,
        codec: Codec,
    ) -> None:
        super().__init__(expiry, capacity, channel_capacity)
        for what, value in (("group_expiry", group_expiry), ("timeout", timeout)):
            if not value > 0:
                raise ValueError(f"{what} must be positive, not {value!r}")
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a string, not {prefix!r}")
        self.hosts = decode_hosts(hosts)
        self.prefix = prefix
        self.group_expiry = group_expiry
        self.timeout = timeout
        self.validate_names = validate_names
        self.on_disconnect = on_disconnect
        self.on_reconnect = on_reconnect
        self._codec = codec
        self._lock = threading.RLock()
        self._known: Process | None = None
        self._payload_alarm, self._full_alarm = Alarm(), Alarm()
        self._overfull = 0

    @property
    def dropped(self) -> int:
        """How many messages this process' receivers have missed, and queues have refused, because they were full."""
        return self._process.local.dropped + self._overfull

    @property
    def groups(self) -> Mapping[str, frozenset[str]]:
        """The groups that have members in this process, and these members; a snapshot."""
        return self._process.local.groups()

    # Receivers

    def attach(self, deliver: Deliver) -> str:
        process = self._process
        self._ensure_home()
        name = process.attached_prefix + secrets.token_hex(8)
        process.local.attach(name, deliver)
        return name

    def detach(self, name: str) -> None:
        self._require_channel(name)
        self._process.local.detach(name)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the oldest message of a channel and take it.

        Raises:
            TypeError: if the name is invalid.
            ValueError: if the channel is attached, or another process': its messages go elsewhere.
            redis.exceptions.RedisError: if Redis cannot be reached.
        """
        self._require_channel(channel)
        process = self._process
        if process.local.is_attached_name(channel):
            raise ValueError(f"Channel {channel!r} is attached: its messages are delivered to its consumer")
        if "!" in channel and not process.is_own(channel):
            raise ValueError(f"Channel {channel!r} is another process': only that one receives its messages")
        home = self._ensure_home()
        await asyncio.sleep(0)  # before taking a message, which a cancellation would lose
        arrived = anyio.Event()
        waiter = process.local.take(channel, arrived.set)
        try:
            if waiter.entry is None:
                await home.call(self._listen_to, process, channel)
                await arrived.wait()
        except BaseException:
            process.local.withdraw(waiter)
            raise
        finally:
            self._heard_from(process, channel)
        return cast("tuple[float, dict[str, Any]]", waiter.entry)[1]

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            redis.exceptions.ConnectionError: if Redis cannot be reached.
        """
        await self._ensure_home().until_ready()
        return self

    async def close(self) -> None:
        """Leave the groups, close the connections; the layer opens again when it is next used."""
        process = self._process
        with self._lock:
            home, process.home = process.home, None
        if home is not None:
            await home.close()
        process.local.flush()
        for commands in process.blocking:
            commands.close()

    # Senders

    async def send(self, channel: str, message: Message) -> None:
        """Send a message to one channel.

        Raises:
            TypeError: if the name is invalid, the message is not a dict, or has a value that cannot be serialised.
            ChannelFull: if the channel's queue is full; the pub/sub layer has none.
            redis.exceptions.RedisError: if Redis cannot be reached, refuses, or does not answer in time.
        """
        try:
            waiting = await self._run(self._send(channel, message))
        except ChannelFull:
            await let_others_run(0)  # whoever tries again and again must let the receiver run
            raise
        await let_others_run(waiting)

    async def group_send(self, group: str, message: Message) -> None:
        """Send a message to every channel in a group. It is dropped for those that are full.

        Raises:
            TypeError: if the name is invalid, the message is not a dict, or has a value that cannot be serialised.
            redis.exceptions.RedisError: if Redis cannot be reached, refuses, or does not answer in time.
        """
        await let_others_run(await self._run(self._group_send(group, message)))

    def send_sync(self, channel: str, message: Message) -> None:
        """As `send()`, without an event loop: blocks."""
        self._run_blocking(self._send(channel, message))

    def group_send_sync(self, group: str, message: Message) -> None:
        """As `group_send()`, without an event loop: blocks."""
        self._run_blocking(self._group_send(group, message))

    # What differs

    def _head(self, process_id: str) -> str:
        """Return what the names of a process' own channels begin with."""
        raise NotImplementedError

    def _send(self, channel: str, message: Message) -> Flow[int]:
        """Send; return how many messages wait if a queue is over half full, else 0."""
        raise NotImplementedError

    def _group_send(self, group: str, message: Message) -> Flow[int]:
        """Send; return how many messages wait if a queue is over half full, else 0."""
        raise NotImplementedError

    def _make_listener(
        self, process: Process, shard: int, commands: Commands, on_change: Callable[[bool], object]
    ) -> Listener:
        raise NotImplementedError

    async def _listen_to(self, process: Process, channel: str) -> None:
        """Have the messages of a channel come here; on the home loop."""
        raise NotImplementedError

    def _heard_from(self, process: Process, channel: str) -> None:
        """Take note that a `receive()` of this channel has ended."""

    async def _do_chores(self, process: Process) -> None:
        """Do what is due every now and then, on the home loop; for ever."""
        raise NotImplementedError

    async def _say_farewell(self, process: Process, commands: list[Commands]) -> None:
        """Remove what the process has in Redis, on the home loop."""

    async def _on_reconnect(self, process: Process, shard: int) -> None:
        """Put right what a restarted Redis has forgotten, on the home loop."""

    def _leave(self, process: Process, group: str) -> None:
        """Take note, on the home loop, that a group has no members here any more, unless it has new ones."""
        raise NotImplementedError

    # Names

    def _require_channel(self, name: str) -> None:
        if self.validate_names and not (isinstance(name, str) and self._process.local.has_receiver(name)):
            self.require_valid_channel_name(name)

    def _require_group(self, name: str) -> None:
        if self.validate_names and not (isinstance(name, str) and self._process.local.has_group(name)):
            self.require_valid_group_name(name)

    def _shard(self, name: str) -> int:
        return shard_of(name, len(self.hosts))

    # Where code runs

    @property
    def _process(self) -> Process:
        known = self._known
        if known is None or known.pid != os.getpid():
            with self._lock:
                if self._known is None or self._known.pid != os.getpid():
                    self._known = Process(
                        self._head,
                        lambda process: LocalChannels(
                            self.get_capacity,
                            self.expiry,
                            self.group_expiry,
                            process.attached_prefix,
                            time.monotonic,
                            partial(self._on_empty, process),
                        ),
                        [BlockingCommands(host, self.timeout) for host in self.hosts],
                    )
                known = self._known
        return known

    def _ensure_home(self) -> Home:
        """Return the home, made on the running event loop if there is none that lives."""
        process = self._process
        with self._lock:
            old = process.home
            if old is not None and old.is_alive:
                return old
            _require_asyncio()
            process.joined.clear()  # what another loop had joined it may not have renewed since
            commands = [Commands(host, self.timeout) for host in self.hosts]
            process.home = Home(
                commands,
                [
                    self._make_listener(process, shard, commands[shard], partial(self._on_change, process, shard))
                    for shard in range(len(self.hosts))
                ],
                [partial(self._do_chores, process)],
                partial(self._say_farewell, process, commands),
                partial(self._on_home_end, process),
                self.timeout,
            )
            if old is not None:
                old.replace()
            return process.home

    def _on_home_end(self, process: Process, home: Home) -> None:
        with self._lock:
            if process.home is not home:
                return  # it was closed, or replaced
            process.home = None
        for loop in process.local.loops() - {home.loop}:
            try:
                call_soon(loop, partial(self._take_over, process))
            except RuntimeError:  # that one is closed too
                continue
            return

    def _take_over(self, process: Process) -> None:
        """Be the home of receivers here, whose home has been another loop until now."""
        home = self._ensure_home()
        if home.is_here:
            process.spawn(self._announce_return(process, range(len(self.hosts)), home))

    def _on_empty(self, process: Process, group: str) -> None:
        home = process.home
        if home is not None:
            home.call_soon(self._leave, process, group)

    async def _run(self, flow: Flow[T]) -> T:
        replies = None
        try:
            while True:
                replies = await self._ask(flow.send(cast(Any, replies)))
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            flow.close()

    async def _ask(self, requests: list[Request]) -> list[list[Any]]:
        process = self._process
        home = process.home
        if home is None or not home.is_here or not home.is_alive:
            loop = _require_asyncio()
            try:
                async with asyncio.timeout(self.timeout):  # the wait for a free thread included
                    return await loop.run_in_executor(process.threads, self._ask_blocking, requests)
            except builtins.TimeoutError:
                where = ", ".join(str(self.hosts[shard]) for shard, _ in requests)
                raise TimeoutError(f"Redis at {where} did not answer within {self.timeout:g} s") from None
        if not home.is_ready:
            await home.until_ready()
        if len(requests) == 1:
            [(shard, commands)] = requests
            return [await home.commands[shard].run(commands)]
        return await asyncio.gather(*(home.commands[shard].run(commands) for shard, commands in requests))

    def _run_blocking(self, flow: Flow[T]) -> T:
        replies = None
        try:
            while True:
                replies = self._ask_blocking(flow.send(cast(Any, replies)))
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            flow.close()

    def _ask_blocking(self, requests: list[Request]) -> list[list[Any]]:
        blocking = self._process.blocking
        return [blocking[shard].run(commands) for shard, commands in requests]

    # Faults

    def _on_change(self, process: Process, shard: int, is_up: bool) -> None:
        if is_up:
            process.spawn(self._announce_return(process, [shard]))
        else:
            self._announce(process, self.on_disconnect)

    async def _announce_return(self, process: Process, shards: Iterable[int], home: Home | None = None) -> None:
        try:
            if home is not None:
                await home.until_ready()
            for shard in shards:
                await self._on_reconnect(process, shard)
        except RedisError as error:
            logger.warning("Redis: %s", error)
        finally:
            process.local.tell_attached(GAP)
            if home is None:
                self._announce(process, self.on_reconnect)

    def _announce(self, process: Process, event: str | Callable[[], object] | None) -> None:
        if isinstance(event, str):
            process.local.tell_attached({"type": event})
        elif event is not None:
            try:
                result = event()
                if inspect.iscoroutine(result):
                    process.spawn(result)
            except Exception:
                logger.exception("%r of a Redis layer failed", event)

    def _decode(self, payload: bytes) -> dict[str, Any] | None:
        try:
            return self._codec.decode(payload)
        except ValueError as error:
            self._payload_alarm.note(str(error))
            return None

    def _deliver(self, process: Process, message: Message, channels: Iterable[str], groups: Iterable[str]) -> int:
        try:
            return process.local.deliver(message, channels, groups)
        except Exception as error:  # whatever a copy for each receiver makes of a foreign value
            self._payload_alarm.note(f"it cannot be copied for its receivers ({type(error).__name__}: {error})")
            return 0


def _require_asyncio() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "A Redis channel layer needs a running asyncio event loop: redis-py knows no other, such as trio's. "
            "Without any, use send_sync() and group_send_sync()"
        ) from None
