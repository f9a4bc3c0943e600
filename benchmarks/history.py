"""What a history costs: sending, receiving and recovering, in memory and over Redis, with one and without.

Run it with `python -m benchmarks.history`, in an environment that has the extra `redis`. It starts a Redis of its own,
in which the sender and the receiver are two layers, as two processes would have, on one event loop: so a figure for Redis
counts the processor time of both. Cases take turns. All times are processor times, of which it prints the medians.

- send: microseconds of one `group_send` to a group of 1,000 members (in memory: with all deliveries);
- receive: microseconds for each message that one receiving process hears and hands to 1,000 members;
- recover: milliseconds until a channel that joins `since` a position has got 50, and 1,000, missed messages;
- memory: bytes in this process for each message in the log, and in Redis.
"""

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import anyio

from consumers import InMemoryChannelLayer
from consumers.layers.redis import RedisPubSubChannelLayer
from tests.support.redis_server import running_redis

MEMBERS = 1000
ROUNDS = 15
BURST = 20
HISTORY: dict[str, dict[str, Any]] = {"kept.*": {"size": 1000, "ttl": 3600}}
MESSAGE: dict[str, Any] = {"type": "chat.message", "user": "ada", "text": "hello" * 6}

Make = Callable[[], Any]


class Counter:
    """A member that counts, and always has room."""

    def __init__(self) -> None:
        self.received = 0

    def deliver(self, message: object) -> int:
        self.received += 1
        return 1

    def room(self) -> int:
        return 1000


async def wait_for(counters: list[Counter], count: int) -> None:
    """Wait until each has got so many messages."""
    with anyio.fail_after(60):
        while any(counter.received < count for counter in counters):
            await anyio.sleep(0)


async def measure_send(sender: Any, receiver: Any, group: str, members: int) -> float:
    """Return the microseconds of one message to a group."""
    counters = [Counter() for _ in range(members)]
    names = [receiver.attach(counter.deliver, None, counter.room) for counter in counters]
    for name in names:
        await receiver.group_add(group, name)
    start = time.process_time()
    for number in range(1, BURST + 1):
        await sender.group_send(group, MESSAGE)
        await wait_for(counters[-1:], number)
    seconds = time.process_time() - start
    await wait_for(counters, BURST)
    for name in names:
        receiver.detach(name)
    return seconds / BURST * 1e6


async def measure_recovery(sender: Any, receiver: Any, missed: int) -> float:
    """Return the milliseconds of joining with messages missed, until they are there."""
    group = f"kept.{missed}"
    since = await sender.position(group)
    for _ in range(missed):
        await sender.group_send(group, MESSAGE)
    counter = Counter()
    start = time.process_time()
    name = receiver.attach(counter.deliver, None, counter.room)
    joined = await receiver.group_add(group, name, since=since)
    assert joined.recovered
    await wait_for([counter], missed)
    seconds = time.process_time() - start
    receiver.detach(name)
    return seconds * 1e3


async def report(title: str, sender: Any, receiver: Any) -> None:
    """Print what a pair of layers costs."""
    print(title)
    for members in (1, MEMBERS):
        figures: dict[str, list[float]] = {"plain.1": [], "kept.1": []}
        for _ in range(ROUNDS):
            for group, found in figures.items():
                found.append(await measure_send(sender, receiver, group, members))
        without, kept = (statistics.median(found) for found in figures.values())
        ratio = statistics.median(b / a for a, b in zip(*figures.values(), strict=True))
        print(f"  to {members:,} members: {without:.0f} us without, {kept:.0f} us with history, {ratio:.2f} times")
    for missed in (50, 1000):
        found = [await measure_recovery(sender, receiver, missed) for _ in range(ROUNDS)]
        print(f"  recovery of {missed:,} messages: {statistics.median(found):.2f} ms")


async def report_memory() -> None:
    """Print what a log of 1,000 messages takes."""
    layer = InMemoryChannelLayer(history=HISTORY)
    tracemalloc.start()
    for number in range(1000):
        await layer.group_send("kept.memory", {**MESSAGE, "text": f"{number:>30}"})
    print(f"  the log: {tracemalloc.get_traced_memory()[0] / 1000:.0f} bytes a message in this process")
    tracemalloc.stop()


async def main() -> None:
    layer = InMemoryChannelLayer(history=HISTORY)
    await report("in memory", layer, layer)
    await report_memory()
    if "--memory" in sys.argv:
        return
    with running_redis() as server:
        sender, receiver = (RedisPubSubChannelLayer([server.url], history=HISTORY) for _ in range(2))
        async with sender, receiver:
            await report("over Redis", sender, receiver)
            with server.client() as client:
                used = client.memory_usage("asgi__history__{kept.1000}:log", samples=0)
            print(f"  the log: {used / 1001:.0f} bytes a message in Redis")


if __name__ == "__main__":
    anyio.run(main)
