"""What a history costs: sending, receiving and recovering, in memory and over Redis, with one and without.

Run it with `.venv/bin/python -m benchmarks.history`. It starts a Redis of its own, and a process that has 1,000
connections in two groups, of which one has a history. Cases take turns; a figure is the median of their rounds. Times
are processor times of the one process that is named, or of the Redis server.

- deliver: microseconds of a delivery to one of 1,000 connections in the same process, in memory;
- receive: the same in a process that hears of the message over Redis;
- publish: microseconds of one `group_send` over Redis in the sender's process, and in Redis;
- recover: milliseconds until a channel that joins `since` a position has got 50, and 1,000, missed messages;
- memory: bytes of the log for each message, in a process and in Redis.
"""

import asyncio
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers
from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.types import Message
from tests.support.redis_server import RedisServer, running_redis

MEMBERS = 1000
ROUNDS = 25
BURST = 20
HISTORY: dict[str, dict[str, Any]] = {"kept*": {"size": 1000, "ttl": 3600}}
MESSAGE: dict[str, Any] = {"type": "chat.message", "user": "ada", "text": "hello" * 6}
GROUPS = ("plain", "kept")


class Chat(AsyncWebsocketConsumer):
    """A connection in both groups."""

    groups = list(GROUPS)

    async def chat_message(self, event: Message) -> None:
        await self.send(event["text"])


class Crowd:
    """A thousand connections without a server: what they are sent is counted."""

    def __init__(self) -> None:
        self.sent = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._queues: list[asyncio.Queue[Message]] = []

    async def _send(self, event: Message) -> None:
        self.sent += event["type"] == "websocket.send"

    async def connect(self) -> None:
        """Open the connections; return when all are in their groups."""
        scope = {"type": "websocket", "path": "/", "headers": [], "subprotocols": []}
        for _ in range(MEMBERS):
            queue: asyncio.Queue[Message] = asyncio.Queue()
            queue.put_nowait({"type": "websocket.connect"})
            self._queues.append(queue)
            self._tasks.append(asyncio.create_task(Chat.as_asgi()(scope, queue.get, self._send)))
        layer: Any = channel_layers["default"]
        while any(len(layer.groups.get(group, ())) < MEMBERS for group in GROUPS):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def gets(self, count: int) -> None:
        """Wait until so many deliveries have been made."""
        while self.sent < count:  # noqa: ASYNC110  # an event would cost what is measured
            await asyncio.sleep(0)
        self.sent -= count

    async def leave(self) -> None:
        """Close the connections."""
        for queue in self._queues:
            queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.gather(*self._tasks)


async def compare(measure: Callable[[str], Awaitable[float]]) -> str:
    """Measure without a history and with one, in turns."""
    figures: dict[str, list[float]] = {group: [] for group in GROUPS}
    for _ in range(ROUNDS):
        for group, found in figures.items():
            found.append(await measure(group))
    ratio = statistics.median(kept / plain for plain, kept in zip(*figures.values(), strict=True))
    plain, kept = map(statistics.median, figures.values())
    return f"{plain:.2f} without, {kept:.2f} with history; {ratio:.2f} times"


async def in_memory() -> None:
    """Print what deliveries cost in memory, and the log."""
    layer = InMemoryChannelLayer(history=HISTORY)
    channel_layers.configure({"default": layer})
    crowd = Crowd()
    await crowd.connect()

    async def deliver(group: str) -> float:
        start = time.process_time()
        for _ in range(BURST):
            await layer.group_send(group, MESSAGE)
        await crowd.gets(BURST * MEMBERS)
        return (time.process_time() - start) / BURST / MEMBERS * 1e6

    print("in memory: us of a delivery:", await compare(deliver))
    await crowd.leave()
    for missed in (50, 1000):
        print(f"in memory: ms of recovering {missed:,} messages: {await recovery(layer, layer, missed):.2f}")
    tracemalloc.start()
    for number in range(1000):
        await layer.group_send("kept.memory", {**MESSAGE, "text": f"{number:>30}"})
    print(f"in memory: bytes of a message in the log: {tracemalloc.get_traced_memory()[0] / 1000:.0f}")
    tracemalloc.stop()


