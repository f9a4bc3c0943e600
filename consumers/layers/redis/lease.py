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

from redis.exceptions import ConnectionError, ReadOnlyError, ResponseError

from ..._aio.loops import call_soon
from .control import Control
from .hosts import Host, IsCluster
from .lease_waits import Waits
from .owner_loop import ENDED, OwnerLoopEnded
from .pipelined import FAILURES, Command
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


WITHOUT = "Redis at %s: presence and counts do not work: %s"


class LeaseHolder(Protocol):
    """Whose lease it is. All of it is called on the owner loop."""

    async def run_beside(self, shard: int, commands: list[Command]) -> list[Any]:
        """Execute commands by a connection that nobody else uses."""

    async def before_begin(self, shard: int) -> None:
        """Make sure that a lease is of use at a shard.

        Raises:
            IsCluster: if it is not.
        """

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
        holder: whose it is.

    Attributes:
        incarnation: the present one; None: there is none.
        refusal: why there is none: Redis refuses what it needs.
        may_have_missed: whether something may have been missed, and nobody has looked yet.
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
        holder: LeaseHolder,
    ) -> None:
        self.incarnation: str | None = None
        self.refusal: ResponseError | IsCluster | None = None
        self.may_have_missed = False
        self._shard = shard
        self._host = host
        self._timeout = timeout
        self._seconds = seconds
        self._scripts = scripts
        self._process_id = process_id
        self._run = run
        self._holder = holder
        self._waits = Waits()
        self._keeping = 0  # calls of `keep()`: that of the owner loop, and one that may be ending
        self._is_first = True  # there was no incarnation yet that something was tracked under
        self._server: str | None = None  # which run of Redis has the incarnation
        self._renewed = 0.0  # by this process' clock
        self._timer: asyncio.TimerHandle | None = None

    async def prepare(self, *, is_needed: bool = True) -> None:
        """Wait until the process has a lease, or cannot have one.

        Args:
            is_needed: whether to wait while it cannot be connected to, too.

        Raises:
            redis.exceptions.ConnectionError: if Redis cannot be reached in time.
            OwnerLoopEnded: if the owner loop has ended meanwhile; the next one has a lease too.
        """
        if not self._keeping:  # nobody would say when it is decided
            raise OwnerLoopEnded(ENDED)
        self._on_this_loop()
        self._waits.want()
        decided = self._waits.decided
        awaited = decided if is_needed else self._waits.tried
        if not awaited.is_set():
            try:
                async with asyncio.timeout(self._timeout):
                    await awaited.wait()
            except TimeoutError:
                if is_needed:
                    raise ConnectionError(
                        f"No connection to Redis at {self._host}: it did not answer in time"
                    ) from None
        if decided.is_set() and self.incarnation is None and self.refusal is None:
            raise OwnerLoopEnded(ENDED)

    def require(self) -> str:
        """Return the incarnation.

        Raises:
            redis.exceptions.RedisError: if there is none.
        """
        if self.refusal is not None:
            raise self.refusal.with_traceback(None)
        if self.incarnation is None:
            raise ConnectionError(f"No connection to Redis at {self._host}: this process' lease has ended there")
        return self.incarnation

    def note_expired(self) -> None:
        """Take note that the present incarnation has expired."""
        self.incarnation = None
        self.beat_soon()

    def beat_soon(self) -> None:
        """Have the next beat come now."""
        if self._waits.loop is not asyncio.get_running_loop():
            return  # a timer, say, of an owner loop that was replaced
        if self.incarnation is None and self.refusal is None:
            self._waits.undecide()
        self._waits.wake.set()

    def beat_after(self, seconds: float) -> None:
        """Have a beat come after some seconds, at the latest; it tells when the next one is due."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is not None:
            if now < self._timer.when() <= now + seconds and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self.beat_soon)

    def forget(self) -> str | None:
        """Have no incarnation until it is wanted again; from any thread. Return what it was."""
        incarnation, self.incarnation, self.refusal = self.incarnation, None, None
        self._is_first = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = self._waits.loop
        if self._keeping and loop is not None and loop.is_running():  # the next owner loop has begun
            self._waits.undecide()
            call_soon(loop, self._waits.wake.set)
        else:
            self._waits.forget()
        return incarnation

    async def keep(self) -> None:
        """Keep it, for ever."""
        self._on_this_loop()
        self._waits.begin()
        decided, tried = self._waits.decided, self._waits.tried
        self._keeping += 1
        try:
            await self._waits.wanted.wait()
            while True:
                await self._keep_connected()
                await asyncio.sleep(REFUSED_RETRY)
        finally:
            self._keeping -= 1
            decided.set()  # who waits is to ask the next owner loop
            tried.set()

    async def _keep_connected(self) -> None:
        """Keep it until Redis refuses the names."""
        names = [self._scripts.base, self._scripts.own(self._process_id)]
        control = Control(self._host, self._timeout, names, self._on_change, self._on_message)
        hearing = asyncio.create_task(control.run())
        try:
            await self._beat_forever(control)
            await hearing
        except ResponseError as error:
            self._refused(error)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _beat_forever(self, control: Control) -> None:
        """Beat until the connection is over."""
        while True:
            try:
                await control.connection.until_up()
                pause = await self._beat()
            except OwnerLoopEnded:
                return
            except (ResponseError, IsCluster) as error:
                self._refused(error)
                pause = REFUSED_RETRY
            except FAILURES:
                pause = RETRY
                self._look_for_end()
            if control.connection.is_over:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._waits.wake.wait()
            self._waits.wake.clear()

    async def _beat(self) -> float:
        """Renew the lease, or begin one; let go of what others have left. Return the seconds until the next beat."""
        before = None
        if self.incarnation is not None and self.may_have_missed and await self._is_another_server():
            before = self.incarnation  # what Redis has of it may be older than it knew before
            self._end()
        is_new = self.incarnation is None
        if is_new:
            await self._holder.before_begin(self._shard)
            await self._is_another_server()
        incarnation = self.incarnation or f"{self._process_id}.{secrets.token_hex(4)}"
        beat = await self._beat_once(incarnation, is_new)
        if not beat.lives:
            self.note_expired()
            return 0.0
        self.incarnation, self.refusal = incarnation, None
        await self._while_alive(incarnation, self._work(is_new, before, beat.expired))
        pause = self._seconds / 3
        if beat.pause is not None and not beat.expired:
            pause = min(pause, beat.pause and beat.pause + random.uniform(0, JITTER))  # 0: there is more to do now
        return max(SHORTEST_PAUSE, pause)

    async def _work(self, is_new: bool, before: str | None, expired: list[str]) -> None:
        """Do what is due with a beat."""
        if is_new:
            await self._begin()
        if before is not None:
            await self._run(self._shard, [self._scripts.end(before, 0, False)])
        if self.may_have_missed:
            await self._look_back()
        self._waits.decide()
        for incarnation in expired if before is None else [*expired, before]:
            await self._reap(incarnation)
        await self._holder.on_beat(self._shard)

    async def _look_back(self) -> None:
        self.may_have_missed = False  # first: the connection may be lost again meanwhile
        try:
            await self._holder.on_return(self._shard)
        except BaseException:
            self.may_have_missed = True
            raise

    async def _while_alive(self, incarnation: str, work: Coroutine[Any, Any, None]) -> None:
        """Do something that may take longer than the lease lasts, which is renewed meanwhile."""
        doing = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([doing], timeout=self._seconds / 3))[0]:
                if not (await self._beat_once(incarnation, False)).lives:
                    self.note_expired()
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
            self._end()
            self._holder.on_lost(self._shard)

    def _end(self) -> None:
        """Have no incarnation until the next begins; who needs one waits for that."""
        self.incarnation = None
        self._waits.reopen()

    async def _begin(self) -> None:
        try:
            await self._holder.on_begin(self._shard, self._is_first)
        except BaseException:
            self._end()  # the next one has all its channels
            raise
        self._is_first = False

    async def _reap(self, expired: str) -> None:
        """Let go of what an incarnation has left."""
        has_more = True
        while has_more:
            [has_more] = await self._run(self._shard, [self._scripts.reap(expired)])

    async def _beat_once(self, incarnation: str, is_new: bool) -> Beat:
        # Redis' answer that it is read-only ends a connection, and what others wait for there.
        run = self._holder.run_beside if isinstance(self.refusal, ReadOnlyError) else self._run
        started = time.monotonic()
        [reply] = await run(self._shard, [self._scripts.beat(incarnation, self._seconds, is_new)])
        self._renewed = started
        return beat_of(reply)

    def _refused(self, error: ResponseError | IsCluster) -> None:
        if self.refusal is None:
            logger.info(WITHOUT, self._host, error)
        self.refusal = error
        self._waits.decide()

    def _on_this_loop(self) -> None:
        """Wait on the running loop: the owner loop may be another than before."""
        if self._waits.on_this_loop():
            self.may_have_missed, self._timer = self.incarnation is not None, None

    def _on_change(self, is_up: bool) -> None:
        self.may_have_missed = True
        if is_up:
            self._waits.wake.set()
        elif self.incarnation is None and not self._waits.tried.is_set():  # who joins need not wait
            logger.info(WITHOUT, self._host, "there is no connection for them yet")
            self._waits.tried.set()

    def _on_message(self, name: str, payload: bytes) -> None:
        if name != self._scripts.base:
            self._holder.on_question(self._shard, payload)
        elif (seconds := self._holder.on_message(self._shard, payload)) is not None:
            self.beat_after(seconds)
