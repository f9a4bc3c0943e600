"""How far a connection is, and what ends it.

OPENING ───▶ SERVING ───▶ DRAINING ───▶ CLEANING_UP ───▶ DONE
   │                         ▲
   └─────────────────────────┘ it may end before `connect()` has run

client's disconnect      ──┐ these drain: waiting messages are handled, for at most `disconnect_timeout`
the server is drained    ──┤
handler's error          ──┤
StopConsumer             ──┤
a limit was hit          ──┤ these cancel the handlers at once
close_group()            ──┤
the server's cancellation──┘
"""

import enum
import logging

import anyio

from .._aio.mailbox import Mailbox
from .close_codes import FAILED, CloseRequest
from .consumer import Consumer
from .enforce import LimitHit
from .log import ConnectionLog
from .tasks import Tasks

logger = logging.getLogger("consumers.connection")


class Phase(enum.IntEnum):
    """How far a connection is; it goes forward only."""

    OPENING = 1
    """The first message is awaited, or `connect()` runs."""
    SERVING = 2
    """Messages are handled as they come."""
    DRAINING = 3
    """Something has ended it. The layer's messages are taken no more; handlers finish, or are cancelled."""
    CLEANING_UP = 4
    """The client gets its close frame, all tasks end, and `disconnect()` runs."""
    DONE = 5
    """Nothing of it is left."""


# Looking a member up costs as much as a function call in Python 3.11.
DRAINING, CLEANING_UP, DONE = Phase.DRAINING, Phase.CLEANING_UP, Phase.DONE


class Shutdown:
    """One connection's phase, and what moves it on.

    Args:
        consumer: the consumer.
        mailbox: the connection's.
        tasks: the connection's.
        log: the connection's.

    Attributes:
        phase: how far the connection is.
        request: what has ended it: the first that asked to.
        error: what `run()` is to raise.
    """

    __slots__ = ("_consumer", "_log", "_mailbox", "_tasks", "error", "phase", "request")

    def __init__(self, consumer: Consumer, mailbox: Mailbox, tasks: Tasks, log: ConnectionLog) -> None:
        self._consumer = consumer
        self._mailbox = mailbox
        self._tasks = tasks
        self._log = log
        self.phase = Phase.OPENING
        self.request: CloseRequest | None = None
        self.error: Exception | None = None

    def opened(self) -> None:
        """Note that `connect()` has returned."""
        if self.phase is Phase.OPENING:
            self.phase = Phase.SERVING

    def begin(self, request: CloseRequest, error: Exception | None = None) -> None:
        """End the connection, or its draining: a request that does not drain cuts one short.

        Args:
            request: how; the first one's code and reason count.
            error: what `run()` is to raise; the first one counts, and others are logged.
        """
        if error is not None:
            self._add(error)
        if self.phase >= CLEANING_UP:  # nothing is left to end
            return
        if self.request is None:
            self.request = request
            self.phase = DRAINING
            self._mailbox.is_closed = True
            self._mailbox.shortcut = None
            # Without a drain the whole group is cancelled below. If its tasks were cancelled here too, anyio could lose
            # a native cancellation of the server's.
            if request.drains:
                self._tasks.cancel_background()
        # A worker that has nothing to do goes on to the clean-up at once, and needs no time for a drain.
        is_busy = self._tasks.handlers or self._mailbox.messages or not self._mailbox.is_idle
        if is_busy:
            draining = request.drains * self._consumer.disconnect_timeout
            self._tasks.expect_end(draining + self._consumer.cleanup_timeout / 2)
        if not request.drains:
            self._mailbox.is_stopped = True
            self._tasks.cancel()
        elif is_busy:
            self._tasks.scope.deadline = anyio.current_time() + self._consumer.disconnect_timeout

    def begin_by_error(self, error: Exception) -> None:
        """End because the application has failed."""
        self.begin(FAILED, error)

    def begin_by_limit(self, hit: LimitHit) -> None:
        """End because of a limit, unless something else has ended it."""
        if self.request is None:
            self.begin(CloseRequest(hit.code, hit.reason, rejects=True, limit=hit.limit))

    def clean_up(self) -> CloseRequest:
        """Go on to the clean-up, within a new scope of the worker's; return what has ended the connection."""
        assert self.request is not None
        self.phase = CLEANING_UP
        if self._tasks.is_running or self.request.is_read_on:
            self._tasks.group.cancel_scope.cancel()
        self._tasks.limit_clean_up(self._consumer.cleanup_timeout)
        return self.request

    async def wait(self) -> None:
        """Wait, as the reader, until the worker has done everything."""
        await self._tasks.wait_for_worker()

    def release(self) -> Exception | None:
        """Note that everything has ended, and let go of the consumer.

        Returns:
            The error, which this forgets: its traceback refers to much.
        """
        self.phase = DONE
        del self._consumer
        error, self.error = self.error, None
        return error

    def _add(self, error: Exception) -> None:
        self._log.annotate(error, None)
        if self.error is None:
            self.error = error
        elif self.error is not error:
            logger.error("%s: one more error while it ends", self._log, exc_info=error)
