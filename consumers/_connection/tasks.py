"""What runs for one connection: its worker, handlers beside it, and background tasks."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .._aio import cancel
from .._aio.mailbox import Mailbox
from .log import ConnectionLog


class Tasks:
    """The tasks of one connection, all in its one task group.

    Args:
        mailbox: the connection's, which the worker waits for.
        log: the connection's.

    Attributes:
        group: the task group; its host is the server's task, which reads.
        scope: the shielded scope that the worker is in. If that was cancelled, the clean-up gets another.
        server: the server's task, on asyncio.
        handlers: how many handlers run beside the worker, or are about to.
        own_tasks: on asyncio, the worker, and what it has started; what they start in task groups need not be here.
    """

    __slots__ = (
        "_background",
        "_forced",
        "_has_worker",
        "_log",
        "_mailbox",
        "_worker_ended",
        "group",
        "handlers",
        "own_tasks",
        "scope",
        "server",
    )

    group: TaskGroup
    scope: anyio.CancelScope

    def __init__(self, mailbox: Mailbox, log: ConnectionLog) -> None:
        self._mailbox = mailbox
        self._log = log
        self.server = cancel.current_task()
        self.handlers = 0
        self.own_tasks: set[cancel.Task] = set()
        self._background: set[anyio.CancelScope] = set()
        self._has_worker = True
        self._worker_ended: anyio.Event | None = None  # while the reader waits for that
        self._forced: cancel.ForcedCancellations | None = None  # once it knows of this connection

    @property
    def is_running(self) -> bool:
        """Whether anything runs beside the worker."""
        return bool(self.handlers or self._background)

    def new_scope(self) -> anyio.CancelScope:
        """Make the shielded scope of the worker's next part."""
        # anyio's own function would look up the event loop once more.
        self.scope = type(self.group.cancel_scope)(shield=True)
        return self.scope

    def start_in_background(
        self, scope: anyio.CancelScope, function: Callable[..., Awaitable[Any]], *args: Any
    ) -> None:
        """Run an async function within a scope, until it returns or the connection ends."""
        self._background.add(scope)
        self.group.start_soon(self._run_in_background, scope, function, args)

    async def _run_in_background(
        self, scope: anyio.CancelScope, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope, cancel.noted(self.own_tasks):
                await function(*args)
        finally:
            self._background.discard(scope)
            self._mailbox.notify()

    # The ways to end

    def cancel_background(self) -> None:
        """Cancel what runs in the background, and let handlers go on: the disconnect has come."""
        self.group.cancel_scope.deadline = math.inf  # which `expect_disconnect()` may have set
        for scope in self._background:
            scope.cancel()

    def cancel(self) -> None:
        """Cancel everything but a clean-up, the reader too."""
        self.scope.cancel()
        self.group.cancel_scope.cancel()

    def end_worker(self) -> None:
        """Note that the worker has done everything."""
        self._has_worker = False
        if self._worker_ended is not None:
            self._worker_ended.set()

    async def wait_for_worker(self) -> None:
        """Wait, as the reader, until the worker has done everything."""
        if self._has_worker:
            self._worker_ended = anyio.Event()
            await self._worker_ended.wait()

    async def wait(self, seconds: float) -> None:
        """Wait until nothing runs beside the worker; use force, on asyncio, if that takes too long."""
        if await self._end_within(seconds):
            return
        self._log.handlers_still_run(seconds)
        if self._forced is not None:
            for _ in range(2):
                self._forced.force(self)
                if await self._end_within(seconds / 4):
                    return

    async def _end_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            while self.is_running:
                await self._mailbox.wait()
            return True
        return False

    # The time that an ending has

    def expect_end(self, seconds: float, scope: anyio.CancelScope | None = None) -> None:
        """On asyncio, have force used if the ending takes longer; see `ForcedCancellations.expect()`."""
        if self.server is not None:
            self._forced = cancel.of_loop(self.server.get_loop())
            self._forced.expect(self, seconds, scope)

    def limit_clean_up(self, seconds: float) -> None:
        """Cancel the clean-up, whose scope the worker is in, if it takes longer."""
        if self.server is None:
            self.scope.deadline = anyio.current_time() + seconds
        else:  # which also notices a clean-up that ignores its cancellation
            self.scope.deadline = math.inf  # which `Shutdown.begin()` may have set, for the drain
            self.expect_end(seconds, self.scope)

    def expect_disconnect(self, seconds: float) -> None:
        """Cancel everything unless the server reports the disconnect within so many seconds."""
        self.group.cancel_scope.deadline = anyio.current_time() + seconds

    def have_ended(self) -> None:
        """Note that the ending is over."""
        if self._forced is not None:
            self._forced.forget(self)

    def _on_force(self, places: list[str]) -> None:
        self._log.force_is_used(places)
