"""Anything in any order, by three processes of one Redis: at rest everybody knows who is there."""

import asyncio
import contextlib
import json
import os
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from redis.exceptions import RedisError

from consumers.layers.redis.layer import RedisLayer

from ....support.proxy import Proxy, proxying
from ....support.redis_layers import LAYERS
from ....support.redis_server import RedisServer
from ....support.slow import left_to_ci
from .support import Members, Watcher

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["pubsub", *left_to_ci("queue")])
def kind(request: pytest.FixtureRequest) -> str:
    """Presence is the same code in both layers."""
    return str(request.param)


GROUPS = ["room", "hall"]
KEYS = ["ann", "bob", "cat", "dan"]
PROCESSES = 3
ROUNDS = int(os.environ.get("PRESENCE_ROUNDS", "2"))
STEPS = 40
SETTLED_WITHIN = 12  # seconds; a lease lasts one

STEPS_BY_WEIGHT = {
    "track": 30,
    "update": 14,
    "untrack": 8,
    "detach": 14,
    "track_and_detach": 6,
    "cancel": 6,
    "cut": 6,
    "hold": 2,
    "flush": 1,
    "die": 2,
    "wait": 8,
}


class Process:
    """A layer behind a proxy of its own, and what it is to have there."""

    def __init__(self, kind: str, proxy: Proxy) -> None:
        self.proxy = proxy
        self.layer: RedisLayer = LAYERS[kind](
            [("127.0.0.1", proxy.port)], presence={"lease": 1, "grace": 0.2}, timeout=2
        )
        self.live: dict[tuple[str, str], tuple[str, int]] = {}  # what a group's channel stands for
        self.watchers: dict[str, Watcher] = {}

    async def watch(self) -> None:
        for group in GROUPS:
            self.watchers[group] = await Watcher().watch(self.layer, group)

    async def track(self, group: str, name: str, key: str, tab: int) -> None:
        try:
            await self.layer.presence_track(group, name, key=key, meta={"tab": tab})
        except (RedisError, RuntimeError):  # or the channel had ended already
            return
        self.live[group, name] = (key, tab)

    async def update(self, group: str, name: str, tab: int) -> None:
        try:
            await self.layer.presence_update(group, name, meta={"tab": tab})
        except RedisError:
            return
        self.live[group, name] = (self.live[group, name][0], tab)

    async def untrack(self, group: str, name: str) -> None:
        del self.live[group, name]
        with contextlib.suppress(RedisError):  # Redis is told later then
            await self.layer.presence_untrack(group, name)

    def detach(self, name: str) -> None:
        for pair in [pair for pair in self.live if pair[1] == name]:
            del self.live[pair]
        self.layer.detach(name)

    async def die(self) -> None:
        """End as by `kill -9`: Redis is told nothing."""

        def nothing(is_final: bool) -> Iterator[Any]:
            yield from ()

        process = self.layer._process
        process.exchange.clean_up = nothing
        owner = process.owners.release()
        if owner is not None:
            await owner.end()
        await self.layer.close()


class World:
    def __init__(self, kind: str, server: RedisServer, rng: random.Random, stack: AsyncExitStack) -> None:
        self.kind, self.server, self.rng, self.stack = kind, server, rng, stack
        self.processes: list[Process] = []
        self.log: list[Any] = []

    async def begin(self) -> None:
        for _ in range(PROCESSES):
            await self.begin_one()

    async def begin_one(self) -> None:
        proxy = await self.stack.enter_async_context(proxying(self.server.port))
        process = Process(self.kind, proxy)
        await process.watch()
        self.processes.append(process)

    async def step(self) -> None:
        rng = self.rng
        what = rng.choices([*STEPS_BY_WEIGHT], [*STEPS_BY_WEIGHT.values()])[0]
        process, group = rng.choice(self.processes), rng.choice(GROUPS)
        self.log.append((what, self.processes.index(process), group))
        names = sorted({name for _, name in process.live})
        pairs = sorted(process.live)
        if what in ("track", "track_and_detach", "cancel"):
            name = rng.choice(names) if names and rng.random() < 0.3 else process.layer.attach(lambda message: 1)
            work = process.track(group, name, rng.choice(KEYS), rng.randrange(3))
            if what == "track":
                await work
                return
            task = asyncio.create_task(work)
            for _ in range(rng.randrange(12)):
                await asyncio.sleep(0)
            if what == "cancel":
                task.cancel()
            else:
                process.detach(name)
            await asyncio.wait([task])
            if what == "track_and_detach" or (task.cancelled() and (group, name) not in pairs):
                process.detach(name)
            if not task.cancelled():
                task.result()
        elif what == "update" and pairs:
            await process.update(*rng.choice(pairs), rng.randrange(3))
        elif what == "untrack" and pairs:
            await process.untrack(*rng.choice(pairs))
        elif what == "detach" and names:
            process.detach(rng.choice(names))
        elif what == "cut":
            process.proxy.cut()
        elif what == "hold":
            process.proxy.flowing.clear()
            await asyncio.sleep(rng.choice([0.05, 0.3, 1.5]))
            process.proxy.cut()
            process.proxy.flowing.set()
        elif what == "flush":
            with self.server.client() as client:
                client.flushall()
        elif what == "die":
            self.processes.remove(process)
            await process.die()
            await self.begin_one()
        elif what == "wait":
            await asyncio.sleep(rng.choice([0, 0.01, 0.06, 0.25]))

    def expected(self, group: str) -> Members:
        found: dict[str, list[Any]] = {}
        for process in self.processes:
            for (tracked, _), (key, tab) in process.live.items():
                if tracked == group and {"tab": tab} not in found.setdefault(key, []):
                    found[key].append({"tab": tab})
        return in_order(found)

    async def settle(self) -> None:
        wrong: Any = None
        try:
            with anyio.fail_after(SETTLED_WITHIN):
                while wrong := await self.wrong():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{wrong}\nafter {self.log}") from None

    async def wrong(self) -> Any:
        for number, process in enumerate(self.processes):
            for group in GROUPS:
                expected = self.expected(group)
                try:
                    read = in_order(await process.layer.presence(group))
                except RedisError as error:
                    return repr(error)
                if read != expected:
                    return f"process {number} reads {read} of {group}, not {expected}"
                if (known := in_order(process.watchers[group].known)) != expected:
                    return f"a member in process {number} knows {known} of {group}, not {expected}"
        return None


def in_order(members: Members) -> Members:
    return {key: sorted(metas, key=json.dumps) for key, metas in members.items()}


@pytest.mark.parametrize("seed", [1, *left_to_ci(*range(2, 6))])
async def test_at_rest_everybody_knows_who_is_there(kind: str, server: RedisServer, seed: int) -> None:
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        world = World(kind, server, rng, stack)
        await world.begin()
        try:
            for _ in range(ROUNDS):
                world.log.clear()
                for _ in range(STEPS):
                    await world.step()
                await world.settle()
        finally:
            for process in world.processes:
                await process.layer.close()