async def recovery(sender: Any, receiver: Any, missed: int) -> float:
    """Return the milliseconds of joining with messages missed, until they are there."""
    group, found = f"kept.{missed}", []
    since = await sender.position(group)
    for _ in range(missed):
        await sender.group_send(group, MESSAGE)
    for _ in range(ROUNDS):
        got: list[Message] = []
        arrived = anyio.Event()

        def deliver(message: Message, got: list[Message] = got, arrived: anyio.Event = arrived) -> int:
            got.append(message)
            if len(got) == missed:
                arrived.set()
            return 1

        start = time.process_time()
        name = receiver.attach(deliver, None, lambda: 1000)
        await receiver.group_add(group, name, since=since)
        await arrived.wait()
        found.append((time.process_time() - start) * 1e3)
        receiver.detach(name)
    return statistics.median(found)


async def serve_crowd(url: str) -> None:
    """Be the process that hears over Redis: for each line read, wait for a burst and say how long it took."""
    channel_layers.configure({"default": RedisPubSubChannelLayer([url], history=HISTORY)})
    crowd = Crowd()
    await crowd.connect()
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        start = time.process_time()
        print("go", flush=True)
        await crowd.gets(BURST * MEMBERS)
        print(time.process_time() - start, flush=True)
    await crowd.leave()
    await channel_layers.close()


def processor_seconds(server: RedisServer) -> float:
    with server.client() as client:
        used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


async def over_redis() -> None:
    """Print what a message costs its sender, Redis, and the process that hears of it."""
    with running_redis() as server:
        command = [sys.executable, "-m", "benchmarks.history", server.url]
        async with (
            RedisPubSubChannelLayer([server.url], history=HISTORY) as sender,
            await anyio.open_process(command, stderr=None) as crowd,
        ):
            assert crowd.stdin is not None
            lines = crowd.stdout
            assert lines is not None
            said = b""

            async def hear() -> bytes:
                nonlocal said
                while b"\n" not in said:
                    said += await lines.receive()
                line, _, said = said.partition(b"\n")
                return line

            await hear()

            async def receive(group: str) -> float:
                await crowd.stdin.send(b"\n")  # type: ignore[union-attr]
                await hear()
                for _ in range(BURST):
                    await sender.group_send(group, MESSAGE)
                return float(await hear()) / BURST / MEMBERS * 1e6

            async def publish(group: str) -> float:
                start = time.process_time()
                for _ in range(200):
                    await sender.group_send(f"{group}.alone", MESSAGE)
                return (time.process_time() - start) / 200 * 1e6

            async def publish_in_redis(group: str) -> float:
                start = processor_seconds(server)
                for _ in range(200):
                    await sender.group_send(f"{group}.alone", MESSAGE)
                return (processor_seconds(server) - start) / 200 * 1e6

            print("over Redis: us of a delivery in the process that hears:", await compare(receive))
            print("over Redis: us of a message in the sender's process:", await compare(publish))
            print("over Redis: us of a message in Redis:", await compare(publish_in_redis))
            await crowd.stdin.aclose()
        async with (
            RedisPubSubChannelLayer([server.url], history=HISTORY) as sender,
            RedisPubSubChannelLayer([server.url], history=HISTORY) as receiver,
        ):
            for missed in (50, 1000):
                taken = await recovery(sender, receiver, missed)
                print(f"over Redis: ms of recovering {missed:,} messages: {taken:.2f}")
            with server.client() as client:
                used = client.memory_usage("asgi__history__{kept.1000}:log", samples=0)
            print(f"over Redis: bytes of a message in the log: {used / 1001:.0f}")


async def main() -> None:
    if len(sys.argv) > 1:
        await serve_crowd(sys.argv[1])
    else:
        await in_memory()
        await over_redis()


if __name__ == "__main__":
    anyio.run(main)
