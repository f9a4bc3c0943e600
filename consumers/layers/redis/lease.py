"""A process' sign of life at one shard: while it is renewed, others take the process' channels for alive.

    not wanted ──somebody joins or is tracked──▶ connecting ──both names are heard──▶ beating: it has an incarnation
                                                     ▲                                  │   │
                                                     └──────the connection is lost──────┘   │ the lease has ended,
                                                                                            ▼ or Redis has lost it
                                                                               another incarnation begins: all is
                                                                               tracked again

Every process looks after the leases of the others too, and lets go of what one has left behind that has ended.
"""

import asyncio
import contextlib
import logging
import random
import re
import secrets
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from redis.exceptions import ConnectionError, RedisError, ResponseError

from .commands import CLOSED
from .control import Control
from .hosts import Host
from .owner_loop import OwnerLoopEnded
from .pipelined import FAILURES
from .presence_scripts import Beat, PresenceScripts, beat_of
from .round_trips import Run

logger = logging.getLogger("consumers.layers")

JITTER = 0.2
"""Seconds by which processes look at different times for what has ended."""

SHORTEST_PAUSE = 0.01
"""Seconds between two beats, at least."""

RETRY = 1.0
"""Seconds until a beat is tried again that has failed."""

REFUSED_RETRY = 10.0
"""Seconds until one is tried again that Redis has refused."""


class Keeper(Protocol):
    """Whose lease it is. All of it is called on the owner loop."""

    async def on_begin(self, shard: int, is_first: bool) -> None:
        """Track all channels of the process at a shard under its new incarnation; what was before is lost, if any."""

    def on_lost(self, shard: int) -> None:
        """Take note that the others let go of all that the process has at a shard."""

    async def on_return(self, shard: int) -> None:
        """Find out what has changed at a shard that could not be heard for a while."""

    async def on_beat(self, shard: int) -> None:
        """Try again what has failed at a shard."""

    def on_message(self, shard: int, payload: bytes) -> float | None:
        """Take what all processes are told; return the seconds after which to look for leases that have ended."""

    def on_question(self, shard: int, payload: bytes) -> None:
        """Take what this process is asked."""


