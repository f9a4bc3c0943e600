"""The event loop that a Redis layer lives on: the one owner of its connections.

    a receiver is attached ──► running: a task on that loop; per shard a receiver, and a connection for commands
                                  │
      the loop cancels its tasks ─┤► ending: what has come is taken; the groups of what ends with the loop are left
      the loop is to be closed ───┤► ending, the same
      the layer is closed ────────┤► ending: all groups are left, nothing stays in Redis
      another loop took over ─────┘► ending: only what a pop has taken is delivered
                                  │
                                  ▼
                                ended: connections are closed, who waits is told; `Owners` finds another loop

A sender on another loop, in a thread or without any uses connections that belong to no loop (`BlockingCommands`).
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import ConnectionError, TimeoutError

from .commands import Commands
from .exchange import Receiver
from .loop_close import before_close
from .pipelined import FAILURES, Command

logger = logging.getLogger("consumers.layers")

T = TypeVar("T")

CLEAN_UP_TIMEOUT = 1.0
"""Seconds that the end may take to remove what the process has in Redis."""

LOOK_INTERVAL = 0.1
"""Seconds between two looks, while another loop waits for the owner loop, whether that still runs."""

JOB_PAUSE = 1.0
"""Seconds after which a background job that failed is started again."""

ENDED = "The event loop that the Redis layer lived on has ended"


class OwnerLoopEnded(ConnectionError):
    """The event loop that the layer lived on has ended."""


class OwnerLoop:
    """Runs a layer's receivers on the event loop that is running now, until `close()` or the loop's end.

    Args:
        commands: one per shard.
        receivers: one per shard.
        job: the background job: a function that runs for ever.
        clean_up: removes from Redis what the process has there: all of it if its argument is True, else what ends with
            the loop.
        on_end: told when it has ended, whatever ended it; plain.
        beside: what the layer has running; of that, what is on this loop is cancelled before the loop is closed.
        timeout: seconds that other loops wait for this one, beyond what they wait for.
    """

    def __init__(
        self,
        commands: Sequence[Commands],
        receivers: Sequence[Receiver],
        job: Callable[[], Coroutine[Any, Any, None]],
        clean_up: Callable[[bool], Awaitable[None]],
        on_end: Callable[["OwnerLoop"], object],
        beside: Iterable["asyncio.Future[Any]"],
        timeout: float,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.commands = commands
        self.receivers = receivers
        self._job = job
        self._clean_up = clean_up
        self._on_end = on_end
        self._beside = beside
        self._timeout = timeout
        self._ended = False
        self._is_final = False
        self._is_being_cancelled = False
        self._calls: set[asyncio.Task[Any]] = set()
        self._stay_open = before_close(self.loop, self._end_with_loop)
        self._closing: asyncio.Event = asyncio.Event()
        # The context is empty: what a first sender has in its variables must not live on here.
        self._task = self.loop.create_task(self._run(), name="consumers.layers.redis", context=Context())

    @property
    def is_alive(self) -> bool:
        """Whether it runs: a loop that has been stopped or closed in between runs nothing."""
        is_ending = self._ended or self._is_being_cancelled or self._task.cancelling() or self._task.done()
        return not is_ending and self.loop.is_running()

    @property
    def is_here(self) -> bool:
        """Whether the calling code runs on its loop."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    @property
    def may_go_on(self) -> bool:
        """Whether it may do something while the calling code waits: not if its loop stands still in this thread."""
        return self.loop.is_running() or self._thread != threading.get_ident()

    async def until_ready(self) -> None:
        """Wait until everything arrives from every shard.

        Raises:
            redis.exceptions.ConnectionError: if it does not in time.
        """
        await self.call(self._until_all_up)

    async def until_one_is_ready(self) -> None:
        """Wait, on this loop, until everything arrives from one of the shards.

        Raises:
            redis.exceptions.ConnectionError: if it does from none in time.
        """
        if any(receiver.connection.is_up for receiver in self.receivers):
            return
        tasks = [asyncio.create_task(receiver.connection.until_up()) for receiver in self.receivers]
        try:
            for number, first in enumerate(asyncio.as_completed(tasks), 1):
                try:
                    await first
                    return
                except ConnectionError:
                    if number == len(tasks):
                        raise
        finally:
            for task in tasks:
                task.cancel()

    async def run(self, shard: int, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Execute commands at a shard, on this loop; not before its receiver has received once.

        What the process sends is to arrive at its own receivers too.

        Args:
            shard: its index.
            commands: see `Commands.run()`.
            deadline: see `Commands.run()`.

        Raises:
            redis.exceptions.RedisError: as `Commands.run()`.
        """
        connection = self.receivers[shard].connection
        if not connection.has_been_up:
            await connection.until_up(deadline)
        return await self.commands[shard].run(commands, deadline)

    async def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function, which has a deadline of its own, on its loop, from whichever loop.

        Raises:
            redis.exceptions.TimeoutError: if that loop is too busy for it.
            OwnerLoopEnded: if that loop has ended meanwhile.
        """
        if self.is_here:
            return await function(*args)
        outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self.call_soon(self._start, outcome, function, args)
        future, deadline = asyncio.wrap_future(outcome), time.monotonic() + 2 * self._timeout
        try:
            while not future.done():
                await asyncio.wait([future], timeout=LOOK_INTERVAL)
                if not future.done() and not self.loop.is_running():
                    raise OwnerLoopEnded(ENDED)
                if not future.done() and time.monotonic() > deadline:
                    raise TimeoutError("The event loop that the Redis layer lives on is too busy to answer")
        finally:
            future.cancel()
        return future.result()

    def _start(
        self,
        outcome: concurrent.futures.Future[T],
        function: Callable[..., Coroutine[Any, Any, T]],
        args: tuple[Any, ...],
    ) -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        if self._ended:  # nobody would wait for the task any more
            outcome.set_exception(OwnerLoopEnded(ENDED))
        else:
            task = self.loop.create_task(function(*args))
            self._calls.add(task)
            task.add_done_callback(partial(self._finish, outcome))

    def _finish(self, outcome: concurrent.futures.Future[T], task: asyncio.Task[T]) -> None:
        self._calls.discard(task)
        if task.cancelled():  # by its loop, whose end is not to look like a cancellation of the caller
            self._is_being_cancelled = True
            outcome.set_exception(OwnerLoopEnded(ENDED))
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())

    async def _until_all_up(self) -> None:
        await asyncio.gather(*(receiver.connection.until_up() for receiver in self.receivers))

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have its loop call a function; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(function, *args, context=Context())

    async def close(self) -> bool:
        """End it, have it remove all that the process has in Redis, and wait for that, for a bounded time.

        Returns:
            Whether it could: a loop that does not run does nothing.
        """
        if self.is_here:
            return await self.end(is_final=True)
        if self.is_alive:
            with contextlib.suppress(OwnerLoopEnded):
                return await self.call(self.end, True)
        else:
            self.replace()  # should its loop run again
        return False

    def replace(self) -> None:
        """Have it end soon, as another loop has taken over."""
        self._ended = True
        self.call_soon(self._closing.set)

    async def end(self, is_final: bool = False) -> bool:
        """End it, on its own loop, as the end of that would; or with `is_final` as `close()`, and return likewise."""
        can_clean_up = not self._ended and not self._task.done()
        self._is_final |= is_final
        if (task := asyncio.current_task()) is not None:
            self._calls.discard(task)  # those are cancelled by what is awaited below
        self._closing.set()
        await asyncio.wait([self._task], timeout=2 * CLEAN_UP_TIMEOUT + 2)
        return can_clean_up

    async def _end_with_loop(self) -> None:
        """Leave nothing behind on a loop that is about to be closed."""
        await self.end()
        await self._release()  # for a task that was cancelled before it began
        while running := self._running_here():  # again, for what some of it starts at its end
            await _cancel_all(running)

    def _running_here(self) -> "list[asyncio.Future[Any]]":
        beside = list(self._beside)  # in one step, as other loops' threads add to it
        return [future for future in beside if future.get_loop() is self.loop and not future.done()]

    async def _run(self) -> None:
        running = [asyncio.create_task(receiver.run()) for receiver in self.receivers]
        running.append(asyncio.create_task(_work(self._job)))
        try:
            await self._closing.wait()
        finally:
            # Here after the loop's own cancellation too, which has cancelled every task there was: what is awaited
            # below are new ones.
            was_replaced, self._ended = self._ended, True
            try:
                await _cancel(running)
                with contextlib.suppress(*FAILURES):
                    async with asyncio.timeout(CLEAN_UP_TIMEOUT):
                        # What a pop has taken reaches nobody else; what is published reaches the next owner too.
                        last = [each for each in self.receivers if each.takes_alone or not was_replaced]
                        await asyncio.gather(*map(_finish, last))
                        if not was_replaced:
                            await self._clean_up(self._is_final)
            finally:
                await self._release()
                if not self._task.cancelling():  # else by its loop, on which more may be started until it is closed
                    self._stay_open()

    async def _release(self) -> None:
        self._ended = True
        for receiver in self.receivers:
            await receiver.connection.hang_up()
            receiver.end()
        for commands in self.commands:
            await commands.close()
        self._on_end(self)
        await _cancel_all(self._calls)  # their callers ask the next owner loop


async def _finish(receiver: Receiver) -> None:
    """Have a receiver take what has come after all, when its task has been cancelled."""
    pipelined = receiver.connection.pipelined
    if pipelined is not None and pipelined.is_open:
        pipelined.resume()
        with contextlib.suppress(*FAILURES):
            await receiver.take_the_rest(pipelined)


async def _cancel_all(futures: "Iterable[asyncio.Future[Any]]") -> None:
    """Cancel what is running, and wait for that."""
    running = list(futures)
    for future in running:
        future.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks, unless they have been, and wait for them."""
    for task in tasks:
        if not task.cancelling():  # a second time would cut short what they do at the first
            task.cancel()
    await asyncio.wait(tasks)


async def together(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs beside each other; if one fails, none goes on, as all are started again."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _cancel(tasks)


async def _work(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await job()
        except Exception:
            logger.exception("A Redis layer's background job failed and is started again")
            await asyncio.sleep(JOB_PAUSE)
