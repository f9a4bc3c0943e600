"""Event loops of their own for tests of the Redis layers: in threads, and in scripts."""

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from consumers.layers.redis.layer import RedisLayer
from consumers.layers.redis.owner_loop import OwnerLoop


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    async def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def end(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()


@contextmanager
def another_loop() -> Iterator[Loop]:
    other = Loop()
    try:
        yield other
    finally:
        other.end()


async def be_owner(layer: RedisLayer) -> OwnerLoop:
    """Make the running loop the owner, whichever loop is it."""
    layer._process.owners.current = None
    owner = layer._process.owners.ensure()
    await owner.until_ready()
    return owner


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what event loops have logged: tasks that nobody awaited or ended."""
    gc.collect()
    return [record.getMessage() for record in caplog.records if record.name == "asyncio" and record.levelno > 20]


def run_script(code: str, *arguments: str) -> None:
    """Run a script in a process of its own, without an error or a word."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
