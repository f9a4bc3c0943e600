"""One client whose messages are sent back to it: as many as it likes at once, or one at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..fake_server import Members
from ..peers import Peer
from . import Measure, Stopwatch

TEXT = "a line of chat, neither long nor short"


@asynccontextmanager
async def pipelined(peer: Peer, size: int, endpoint: str = "echo") -> AsyncIterator[Measure]:
    """Messages that are there whenever the application asks for one."""
    question, frame = peer.question(endpoint, TEXT), peer.frame(endpoint, TEXT)
    async with Members(peer, endpoint, 1) as members:
        [client] = members.connections

        async def measure(count: int) -> float:
            complete = members.tally.expect(count)
            with Stopwatch() as stopwatch:
                client.feed_many(question, count)
                await complete
            await members.park()
            members.take([frame] * count)
            return stopwatch.seconds / count

        yield measure


@asynccontextmanager
async def pingpong(peer: Peer, size: int) -> AsyncIterator[Measure]:
    """The next message comes a turn of the loop after the answer to the last, as it would from a socket."""
    frame = peer.frame("echo", TEXT)
    async with Members(peer, "echo", 1) as members:
        [client] = members.connections
        loop = asyncio.get_running_loop()
        tally = members.tally

        async def measure(count: int) -> float:
            complete = loop.create_future()
            left = count

            def answered() -> None:
                nonlocal left
                left -= 1
                if left:
                    tally.remaining = 1
                    loop.call_soon(client.feed, frame)
                else:
                    complete.set_result(None)

            tally.remaining = 1
            tally.on_complete = answered
            with Stopwatch() as stopwatch:
                client.feed(frame)
                await complete
            await members.park()
            members.take([frame] * count)
            return stopwatch.seconds / count

        yield measure
