"""Work that an event loop does before it is closed.

`asyncio.run()` cancels all tasks and then closes its loop; `run_until_complete()` and `close()` cancel none. What ends
with a loop, and must await for that, hears of both by a wrapped `close()` alone.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger("consumers.layers")

Work = Callable[[], Coroutine[Any, Any, object]]


def before_close(loop: asyncio.AbstractEventLoop, work: Work) -> Callable[[], object]:
    """Have a loop run a coroutine function to its end before it is closed.

    A loop whose `close` cannot be set does not do so, nor does one in a process that was forked after this call: what
    the loop has there is its parent's, connections too.

    Args:
        loop: the loop.
        work: the coroutine function; it ends after a bounded time.

    Returns:
        A function that takes it back.
    """
    close = loop.close
    if not isinstance(close, _Close):
        close = _Close(loop)
        try:
            loop.close = close  # type: ignore[method-assign]
        except AttributeError:
            return lambda: None
    key = object()
    close.works[key] = os.getpid(), work
    return lambda: close.works.pop(key, None)


class _Close:
    """A loop's `close()` that does some work first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._close = loop.close
        self.works: dict[object, tuple[int, Work]] = {}  # with the process that they belong to

    def __call__(self) -> None:
        try:
            if self._own_works() and not self._loop.is_running() and not self._loop.is_closed():
                self._work()
        finally:
            self.works.clear()
            if self._loop.close == self:  # else somebody has wrapped it in turn
                del self._loop.close
            self._close()

    def _work(self) -> None:
        if asyncio._get_running_loop() is None:
            self._loop.run_until_complete(self._do_all())
            return
        # The code that closes it runs on another loop itself, and a thread runs no two.
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._do_all()))
        thread.start()
        thread.join()

    def _own_works(self) -> list[Work]:
        return [work for pid, work in list(self.works.values()) if pid == os.getpid()]

    async def _do_all(self) -> None:
        for work in self._own_works():
            try:
                await work()
            except Exception:
                logger.exception("An event loop is closed, and not all was done that is due before")
