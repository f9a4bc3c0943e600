"""What is asked of Redis, one round trip after the other, told apart from how: it is awaited, or blocks."""

import asyncio
import builtins
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis.exceptions import TimeoutError

from .commands import BlockingCommands, as_pattern
from .pipelined import Command

if TYPE_CHECKING:
    from .owners import Owners
    from .settings import Settings

T = TypeVar("T")

Request = tuple[int, list[Command]]
"""A shard's index and commands for it."""

Flow = Generator[list[Request], list[list[Any]], T]
"""Yields what to ask at once; is sent the replies."""

Run = Callable[[int, list[Command]], Awaitable[list[Any]]]
"""Executes commands at the shard of an index."""

THREADS = 16
"""How many commands of event loops other than the owner loop run at once."""


class RoundTrips:
    """Runs flows for one process: over the owner loop's connections there, elsewhere over those that belong to no loop.

    Args:
        settings: the layer's.
        owners: know the owner loop.

    Attributes:
        threads: in which what blocks is run for event loops.
    """

    def __init__(self, settings: "Settings", owners: "Owners") -> None:
        self.threads = ThreadPoolExecutor(THREADS, "consumers-redis")
        self._hosts = settings.hosts
        self._timeout = settings.timeout
        self._owners = owners
        self._blocking = [BlockingCommands(host, settings.timeout) for host in settings.hosts]

    async def run(self, flow: Flow[T], timeout: float | None = None, *, blocks: bool = False) -> T:
        """Run a flow to its end; all its round trips share one deadline.

        Args:
            flow: the flow.
            timeout: seconds that it may take; default: the layer's.
            blocks: whether it has commands that Redis answers late, so that no others may wait for them.

        Raises:
            redis.exceptions.RedisError: if Redis cannot be reached, refuses, or does not answer in time.
        """
        replies: Any = None
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        try:
            while True:
                requests = flow.send(replies)
                owner = self._owners.current
                if blocks or owner is None or owner.loop is not asyncio._get_running_loop() or not owner.is_alive:
                    replies = await self._ask_in_thread(requests, deadline)
                elif len(requests) == 1:
                    [(shard, commands)] = requests
                    replies = [await owner.run(shard, commands, deadline)]
                else:
                    asked = (owner.run(shard, commands, deadline) for shard, commands in requests)
                    replies = await asyncio.gather(*asked)
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            flow.close()

    def run_blocking(self, flow: Flow[T]) -> T:
        """Run a flow without an event loop, otherwise as `run()`: blocks."""
        replies: Any = None
        deadline = time.monotonic() + self._timeout
        try:
            while True:
                replies = self._ask_blocking(flow.send(replies), deadline)
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            flow.close()

    def close_idle(self) -> None:
        """Close the connections of no loop that nobody uses now."""
        for commands in self._blocking:
            commands.close()

    async def _ask_in_thread(self, requests: list[Request], deadline: float) -> list[list[Any]]:
        loop = require_asyncio()
        try:
            async with asyncio.timeout(deadline - time.monotonic()):  # the wait for a free thread included
                return await loop.run_in_executor(self.threads, self._ask_blocking, requests, deadline)
        except builtins.TimeoutError:
            where = ", ".join(str(self._hosts[shard]) for shard, _ in requests)
            raise TimeoutError(f"Redis at {where} did not answer within {self._timeout:g} s") from None

    def _ask_blocking(self, requests: list[Request], deadline: float) -> list[list[Any]]:
        return [self._blocking[shard].run(commands, deadline) for shard, commands in requests]


async def answered(flow: Flow[T], run: Run) -> T:
    """Have the requests of a flow answered by a function, one after the other."""
    replies: Any = None
    try:
        while True:
            replies = [await run(shard, commands) for shard, commands in flow.send(replies)]
    except StopIteration as stop:
        return cast(T, stop.value)
    finally:
        flow.close()


def deleting(prefix: str, shards: int) -> Flow[None]:
    """Delete all keys that begin with a prefix.

    Args:
        prefix: the prefix.
        shards: at how many shards.
    """
    pattern = as_pattern(prefix) + "*"
    for shard in range(shards):
        cursor: Any = 0
        while True:
            [[(cursor, keys)]] = yield [(shard, [("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)])]
            if keys:
                yield [(shard, [("UNLINK", *keys)])]
            if not int(cursor):
                break


def require_asyncio() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        RuntimeError: if none of asyncio's runs.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "A Redis channel layer needs a running asyncio event loop: redis-py knows no other, such as trio's. "
            "Without any, use send_sync() and group_send_sync()"
        ) from None
