"""Runs the scenarios over real sockets, the peers taking turns."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from ..children import Child, ChildFailed
from ..plan import WIRE, Options
from ..results import NOT_OFFERED, Results
from .client import PATIENCE, Address, Swarm, WireError, cpu_seconds
from .processors import CLIENTS, SERVERS, awake, on

CPU = "-cpu"
"""What is added to a scenario's name for the server's CPU time per message."""

ALONE = "wire-alone"
"""The name for the rounds of a group beside which there are no idle connections."""

SLICES = 2
"""How often the two servers that are compared with each other take turns in a round."""

FEWEST, ENOUGH = 5, 5.0
"""How many rounds, and how many seconds of them, are enough where one peer after the other is measured."""

SITTINGS = 3
"""How often a scenario's servers are started: two of a kind differ by some percent as long as they live."""

PAUSE = 0.02
"""Seconds between two looks at whether a server has come to rest."""

IDLE = 0.1
"""What part of the time a server uses at rest, at most: some have timers."""

Play = Callable[[int], Awaitable[None]]


class NotOffered(Exception):
    """A peer has no such endpoint; the message says why."""


@dataclass
class Served:
    """A server and the clients that play with it.

    Args:
        child: the server.
        play: lets the clients exchange so many messages with it.
        size: how many frames each of them makes for all clients together.
        sleeps: whether the clients' process may sleep meanwhile.
        least: how many messages make a measurement, even if they take longer than wanted.
    """

    child: Child
    play: Play
    size: int
    sleeps: bool
    least: int

    def __post_init__(self) -> None:
        self.count = self.least

    async def calibrate(self, seconds: float) -> None:
        """Warm up, and find out how often to repeat so that one measurement takes about `seconds`."""
        while True:
            elapsed, _ = await self.measure()
            factor = seconds / (elapsed * self.count * self.size)
            self.count = max(self.least, round(self.count * min(factor, 10)))
            if factor < 2:
                return

    async def measure(self) -> tuple[float, float]:
        """The seconds, and the seconds of the server's CPU time, that one message took."""
        gc.collect()
        gc.disable()
        try:
            with self.child.going_on():
                with on(CLIENTS), nullcontext() if self.sleeps else awake():
                    start, cpu = time.perf_counter(), cpu_seconds(self.child.pid)
                    await self.play(self.count)
                    elapsed, cpu = time.perf_counter() - start, cpu_seconds(self.child.pid) - cpu
                await self._rest()
        finally:
            gc.enable()
        messages = self.count * self.size
        return elapsed / messages, cpu / messages

    async def _rest(self) -> None:
        """Wait until the server has nothing left to do, which may be long after the last frame has come."""
        before = cpu_seconds(self.child.pid)
        for _ in range(round(PATIENCE / PAUSE)):
            await asyncio.sleep(PAUSE)
            now = cpu_seconds(self.child.pid)
            if now - before < IDLE * PAUSE:
                return
            before = now
        raise WireError(f"the server is still busy {PATIENCE:.0f} s after the last frame")


@asynccontextmanager
async def address(peer: str, endpoint: str, results: Results) -> AsyncIterator[tuple[Child, Address]]:
    """Run a peer's server."""
    child = Child("benchmarks.wire.server", peer)
    try:
        with on(SERVERS):
            where = Address(**await child.start())
        results.versions[peer] = where.versions
        if endpoint not in where.targets:
            raise NotOffered(NOT_OFFERED)
        yield child, where
    finally:
        await child.kill()  # no farewell from thousands of connections


@asynccontextmanager
async def serving(peer: str, name: str, options: Options, results: Results) -> AsyncIterator[Served]:
    """Run a peer's server and connect the clients."""
    endpoint, size = WIRE[name].endpoint, options.size(WIRE[name].size)
    async with (
        address(peer, endpoint, results) as (child, where),
        Swarm(where, endpoint, size) as swarm,
    ):
        spec = WIRE[name]
        play = swarm.echo if endpoint == "echo" else partial(swarm.fan_out, times=spec.times, length=spec.length)
        yield Served(child, play, size * spec.times, options.clients_sleep, spec.least)


async def run(name: str, options: Options, results: Results) -> None:
    """Measure one scenario: messages a second, and the server's CPU time for each."""
    peers = list(options.peers)
    for sitting in range(min(SITTINGS, options.rounds)):
        await sit(name, peers, -(-(options.rounds - sitting) // SITTINGS), options, results)


async def sit(name: str, peers: list[str], rounds: int, options: Options, results: Results) -> None:
    """Measure it with servers of its own; peers that have not got it, or fail, are removed."""
    size = options.size(WIRE[name].size)
    async with AsyncExitStack() as stack:
        served: dict[str, Served] = {}
        for peer in list(peers):
            try:
                served[peer] = await stack.enter_async_context(serving(peer, name, options, results))
                await served[peer].calibrate(options.wire_seconds)
            except NotOffered as reason:
                peers.remove(peer)
                results.notes[name, size, peer] = results.notes[name + CPU, size, peer] = str(reason)
            except (ChildFailed, WireError, OSError) as error:
                peers.remove(peer)
                results.fail(name, size, peer, error, name + CPU)
        for number in range(rounds):
            first = number % len(peers) if peers else 0
            for peer in [*peers[first:], *peers[:first]]:
                try:
                    elapsed, cpu = await served[peer].measure()
                except (WireError, OSError) as error:
                    peers.remove(peer)
                    results.fail(name, size, peer, error, name + CPU)
                    continue
                results.add(name, size, peer, 1 / elapsed)
                results.add(name + CPU, size, peer, cpu * 1e6)


async def run_idle(name: str, options: Options, results: Results) -> None:
    """Measure what idle connections cost others: rounds of a group on two servers, one of them with a crowd."""
    spec = WIRE[name]
    size, crowd = options.size(spec.size), options.size(options.crowd)
    for peer in options.peers:
        try:
            async with AsyncExitStack() as stack:
                alone = await stack.enter_async_context(serving(peer, name, options, results))
                child, where = await stack.enter_async_context(address(peer, "crowd", results))
                idle = await stack.enter_async_context(Swarm(where, "crowd", crowd))
                swarm = await stack.enter_async_context(Swarm(where, spec.endpoint, size))
                crowded = Served(child, swarm.fan_out, size, options.clients_sleep, spec.least)
                for served in (alone, crowded):
                    await served.calibrate(options.wire_seconds / SLICES)
                start = time.monotonic()
                for number in range(options.rounds * SLICES):
                    if number >= FEWEST and time.monotonic() - start > ENOUGH:
                        break
                    for key, served in ((ALONE, alone), (name, crowded)):
                        elapsed, cpu = await served.measure()
                        results.add(key, size, peer, elapsed * size * 1e6)
                        results.add(key + CPU, size, peer, cpu * size * 1e6)
                idle.require_whole()
        except NotOffered as reason:
            for key in (name, name + CPU, ALONE, ALONE + CPU):
                results.notes[key, size, peer] = str(reason)
        except (ChildFailed, WireError, OSError) as error:
            results.fail(name, size, peer, error, name + CPU, ALONE, ALONE + CPU)
