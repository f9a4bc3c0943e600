"""What a connection costs that does nothing: its beginning and its end, and its keep."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..fake_server import Connection, Members
from ..peers import Peer
from . import Measure, Stopwatch


@asynccontextmanager
async def connect(peer: Peer, size: int) -> AsyncIterator[Measure]:
    """A client that joins a group and closes as soon as it is connected; the next comes when it has gone."""
    loop = asyncio.get_running_loop()

    async def measure(count: int) -> float:
        with Stopwatch() as stopwatch:
            for _ in range(count):
                connection = Connection(peer, "room")
                connection.on_ready = lambda leave=connection.disconnect: loop.call_soon(leave)
                await connection.task
        return stopwatch.seconds / count

    yield measure


@asynccontextmanager
async def idle(peer: Peer, size: int) -> AsyncIterator[Measure]:
    """Not a time: how many KiB a member of a group takes that does nothing, as tracemalloc counts them."""

    async def measure(count: int) -> float:
        tracemalloc.start()
        try:
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            async with Members(peer, "room", size):
                gc.collect()
                after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return (after - before) / size / 1024

    yield measure


@asynccontextmanager
async def tasks(peer: Peer, size: int) -> AsyncIterator[Measure]:
    """Not a time: how many tasks such a member takes, the server's own among them."""

    async def measure(count: int) -> float:
        before = len(asyncio.all_tasks())
        async with Members(peer, "room", size):
            return (len(asyncio.all_tasks()) - before) / size

    yield measure
