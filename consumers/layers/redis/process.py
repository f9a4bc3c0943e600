"""What belongs to one operating system process, and a brake for its warnings."""

import asyncio
import concurrent.futures
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from .._full_mailboxes import WARNING_INTERVAL
from .._local import LocalChannels
from .commands import BlockingCommands
from .home import FAREWELL_TIMEOUT, Home, HomeEnded
from .own_queues import OwnQueues
from .put_backs import PutBacks

logger = logging.getLogger("consumers.layers")

ATTACHED = "!c."
"""What the names of consumers' channels have after their process."""

STOPPED_TIMEOUT = 0.2
"""Seconds that a home is waited for whose event loop does not run."""

THREADS = 16
"""How many commands of event loops other than the layer's home run at once."""


class Process:
    """What a layer has in one operating system process; a fork starts with none of it.

    Args:
        head: returns what the names of a process' channels begin with, given its id.
        make_local: makes its table of channels and groups.
        blocking: for each shard, commands that belong to no event loop.
        expiry: seconds until a message is dropped.
    """

    def __init__(
        self,
        head: Callable[[str], str],
        make_local: Callable[["Process"], LocalChannels],
        blocking: Sequence[BlockingCommands],
        expiry: float,
    ) -> None:
        self.lock = threading.RLock()  # for `home`
        self.id = secrets.token_hex(16)
        self.home: Home | None = None
        self._clock_lock = threading.Lock()
        self._latest = 0.0
        self.head = head(self.id)
        self.attached_prefix = self.head.removesuffix("!") + ATTACHED
        self.local = make_local(self)
        self.blocking = blocking
        self.threads = concurrent.futures.ThreadPoolExecutor(THREADS, "consumers-redis")
        self.tasks: set[asyncio.Future[Any]] = set()
        self.replaced: set[Home] = set()  # homes that may not have closed their connections yet
        # The layers' own: what a fork must not inherit either.
        self.named: dict[str, float] = {}  # pub/sub: channels that are listened to, and until when
        self.joined: dict[str, asyncio.Future[Any]] = {}  # queue: groups, and whether Redis knows
        self.in_redis: set[str] = set()  # queue: groups that Redis has had the process in, while they have members here
        self.left: set[str] = set()  # queue: groups that have no members here, and may have the process in Redis yet
        self.put_backs = PutBacks(self.threads)  # queue
        self.queues = OwnQueues(self.head, self.local, expiry)  # queue
        self.has_channels = False  # made by new_channel(): they belong to no loop, and outlive all

    @property
    def home_here(self) -> Home | None:
        """The home if it is the running event loop's: a connection of another loop's must not be used here."""
        home = self.home
        return home if home is not None and home.is_here else None

    @property
    def home_elsewhere(self) -> Home | None:
        """The home if it is another event loop's than the running one."""
        home = self.home
        return home if home is not None and not home.is_here else None

    def require_home(self) -> Home:
        """Return `home_here`.

        Raises:
            HomeEnded: if it is None: the layer was closed, or another loop has taken over.
        """
        home = self.home_here
        if home is None:
            raise HomeEnded("The Redis layer was closed, or lives on another event loop now")
        return home

    async def after_other_homes(self) -> None:
        """Wait, for a bounded time, until no home that was replaced takes messages or writes to Redis any more.

        One whose loop does not run may go on within milliseconds, as in `asyncio.run()`, or never.
        """
        started = time.monotonic()
        while others := list(self.replaced):
            if not any(home.may_go_on for home in others):
                self.replaced.difference_update(others)
                return
            waited = time.monotonic() - started
            some_run = any(home.loop.is_running() for home in others)
            if waited > (FAREWELL_TIMEOUT if some_run else STOPPED_TIMEOUT):
                self.replaced.difference_update(others)
                return
            await asyncio.sleep(0.005)

    def now(self) -> float:
        """Return the time; always a later one, as it is the order of this process' messages in a queue."""
        with self._clock_lock:
            self._latest = max(time.time(), self._latest + 1e-6)
            return self._latest

    def is_own(self, channel: str) -> bool:
        """Whether this is the name of one of this process' own channels."""
        return channel.partition("!")[0].endswith(self.id)

    def loops_beside(self, loop: object) -> list[asyncio.AbstractEventLoop]:
        """Return the event loops that have receivers and run, without this one; a stopped one takes nothing over."""
        loops = cast(set[asyncio.AbstractEventLoop], self.local.loops())
        return [other for other in loops if other is not loop and other.is_running()]

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something beside, on the home loop, whose errors it handles itself."""
        self.note(asyncio.ensure_future(work))

    def note(self, task: "asyncio.Future[Any]") -> None:
        """Take note of something that runs on the home loop, and ends with it."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Alarm:
    """Logs what was dropped, and a flood of it once per interval."""

    def __init__(self) -> None:
        self._silent_until = -math.inf
        self._unreported = 0

    def note(self, what: str) -> None:
        """Log a line, or count it for the next one."""
        self._unreported += 1
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + WARNING_INTERVAL
            count, self._unreported = self._unreported, 0
            logger.warning("Redis: %d message(s) dropped since the last such warning, the latest: %s", count, what)
