"""Messages to every member of a group; the next one is sent when the last has reached them all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..fake_server import Members, MissingFrame
from ..peers import Peer
from . import Measure, Stopwatch


@asynccontextmanager
async def texts(peer: Peer, size: int, endpoint: str = "room") -> AsyncIterator[Measure]:
    """A text, or a model with one, to a group of `size` members; an operation is one delivery."""
    broadcast = peer.broadcast if endpoint == "room" else peer.broadcast_model
    async with Members(peer, endpoint, size) as members:

        async def measure(count: int) -> float:
            rounds = [f"a line of chat, number {number:08}" for number in range(count)]
            with Stopwatch() as stopwatch:
                for text in rounds:
                    complete = members.tally.expect(size)
                    await broadcast(text)
                    await complete
            members.take([peer.frame(endpoint, text) for text in rounds])
            return stopwatch.seconds / (count * size)

        yield measure


CONTENT = {
    "id": 4711,
    "author": {"name": "Ada Lovelace", "roles": ["admin", "author"], "online": True},
    "text": "The engine weaves algebraic patterns just as the loom weaves flowers and leaves. " * 8,
    "reactions": [{"kind": kind, "count": count} for count, kind in enumerate(["heart", "laugh", "wow", "sad"])],
    "edited": None,
}
"""About 1 KB as JSON."""


@asynccontextmanager
async def objects(peer: Peer, size: int) -> AsyncIterator[Measure]:
    """An object, sent as JSON, to a group of `size` members; an operation is one delivery."""
    async with Members(peer, "json", size) as members:

        async def measure(count: int) -> float:
            with Stopwatch() as stopwatch:
                for _ in range(count):
                    complete = members.tally.expect(size)
                    await peer.broadcast_object(CONTENT)
                    await complete
            frame = members.connections[0].frames[0]
            if peer.content(frame) != CONTENT:
                raise MissingFrame(f"this is not the object that was sent: {frame}")
            members.take([frame] * count)
            return stopwatch.seconds / (count * size)

        yield measure
