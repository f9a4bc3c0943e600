"""Which event loop owns a process' connections: the first that needs them, and when it ends the next.

          ensure()                    that loop ends
none ────────────────► an owner loop ────────────────► none, or another loop that has receivers
  ▲                         │   ▲
  │        close()          │   │  ensure() on another loop, where this one stands still: it is replaced
  └─────────────────────────┘   └─ and ends when it runs again
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis.exceptions import ConnectionError

from ..._aio.loops import call_soon
from .commands import Commands
from .gaps import Gaps
from .owner_loop import CLEAN_UP_TIMEOUT, OwnerLoop, OwnerLoopEnded
from .round_trips import answered, require_asyncio
from .settings import Settings

if TYPE_CHECKING:
    from .process import Process

T = TypeVar("T")

PUT_BACK_TIMEOUT = 0.5
"""Seconds that the end of a loop waits for what is being put back; what is not in Redis in time stays here."""

STOPPED_TIMEOUT = 0.2
"""Seconds that an owner loop is waited for which does not run."""


class Owners:
    """Knows the owner loop of one process, makes it, and finds another. From any thread, if nothing else is said.

    Args:
        process: the process.
        settings: the layer's.

    Attributes:
        lock: for `current`.
        current: the owner loop, which may have stopped or ended.
        replaced: owner loops that may not have closed their connections yet.
        gaps: told of connections that are lost and back.
    """

    def __init__(self, process: "Process[Any]", settings: Settings) -> None:
        self.lock = threading.RLock()
        self.current: OwnerLoop | None = None
        self.replaced: set[OwnerLoop] = set()
        self.gaps = Gaps(process, self, settings)
        self._process = process
        self._settings = settings

    @property
    def here(self) -> OwnerLoop | None:
        """The owner loop if it is the running one: a connection of another loop's must not be used here."""
        owner = self.current
        return owner if owner is not None and owner.is_here else None

    @property
    def elsewhere(self) -> OwnerLoop | None:
        """The owner loop if it is another one than the running."""
        owner = self.current
        return owner if owner is not None and not owner.is_here else None

    def require(self) -> OwnerLoop:
        """Return `here`.

        Raises:
            OwnerLoopEnded: if it is None: the layer was closed, or another loop has taken over.
        """
        owner = self.here
        if owner is None:
            raise OwnerLoopEnded("The Redis layer was closed, or lives on another event loop now")
        return owner

    def exists(self) -> bool:
        """Whether the process hears from Redis, now or when a loop that has stopped runs again."""
        owner = self.current
        return owner is not None and not owner.loop.is_closed()

    def ensure(self) -> OwnerLoop:
        """Return the owner loop: the running one, if there is none that lives.

        Raises:
            RuntimeError: if none of asyncio's runs.
        """
        with self.lock:
            old = self.current
            if old is not None and old.is_alive:
                return old
            require_asyncio()
            exchange, settings = self._process.exchange, self._settings
            commands = [Commands(host, settings.timeout) for host in settings.hosts]
            owner = self.current = OwnerLoop(
                commands,
                exchange.make_receivers(commands, self.gaps.on_change, None if old is None else old.receivers),
                exchange.work,
                partial(self._clean_up, commands),
                self._on_end,
                self._process.tasks,
                settings.timeout,
            )
            if old is not None:
                old.replace()
                if not old.loop.is_closed() and any(receiver.takes_alone for receiver in old.receivers):
                    self.replaced.add(old)
            if self._loops_beside(None):  # what has come since the last owner loop ended may be lost to them
                self._announce(owner)
            return owner

    def release(self) -> OwnerLoop | None:
        """Have no owner loop any more, and return what it was."""
        with self.lock:
            owner, self.current = self.current, None
        return owner

    async def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function on the owner loop, or on the next ones if that ends meanwhile, for a bounded time.

        Raises:
            redis.exceptions.RedisError: what it raises, and as `OwnerLoop.call()`.
        """
        deadline = time.monotonic() + self._settings.timeout
        while True:
            owner = self.ensure()
            try:
                return await owner.call(function, *args)
            except ConnectionError as error:
                has_ended = isinstance(error, OwnerLoopEnded) or not owner.is_alive
                if not has_ended or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0)  # else loops that come and go could keep this one from all else

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have the owner loop call a function, if there is one; whichever it is by then."""
        owner = self.current
        if owner is not None:
            owner.call_soon(self._call_here, function, args)

    def _call_here(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self.here is not None:
            function(*args)
        elif (owner := self.elsewhere) is not None:  # it has taken over meanwhile
            owner.call_soon(self._call_here, function, args)

    async def after_others(self) -> None:
        """Wait, for a bounded time, until no owner loop that was replaced takes messages or writes to Redis any more.

        One that does not run may go on within milliseconds, as in `asyncio.run()`, or never.
        """
        started = time.monotonic()
        while others := list(self.replaced):
            if not any(owner.may_go_on for owner in others):
                self.replaced.difference_update(others)
                return
            waited = time.monotonic() - started
            some_run = any(owner.loop.is_running() for owner in others)
            if waited > (CLEAN_UP_TIMEOUT if some_run else STOPPED_TIMEOUT):
                self.replaced.difference_update(others)
                return
            await asyncio.sleep(0.005)

    def _loops_beside(self, loop: object) -> list[asyncio.AbstractEventLoop]:
        """Return the event loops that have receivers and run, without this one; a stopped one takes nothing over."""
        loops = cast(set[asyncio.AbstractEventLoop], self._process.local.loops())
        return [other for other in loops if other is not loop and other.is_running()]

    async def _clean_up(self, commands: list[Commands], is_final: bool) -> None:
        exchange = self._process.exchange
        await exchange.settle(PUT_BACK_TIMEOUT)
        if not is_final and (self.elsewhere or self._loops_beside(asyncio.get_running_loop())):
            return  # another loop takes over, or has
        await answered(exchange.clean_up(is_final), lambda shard, batch: commands[shard].run(batch))
        if (owner := self.elsewhere) is not None:  # what it has written meanwhile may have been removed here
            owner.call_soon(self._announce, owner)

    def _on_end(self, owner: OwnerLoop) -> None:
        with self.lock:
            self.replaced.discard(owner)
            if self.current is not owner:
                return  # it was closed, or replaced
            self.current = None
        for loop in self._loops_beside(owner.loop):  # all of them: whichever is first may be about to end too
            with contextlib.suppress(RuntimeError):  # that one has been closed meanwhile
                call_soon(loop, self.ensure)

    def _announce(self, owner: OwnerLoop) -> None:
        """Have the consumers told, once an owner loop hears from all shards, that they may have missed messages."""
        self._process.spawn(self.gaps.announce(range(len(self._settings.hosts)), owner))
