"""Where a Redis layer's code runs: on its home loop, on others, without any; in each operating system process anew."""

import asyncio
import builtins
import contextlib
import inspect
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, TypedDict, TypeVar, cast

from redis.exceptions import ConnectionError, RedisError, TimeoutError

from ..._aio.loops import call_soon
from ...types import Message
from .._local import LocalChannels
from .._overrides import overrides, refuse
from ..base import Layer, positive
from ..codec import Codec
from .commands import BlockingCommands, Commands
from .home import Home, HomeEnded
from .hosts import decode_hosts
from .listener import Listener
from .pipelined import Command
from .process import Alarm, Process

logger = logging.getLogger("consumers.layers")

T = TypeVar("T")

Request = tuple[int, list[Command]]
"""A shard's index and commands for it."""

Flow = Generator[list[Request], list[list[Any]], T]
"""What to ask of Redis, one round trip after the other, told apart from how: it is awaited, or blocks."""

Event = str | Callable[[], object] | None
"""What happens when the connection is lost or back: a message of this type to all consumers, or a function's call."""

PROBE_PATIENCE = 0.5
"""Seconds after a return in which the connection for commands shows that it lives, or is replaced."""

GAP: Message = {"type": "layer.gap", "group": None}
"""Tells a consumer that has a handler `layer_gap` that it may have missed messages: of this group, or of any (None)."""


class Basics(TypedDict, total=False):
    """Arguments that both layers take by name."""

    timeout: float
    validate_names: bool


class Limits(Basics, total=False):
    """Arguments that the pub/sub layer takes by name, the queue layer also in channels_redis' order."""

    expiry: float
    group_expiry: float
    capacity: int
    channel_capacity: Mapping[str | re.Pattern[str], int] | None


class Events(Basics, total=False):
    """Arguments that the queue layer takes by name, the pub/sub layer also in channels_redis' order."""

    on_disconnect: Event
    on_reconnect: Event


