"""The event loop that a Redis layer lives on: the one owner of its connections.

    a receiver is attached  → Home: a task on that loop → per shard: a listener, and a connection for commands
    the loop ends           → the task is cancelled     → groups are left, connections closed, another loop takes over

A sender on another loop, in a thread or without any uses connections that belong to no loop (`BlockingCommands`).
"""

import asyncio
import builtins
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any, TypeVar

from redis.exceptions import ConnectionError, TimeoutError

from .commands import Commands
from .link import FAILURES
from .listener import Listener

logger = logging.getLogger("consumers.layers")

T = TypeVar("T")

FAREWELL_TIMEOUT = 1.0
"""Seconds that the end may take to remove what the process has in Redis."""


class Home:
    """Runs a layer's listeners on the event loop that is running now, until `close()` or the loop's end.

    Args:
        commands: one per shard.
        listeners: one per shard.
        chores: more work for as long as it lasts: functions that run for ever.
        farewell: removes what the process has in Redis.
        on_end: told when it has ended, whatever ended it; plain.
        timeout: seconds that other loops wait for this one, beyond what they wait for.
    """

    def __init__(
        self,
        commands: Sequence[Commands],
        listeners: Sequence[Listener],
        chores: Sequence[Callable[[], Coroutine[Any, Any, None]]],
        farewell: Callable[[], Awaitable[None]],
        on_end: Callable[["Home"], object],
        timeout: float,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.commands = commands
        self.listeners = listeners
        self._chores = chores
        self._farewell = farewell
        self._on_end = on_end
        self._timeout = timeout
        self._ended = False
        self._is_ready = False
        self._closing: asyncio.Event = asyncio.Event()
        # The context is empty: what a first sender has in its variables must not live on here.
        self._task = self.loop.create_task(self._run(), name="consumers.layers.redis", context=Context())

    @property
    def is_alive(self) -> bool:
        """Whether it runs: a loop that has been stopped or closed in between runs nothing."""
        return not self._ended and self.loop.is_running()

    @property
    def is_here(self) -> bool:
        """Whether the calling code runs on its loop."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    @property
    def is_ready(self) -> bool:
        """Whether every listener has listened once."""
        return self._is_ready

    async def until_ready(self) -> None:
        """Wait until every listener has listened once.

        Raises:
            redis.exceptions.ConnectionError: if one does not in time.
        """
        for listener in self.listeners:
            await self.call(listener.until_up)
        self._is_ready = True

    async def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function, which has a deadline of its own, on its loop, from whichever loop.

        Raises:
            redis.exceptions.TimeoutError: if that loop is too busy for it.
            redis.exceptions.ConnectionError: if that loop has ended meanwhile.
        """
        if self.is_here:
            return await function(*args)
        future = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(*args), self.loop))
        try:
            async with asyncio.timeout(2 * self._timeout):
                await asyncio.wait([future])
        except builtins.TimeoutError:
            raise TimeoutError("The event loop that the Redis layer lives on is too busy to answer") from None
        finally:
            future.cancel()
        if future.cancelled():  # by its loop, whose end is not to look like a cancellation of the caller
            raise ConnectionError("The event loop that the Redis layer lived on has ended")
        return future.result()

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have its loop call a function; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(function, *args, context=Context())

    async def close(self) -> None:
        """End it and wait for that, for a bounded time."""
        if self.is_here:
            self._closing.set()
            await asyncio.wait([self._task], timeout=2 * FAREWELL_TIMEOUT + 2)
        elif self.is_alive:
            await self.call(self.close)

    def replace(self) -> None:
        """Have it end soon, as another loop has taken over."""
        self._ended = True
        self.call_soon(self._closing.set)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(listener.run()) for listener in self.listeners]
                running += [tasks.create_task(_do(chore)) for chore in self._chores]
                await self._closing.wait()
                for task in running:
                    task.cancel()
        except Exception:
            logger.exception("The Redis layer's receivers have failed")
        finally:
            # Here after the loop's own cancellation too, which has cancelled every task there was: what is awaited
            # below are new ones.
            was_replaced, self._ended = self._ended, True
            try:
                with contextlib.suppress(*FAILURES):
                    if not was_replaced:
                        async with asyncio.timeout(FAREWELL_TIMEOUT):
                            await self._farewell()
            finally:
                for commands in self.commands:
                    await commands.close()
                self._on_end(self)


async def _do(chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await chore()
        except Exception:
            logger.exception("A Redis layer's chore failed and is started again")
            await asyncio.sleep(1)
