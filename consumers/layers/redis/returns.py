"""Messages that go back to Redis, because whoever waited for them in this process was cancelled."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any


class Returns:
    """What is on its way back from one process.

    Args:
        tasks: the process' set of tasks, which end with their event loop.
    """

    def __init__(self, tasks: "set[asyncio.Future[Any]]") -> None:
        self._tasks = tasks
        self._outcomes: set[concurrent.futures.Future[None]] = set()

    def start(self, writing: Coroutine[Any, Any, None], keep: Callable[[], object]) -> None:
        """Write messages into Redis, beside, on the event loop that is running.

        Args:
            writing: does it.
            keep: keeps them in this process, if that fails or the event loop ends before.
        """
        task = asyncio.ensure_future(writing)
        outcome: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._tasks.add(task)
        self._outcomes.add(outcome)
        task.add_done_callback(partial(self._on_end, outcome, keep))

    async def wait(self, timeout: float) -> bool:
        """Wait until all have ended, whichever event loops they are on; return whether there were any.

        Args:
            timeout: seconds that it may take.
        """
        outcomes = [asyncio.wrap_future(outcome) for outcome in self._outcomes]
        if outcomes:
            await asyncio.wait(outcomes, timeout=timeout)
        return bool(outcomes)

    def _on_end(
        self, outcome: concurrent.futures.Future[None], keep: Callable[[], object], task: "asyncio.Future[None]"
    ) -> None:
        self._tasks.discard(task)
        self._outcomes.discard(outcome)
        if task.cancelled() or task.exception() is not None:
            keep()
        if not outcome.cancelled():
            outcome.set_result(None)
