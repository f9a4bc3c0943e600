"""Messages that are being put back into Redis, because whoever waited for them in this process was cancelled."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from functools import partial


class PutBacks:
    """What one process is putting back, in threads: no end of an event loop cuts it short.

    Args:
        threads: do it.
    """

    def __init__(self, threads: concurrent.futures.Executor) -> None:
        self._threads = threads
        self._outcomes: set[concurrent.futures.Future[object]] = set()

    def start(self, put_back: Callable[[], object], put_back_here: Callable[[], object]) -> None:
        """Put messages back into Redis, beside.

        Args:
            put_back: does it; blocks.
            put_back_here: puts them back into this process, if that fails.
        """
        outcome = self._threads.submit(put_back)
        self._outcomes.add(outcome)
        outcome.add_done_callback(partial(self._on_end, put_back_here))

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

    def _on_end(self, put_back_here: Callable[[], object], outcome: "concurrent.futures.Future[object]") -> None:
        if outcome.cancelled() or outcome.exception() is not None:
            put_back_here()
        self._outcomes.discard(outcome)
