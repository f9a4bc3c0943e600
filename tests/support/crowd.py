"""A process with many consumers in one group, some of which stay and others come and go; see `test_redis_processes`."""

import asyncio
import json
import sys
from typing import Any

import anyio

from consumers import AsyncWebsocketConsumer, channel_layers
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.types import Message

from .wire import Wire, start

MEMBERS = 1000
COMERS_AND_GOERS = 50
MESSAGES = 200
SENDERS = ("one", "other")


class Member(AsyncWebsocketConsumer):
    """Notes the messages' numbers by sender."""

    groups = ["crowd"]
    everyone: list["Member"] = []

    async def connect(self) -> None:
        self.numbers: dict[str, list[int]] = {sender: [] for sender in SENDERS}
        self.everyone.append(self)
        await self.accept()

    async def crowd_message(self, event: Message) -> None:
        self.numbers[event["sender"]].append(event["number"])


class Passer(AsyncWebsocketConsumer):
    """Comes and goes."""

    groups = ["crowd"]

    async def connect(self) -> None:
        await self.accept()

    async def crowd_message(self, event: Message) -> None:
        pass


async def send(layer: Any, sender: str) -> None:
    for number in range(MESSAGES):
        await layer.group_send("crowd", {"type": "crowd.message", "sender": sender, "number": number})
        # The pace: all members here have taken what they were sent, and so have the others', who do as much.
        while any(len(member.numbers[sender]) <= number for member in Member.everyone):
            await anyio.sleep(0.002)


async def come_and_go(counts: list[int]) -> None:
    while True:
        async with anyio.create_task_group() as tasks:
            wire = Wire()
            start(tasks, wire, Passer.as_asgi())
            await wire.accepted()
            await anyio.sleep(0.2)
            wire.disconnect()
            await wire.end()
        counts.append(1)


def is_complete() -> bool:
    return all(len(numbers) == MESSAGES for member in Member.everyone for numbers in member.numbers.values())


async def main(kind: str, url: str, sender: str) -> None:
    layer = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}[kind]([url])
    channel_layers.configure({"default": layer})
    passed: list[int] = []
    async with layer, anyio.create_task_group() as tasks:
        wires = [Wire() for _ in range(MEMBERS)]
        for wire in wires:
            start(tasks, wire, Member.as_asgi())
        for wire in wires:
            await wire.accepted()
        for _ in range(COMERS_AND_GOERS):
            tasks.start_soon(come_and_go, passed)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await send(layer, sender)
        with anyio.move_on_after(20):
            while not is_complete():
                await anyio.sleep(0.01)
        wrong = sum(
            numbers != list(range(MESSAGES)) for member in Member.everyone for numbers in member.numbers.values()
        )
        print(json.dumps({"wrong": wrong, "dropped": layer.dropped, "passed": len(passed)}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
