"""The Redis layers beside channels_redis 4.3 and a plain redis-py loop: what a message costs, by number of members.

Run it in the environment of `make test-interop`, which has both: `.venv-interop/bin/python -m benchmarks.redis_layers`.
It starts a Redis of its own and prints, for each layer and number of members in one process:

- publish: microseconds of one `group_send` in another process, which has no members, the median of some hundred;
- deliveries: per second, from the first `group_send` of a burst until every member has every message;
- connections: what Redis counts while all members listen.

channels_redis' members are tasks that await `receive()`, as Channels has them; the plain loop has one subscription,
decodes with msgpack and hands the message to a list of functions: what remains when a layer does nothing else.
"""

import asyncio
import statistics
import sys
import time
from typing import Any

import msgpack
import redis.asyncio
from channels_redis.core import RedisChannelLayer as TheirQueue
from channels_redis.pubsub import RedisPubSubChannelLayer as TheirPubSub

from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from tests.support.redis_server import RedisServer, running_redis

MEMBERS = (1, 100, 1000)
PUBLISHES = 200
BURST = 50
MESSAGE: dict[str, Any] = {"type": "chat.message", "user": "ada", "text": "hello"}


class Counter:
    """Counts what members get."""

    def __init__(self) -> None:
        self.received = 0
        self.target = -1
        self.done = asyncio.Event()

    def deliver(self, message: object) -> int:
        self.received += 1
        if self.received == self.target:
            self.done.set()
        return 1

    async def reaches(self, target: int) -> None:
        self.target = target
        if self.received < target:
            self.done.clear()
            await asyncio.wait_for(self.done.wait(), 120)


class Ours:
    """One of this package's layers."""

    def __init__(self, make: Any, url: str) -> None:
        self.layer = make([url], capacity=10_000)

    async def join(self, counter: Counter) -> None:
        await self.layer.group_add("room", self.layer.attach(counter.deliver))

    async def send(self) -> None:
        await self.layer.group_send("room", MESSAGE)

    async def close(self) -> None:
        await self.layer.close()


class Theirs:
    """One of channels_redis' layers."""

    def __init__(self, make: Any, url: str, **arguments: Any) -> None:
        self.layer = make(hosts=[url], **arguments)
        self.tasks: list[asyncio.Task[None]] = []

    async def join(self, counter: Counter) -> None:
        channel = await self.layer.new_channel()
        self.tasks.append(asyncio.create_task(self.receive(channel, counter)))
        await self.layer.group_add("room", channel)

    async def receive(self, channel: str, counter: Counter) -> None:
        while True:
            counter.deliver(await self.layer.receive(channel))

    async def send(self) -> None:
        await self.layer.group_send("room", MESSAGE)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.layer.flush()


class Plain:
    """redis-py, a loop and a list."""

    def __init__(self, url: str) -> None:
        self.client = redis.asyncio.Redis.from_url(url)
        self.members: list[Any] = []
        self.task: asyncio.Task[None] | None = None

    async def join(self, counter: Counter) -> None:
        self.members.append(counter.deliver)
        if self.task is None:
            pubsub = self.client.pubsub()
            await pubsub.subscribe("room")
            self.task = asyncio.create_task(self.receive(pubsub))

    async def receive(self, pubsub: Any) -> None:
        async for event in pubsub.listen():
            if event["type"] == "message":
                message = msgpack.unpackb(event["data"])
                for deliver in self.members:
                    deliver(message)

    async def send(self) -> None:
        await self.client.publish("room", msgpack.packb(MESSAGE))

    async def close(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.aclose()


class Publisher:
    """Another process with the same layer, that sends one message when it is told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, name: str, url: str) -> "Publisher":
        command = (sys.executable, "-m", "benchmarks.redis_layers", name, url)
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def send(self) -> float:
        """Have it send; return the seconds that this took there."""
        self.stdin.write(b"send\n")
        return float(await self.stdout.readline())

    async def stop(self) -> None:
        self.stdin.close()
        await self.process.wait()


async def publish(name: str, url: str) -> None:
    """What that other process does."""
    subject = SUBJECTS[name](url)
    while await asyncio.to_thread(sys.stdin.readline):
        start = time.perf_counter()
        await subject.send()
        print(time.perf_counter() - start, flush=True)
    if isinstance(subject, Ours):
        await subject.close()


async def measure(name: str, members: int, server: RedisServer) -> tuple[float, float]:
    subject, counter = SUBJECTS[name](server.url), Counter()
    for _ in range(members):
        await subject.join(counter)
    publisher = await Publisher.start(name, server.url)
    publishes = []
    for number in range(1, PUBLISHES + 1):
        publishes.append(await publisher.send())
        await counter.reaches(number * members)
    await publisher.stop()
    start = time.perf_counter()
    for _ in range(BURST):
        await subject.send()
    await counter.reaches((PUBLISHES + BURST) * members)
    rate = BURST * members / (time.perf_counter() - start)
    connections = len(server.connections())
    await subject.close()
    cost = statistics.median(publishes) * 1e6
    print(f"{name:26}{members:>8,}{cost:>14,.0f}{rate:>16,.0f}{connections:>13}", flush=True)
    return cost, rate


SUBJECTS: dict[str, Any] = {
    "ours, pub/sub": lambda url: Ours(RedisPubSubChannelLayer, url),
    "ours, queue": lambda url: Ours(RedisChannelLayer, url),
    "channels_redis, pub/sub": lambda url: Theirs(TheirPubSub, url),
    "channels_redis, queue": lambda url: Theirs(TheirQueue, url, capacity=10_000),
    "plain redis-py": Plain,
}


def main() -> None:
    print(f"{'layer':26}{'members':>8}{'publish (µs)':>14}{'deliveries/s':>16}{'connections':>13}")
    rates: dict[tuple[str, int], tuple[float, float]] = {}
    with running_redis() as server:
        for members in MEMBERS:
            for name in SUBJECTS:
                rates[name, members] = asyncio.run(measure(name, members, server))
                with server.client() as client:
                    client.flushall()
    for kind in ("pub/sub", "queue"):
        times = rates[f"ours, {kind}", MEMBERS[-1]][1] / rates[f"channels_redis, {kind}", MEMBERS[-1]][1]
        print(f"{kind}: {times:.1f} times channels_redis' deliveries at {MEMBERS[-1]:,} members")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(publish(*sys.argv[1:]))
    else:
        main()