class RunningLayer(Layer):
    """The base of the two layers; see there for the arguments.

    Attributes:
        works_on_cluster: whether a host may be a node of a Redis Cluster.
        instead: methods that a subclass may not override, as nothing calls them, and what to do instead.
        full_level: the level at which the log tells that a receiver here is full.
        group_mark: what stands between the prefix and a group's name in Redis.
    """

    works_on_cluster: ClassVar[bool] = True
    instead: ClassVar[Mapping[str, str]] = {}
    full_level: ClassVar[int] = logging.WARNING
    group_mark: ClassVar[str]

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
        **unknown: object,
    ) -> None:
        for name in unknown:
            raise TypeError(f"{type(self).__name__} has no argument {name!r}")
        for what, event in (("on_disconnect", on_disconnect), ("on_reconnect", on_reconnect)):
            if not (event is None or isinstance(event, str) or callable(event)):
                raise TypeError(f"{what} must be a type of message or a function, not {event!r}")
        refuse(type(self), self.instead)
        super().__init__(expiry, capacity, channel_capacity)
        self.hosts = decode_hosts(hosts, self.works_on_cluster)
        self.prefix = self._checked_prefix(prefix)
        self.group_expiry = positive("group_expiry", group_expiry)
        self.timeout = positive("timeout", timeout)
        self.validate_names = validate_names
        self.on_disconnect = on_disconnect
        self.on_reconnect = on_reconnect
        self._serializer = codec.serializer
        self._codec = codec.through(cast(Any, self)) if overrides(type(self), "serialize", "deserialize") else codec
        self._processes: dict[int, Process] = {}  # by their ids: this one, and those that it was forked from
        self._payload_alarm, self._full_alarm = Alarm(), Alarm()

    # What differs

    def _checked_prefix(self, prefix: str) -> str:
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a string, not {prefix!r}")
        try:
            prefix.encode()
        except UnicodeEncodeError:
            raise ValueError(f"prefix must be text that UTF-8 has bytes for, which {prefix!r} is not") from None
        # The mark comes first behind the prefix, so that a name in Redis tells which of two prefixes it belongs to.
        if f"{prefix}{self.group_mark}".find(self.group_mark) != len(prefix):
            raise ValueError(
                f"prefix must not contain {self.group_mark!r}, or end with the most of it: "
                f"the names of {prefix!r} would be those of another layer's groups"
            )
        return prefix

    def _head(self, process_id: str) -> str:
        """Return what the names of a process' own channels begin with."""
        raise NotImplementedError

    def _make_listener(
        self, process: Process, shard: int, commands: Commands, on_change: Callable[[bool], object]
    ) -> Listener:
        """Make what hears from a shard; `process.home` is the home until now, if it has not ended in order."""
        raise NotImplementedError

    async def _do_chores(self, process: Process) -> None:
        """Do what is due every now and then, on the home loop; for ever."""
        raise NotImplementedError

    def _farewell(self, process: Process, is_final: bool) -> Flow[None]:
        """Remove what the process has in Redis: all of it, or (not `is_final`) what ends with the home loop."""
        yield from ()

    async def _on_reconnect(self, process: Process, shard: int) -> None:
        """Put right what a restarted Redis has forgotten, on the home loop."""

    def _leave(self, process: Process, group: str) -> None:
        """Take note, on the home loop, that a group has no members here any more, unless it has new ones."""
        raise NotImplementedError

    # The process and its home

    @property
    def _process(self) -> Process:
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            # In one step, and without a lock: a fork copies one that is held, and nobody would release the copy.
            process = self._processes.setdefault(pid, self._make_process())
        return process

    def _make_process(self) -> Process:
        return Process(
            self._head,
            lambda process: LocalChannels(
                self.get_capacity,
                self.expiry,
                self.group_expiry,
                process.attached_prefix,
                time.monotonic,
                partial(self._on_empty, process),
                self.full_level,
            ),
            [BlockingCommands(host, self.timeout) for host in self.hosts],
            self.expiry,
        )

    def _ensure_home(self) -> Home:
        """Return the home, made on the running event loop if there is none that lives."""
        process = self._process
        with process.lock:
            old = process.home
            if old is not None and old.is_alive:
                return old
            _require_asyncio()
            process.joined.clear()  # what another loop had joined it may not have renewed since
            commands = [Commands(host, self.timeout) for host in self.hosts]
            home = process.home = Home(
                commands,
                [
                    self._make_listener(process, shard, commands[shard], partial(self._on_change, process, shard))
                    for shard in range(len(self.hosts))
                ],
                [partial(self._do_chores, process)],
                partial(self._say_farewell, process, commands),
                partial(self._on_home_end, process),
                process.tasks,
                self.timeout,
            )
            if old is not None:
                old.replace()
                if not old.loop.is_closed() and any(listener.takes_alone for listener in old.listeners):
                    process.replaced.add(old)
            if process.loops_beside(None):  # what has come since the last home ended may be lost to them
                self._announce_home(process, home)
            return home

    def _has_home(self) -> bool:
        """Whether the process hears from Redis, now or when a loop that has stopped runs again."""
        home = self._process.home
        return home is not None and not home.loop.is_closed()

    async def _at_home(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function on the home loop, or on the next ones if that ends meanwhile, for a bounded time.

        Raises:
            redis.exceptions.RedisError: what it raises, and as `Home.call()`.
        """
        deadline = time.monotonic() + self.timeout
        while True:
            home = self._ensure_home()
            try:
                return await home.call(function, *args)
            except ConnectionError as error:
                has_ended = isinstance(error, HomeEnded) or not home.is_alive
                if not has_ended or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0)  # else loops that come and go could keep this one from all else

    async def _say_farewell(self, process: Process, commands: list[Commands], is_final: bool) -> None:
        if not is_final and (process.home_elsewhere or process.loops_beside(asyncio.get_running_loop())):
            return  # another loop takes over, or has
        await _answered(self._farewell(process, is_final), lambda shard, batch: commands[shard].run(batch))
        if (home := process.home_elsewhere) is not None:  # what it has written meanwhile may have been removed here
            home.call_soon(self._announce_home, process, home)

    def _on_home_end(self, process: Process, home: Home) -> None:
        with process.lock:
            process.replaced.discard(home)
            if process.home is not home:
                return  # it was closed, or replaced
            process.home = None
        for loop in process.loops_beside(home.loop):  # all of them: whichever is first may be about to end too
            with contextlib.suppress(RuntimeError):  # that one has been closed meanwhile
                call_soon(loop, self._ensure_home)

    def _announce_home(self, process: Process, home: Home) -> None:
        """Have the receivers told, once all listeners of a home listen, that they may have missed messages."""
        process.spawn(self._announce_return(process, range(len(self.hosts)), home))

    def _on_empty(self, process: Process, group: str) -> None:
        home = process.home
        if home is not None:
            home.call_soon(self._leave_at_home, process, group)

    def _leave_at_home(self, process: Process, group: str) -> None:
        if process.home_here is not None:
            self._leave(process, group)
        elif (home := process.home_elsewhere) is not None:  # it has taken over meanwhile
            home.call_soon(self._leave_at_home, process, group)

    # Round trips, which share one deadline

    async def _run(self, flow: Flow[T], timeout: float | None = None) -> T:
        replies, deadline = None, time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            while True:
                replies = await self._ask(flow.send(cast(Any, replies)), deadline)
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            flow.close()

    async def _ask(self, requests: list[Request], deadline: float) -> list[list[Any]]:
        process = self._process
        home = process.home
        if home is None or not home.is_here or not home.is_alive:
            loop = _require_asyncio()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):  # the wait for a free thread included
                    return await loop.run_in_executor(process.threads, self._ask_blocking, requests, deadline)
            except builtins.TimeoutError:
                where = ", ".join(str(self.hosts[shard]) for shard, _ in requests)
                raise TimeoutError(f"Redis at {where} did not answer within {self.timeout:g} s") from None
        if len(requests) == 1:
            [(shard, commands)] = requests
            return [await home.run(shard, commands, deadline)]
        return await asyncio.gather(*(home.run(shard, commands, deadline) for shard, commands in requests))

    def _run_blocking(self, flow: Flow[T]) -> T:
        replies, deadline = None, time.monotonic() + self.timeout
        try:
            while True:
                replies = self._ask_blocking(flow.send(cast(Any, replies)), deadline)
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            flow.close()

    def _ask_blocking(self, requests: list[Request], deadline: float) -> list[list[Any]]:
        blocking = self._process.blocking
        return [blocking[shard].run(commands, deadline) for shard, commands in requests]

    # Faults

    def _on_change(self, process: Process, shard: int, is_up: bool) -> None:
        if is_up:
            process.spawn(self._announce_return(process, [shard]))
        else:
            self._announce(process, "on_disconnect", self.on_disconnect)

    async def _announce_return(self, process: Process, shards: Iterable[int], home: Home | None = None) -> None:
        try:
            await asyncio.gather(*(self._return_to(process, shard, home) for shard in shards))
        finally:
            process.local.tell_attached(GAP)
            if home is None:
                self._announce(process, "on_reconnect", self.on_reconnect)

    async def _return_to(self, process: Process, shard: int, home: Home | None) -> None:
        try:
            if home is not None:
                await home.listeners[shard].until_up()
            # What has cut one connection may have left the other dead without a sign.
            await process.require_home().commands[shard].probe(PROBE_PATIENCE)
            await self._on_reconnect(process, shard)
        except HomeEnded:
            pass  # the next home sees to it
        except RedisError as error:
            if home is None or home.is_alive:
                logger.warning("Redis: %s", error)

    def _announce(self, process: Process, what: str, event: Event) -> None:
        if isinstance(event, str):
            process.local.tell_attached({"type": event})
        elif event is not None:
            try:
                result = event()
            except Exception:
                _log_failure(what, event)
                return
            if inspect.isawaitable(result):
                process.spawn(_see_through(result, what, event))


async def _answered(flow: Flow[T], run: Callable[[int, list[Command]], Awaitable[list[Any]]]) -> T:
    """Have the requests of a flow answered by a function, one after the other."""
    replies: Any = None
    try:
        while True:
            replies = [await run(shard, commands) for shard, commands in flow.send(replies)]
    except StopIteration as stop:
        return cast(T, stop.value)
    finally:
        flow.close()


async def _see_through(result: Awaitable[object], what: str, event: Callable[[], object]) -> None:
    try:
        await result
    except Exception:
        _log_failure(what, event)


def _log_failure(what: str, event: Callable[[], object]) -> None:
    logger.exception("Redis: %s failed: %s", what, getattr(event, "__qualname__", repr(event)))


def _require_asyncio() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "A Redis channel layer needs a running asyncio event loop: redis-py knows no other, such as trio's. "
            "Without any, use send_sync() and group_send_sync()"
        ) from None
