"""Messages that go back to Redis, because whoever waited for them in this process was cancelled."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from functools import partial


class Returns:
    """What is on its way back from one process, in threads: no end of an event loop cuts it short.

    Args:
        threads: do it.
    """

    def __init__(self, threads: concurrent.futures.Executor) -> None:
        self._threads = threads
        self._outcomes: set[concurrent.futures.Future[object]] = set()

    def start(self, write: Callable[[], object], keep: Callable[[], object]) -> None:
        """Write messages into Redis, beside.

        Args:
            write: does it; blocks.
            keep: keeps them in this process, if that fails.
        """
        outcome = self._threads.submit(write)
        self._outcomes.add(outcome)
        outcome.add_done_callback(partial(self._on_end, keep))

    async def wait(self, timeout: float) -> bool:
        """Wait until all have ended; return whether there were any.

        Args:
            timeout: seconds that it may take.
        """
        outcomes = [asyncio.wrap_future(outcome) for outcome in self._outcomes.copy()]
        if outcomes:
            await asyncio.wait(outcomes, timeout=timeout)
            await asyncio.gather(*(outcome for outcome in outcomes if outcome.done()), return_exceptions=True)
        return bool(outcomes)

    def _on_end(self, keep: Callable[[], object], outcome: "concurrent.futures.Future[object]") -> None:
        if outcome.cancelled() or outcome.exception() is not None:
            keep()
        self._outcomes.discard(outcome)