class Lease:
    """Keeps the lease. On the owner loop, if nothing else is said.

    Args:
        shard: the shard's index.
        host: the shard.
        timeout: seconds that Redis has for an answer.
        seconds: how long a lease lasts.
        scripts: the layer's.
        process_id: the process'.
        run: executes commands at a shard.
        keeper: whose it is.

    Attributes:
        incarnation: the present one; None: there is none.
        refusal: why there is none: Redis refuses what it needs.
        was_away: whether something may have been missed, and nobody has looked yet.
    """

    def __init__(
        self,
        shard: int,
        host: Host,
        timeout: float,
        seconds: float,
        scripts: PresenceScripts,
        process_id: str,
        run: Run,
        keeper: Keeper,
    ) -> None:
        self.incarnation: str | None = None
        self.refusal: RedisError | None = None
        self.was_away = False
        self._shard = shard
        self._host = host
        self._timeout = timeout
        self._seconds = seconds
        self._scripts = scripts
        self._process_id = process_id
        self._run = run
        self._keeper = keeper
        self._is_wanted = False
        self._is_first = True  # there was no incarnation yet that something was tracked under
        self._server: str | None = None  # which run of Redis has the incarnation
        self._renewed = 0.0  # by this process' clock
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = self._decided = self._wake = asyncio.Event()

    async def prepare(self) -> None:
        """Wait until the process has a lease, or cannot have one.

        Raises:
            redis.exceptions.ConnectionError: if Redis cannot be reached in time.
        """
        self._on_this_loop()
        if self._decided.is_set():
            return
        self._is_wanted = True
        self._wanted.set()
        decided = self._decided
        try:
            async with asyncio.timeout(self._timeout):
                await decided.wait()
        except TimeoutError:
            raise ConnectionError(f"No connection to Redis at {self._host}: it did not answer in time") from None
        if decided is not self._decided:
            raise OwnerLoopEnded(f"No connection to Redis at {self._host}: {CLOSED}")

    def require(self) -> str:
        """Return the incarnation.

        Raises:
            redis.exceptions.RedisError: if there is none.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.incarnation is None:
            raise ConnectionError(f"No connection to Redis at {self._host}: this process' lease has ended there")
        return self.incarnation

    def expired(self) -> None:
        """Take note that the present incarnation has expired."""
        self.incarnation = None
        self.beat_soon()

    def beat_soon(self) -> None:
        """Have the next beat come now."""
        self._on_this_loop()
        if self.incarnation is None and self.refusal is None:
            self._decided.clear()
        self._wake.set()

    def beat_after(self, seconds: float) -> None:
        """Have a beat come after some seconds, at the latest; it tells when the next one is due."""
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.cancelled() or self._timer.when() <= loop.time():
            self._timer = loop.call_later(seconds, self.beat_soon)

    def forget(self) -> str | None:
        """Have no incarnation, and no connection, until it is wanted again; from any thread. Return what it was."""
        incarnation, self.incarnation = self.incarnation, None
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._decided.set)
        self._is_wanted, self.refusal, self._loop, self._timer = False, None, None, None
        self._is_first = True
        self._wanted = self._decided = self._wake = asyncio.Event()
        return incarnation

    async def keep(self) -> None:
        """Keep it, for ever."""
        self._on_this_loop()
        await self._wanted.wait()
        while True:
            try:
                await self._keep_connected()
            except ResponseError as error:
                self._refused(error)
                await asyncio.sleep(REFUSED_RETRY)

    async def _keep_connected(self) -> None:
        """Keep it for as long as Redis lets the process hear.

        Raises:
            redis.exceptions.ResponseError: if Redis does not.
        """
        names = [self._scripts.base, self._scripts.own(self._process_id)]
        control = Control(self._host, self._timeout, names, self._on_change, self._on_message)
        hearing = asyncio.create_task(control.run())
        try:
            await self._beat_forever(control)
            await hearing
        finally:
            hearing.cancel()
            await asyncio.wait([hearing])

    async def _beat_forever(self, control: Control) -> None:
        """Beat until the connection is over."""
        while not control.connection.is_over:
            try:
                await control.connection.until_up()
                pause = await self._beat()
            except OwnerLoopEnded:
                return
            except ResponseError as error:
                self._refused(error)
                pause = REFUSED_RETRY
            except FAILURES:
                pause = RETRY
                self._look_for_end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

    async def _beat(self) -> float:
        """Renew the lease, or begin one; let go of what others have left. Return the seconds until the next beat."""
        before = None
        if self.incarnation is not None and self.was_away and await self._is_another_server():
            before, self.incarnation = self.incarnation, None  # what Redis has of it may be older than it knew before
        is_new = self.incarnation is None
        if is_new:
            await self._is_another_server()
        incarnation = self.incarnation or f"{self._process_id}.{secrets.token_hex(4)}"
        beat = await self._beat_once(incarnation, is_new)
        if not beat.lives:
            self.expired()
            return 0.0
        self.incarnation, self.refusal = incarnation, None
        await self._while_alive(incarnation, self._work(is_new, before, beat.expired))
        pause = self._seconds / 3
        if beat.pause is not None and not beat.expired:
            pause = min(pause, beat.pause + random.uniform(0, JITTER))
        return max(SHORTEST_PAUSE, pause)

    async def _work(self, is_new: bool, before: str | None, expired: list[str]) -> None:
        """Do what is due with a beat."""
        if is_new:
            await self._begin()
        if before is not None:
            await self._run(self._shard, [self._scripts.end(before, 0, False)])
        if self.was_away:
            self.was_away = False
            await self._keeper.on_return(self._shard)
        self._decided.set()
        for incarnation in expired if before is None else [*expired, before]:
            await self._reap(incarnation)
        await self._keeper.on_beat(self._shard)

    async def _while_alive(self, incarnation: str, work: Coroutine[Any, Any, None]) -> None:
        """Do something that may take longer than the lease lasts, which is renewed meanwhile."""
        doing = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([doing], timeout=self._seconds / 3))[0]:
                if not (await self._beat_once(incarnation, False)).lives:
                    self.expired()
                    return
        finally:
            doing.cancel()
            await asyncio.wait([doing])
        doing.result()

    async def _is_another_server(self) -> bool:
        """Ask which run of Redis this is; return whether it may be another one than before."""
        try:
            [reply] = await self._run(self._shard, [("INFO", "server")])
        except ResponseError:  # the layer's user may not ask
            server = None
        else:
            found = re.search(rb"run_id:(\w+)", reply)
            server = found and found[1].decode()
        before, self._server = self._server, server
        return server is None or server != before

    def _look_for_end(self) -> None:
        """Take note of the end of a lease that could not be renewed."""
        if time.monotonic() - self._renewed > self._seconds:
            self.incarnation = None
            self._keeper.on_lost(self._shard)

    async def _begin(self) -> None:
        try:
            await self._keeper.on_begin(self._shard, self._is_first)
        except BaseException:
            self.incarnation = None  # the next one has all its channels
            raise
        self._is_first = False

    async def _reap(self, expired: str) -> None:
        """Let go of what an incarnation has left."""
        has_more = True
        while has_more:
            [has_more] = await self._run(self._shard, [self._scripts.reap(expired)])

    async def _beat_once(self, incarnation: str, is_new: bool) -> Beat:
        started = time.monotonic()
        [reply] = await self._run(self._shard, [self._scripts.beat(incarnation, self._seconds, is_new)])
        self._renewed = started
        return beat_of(reply)

    def _refused(self, error: ResponseError) -> None:
        if self.refusal is None:
            logger.info("Redis at %s refuses what presence and counts need: %s", self._host, error)
        self.refusal = error
        self._decided.set()

    def _on_this_loop(self) -> None:
        """Have events of the running loop: the owner loop may be another than before."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self.was_away = self.incarnation is not None
        self._loop, self._timer = loop, None
        self._wanted, self._decided, self._wake = asyncio.Event(), asyncio.Event(), asyncio.Event()
        if self._is_wanted:
            self._wanted.set()

    def _on_change(self, is_up: bool) -> None:
        self.was_away = True
        if is_up:
            self._wake.set()

    def _on_message(self, name: str, payload: bytes) -> None:
        if name != self._scripts.base:
            self._keeper.on_question(self._shard, payload)
        elif (seconds := self._keeper.on_message(self._shard, payload)) is not None:
            self.beat_after(seconds)
