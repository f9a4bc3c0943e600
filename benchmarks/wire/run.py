"""Runs the scenarios over real sockets, the peers taking turns."""

import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from ..children import Child, ChildFailed
from ..plan import WIRE, Options, WireSpec
from ..results import Results
from .client import Address, Swarm, WireError, cpu_seconds

CPU = "-cpu"
"""What is added to a scenario's name for the server's CPU time per message."""

ALONE = "wire-alone"
"""The name for the rounds of a group beside which there are no idle connections."""

SLICES = 2
"""How often the two servers that are compared with each other take turns in a round."""

Play = Callable[[int], Awaitable[None]]


class NotOffered(Exception):
    """A peer has no such endpoint; the message says why."""


@dataclass
class Served:
    """A server and the clients that play with it."""

    child: Child
    play: Play
    size: int
    count: int = 1

    async def calibrate(self, seconds: float) -> None:
        """Warm up, and find out how often to repeat so that one measurement takes about `seconds`."""
        while True:
            elapsed, _ = await self.measure()
            factor = seconds / (elapsed * self.count * self.size)
            self.count = max(1, round(self.count * min(factor, 10)))
            if factor < 2:
                return

    async def measure(self) -> tuple[float, float]:
        """The seconds, and the seconds of the server's CPU time, that one message took."""
        gc.collect()
        gc.disable()
        try:
            start, cpu = time.perf_counter(), cpu_seconds(self.child.pid)
            await self.play(self.count)
            elapsed, cpu = time.perf_counter() - start, cpu_seconds(self.child.pid) - cpu
        finally:
            gc.enable()
        messages = self.count * self.size
        return elapsed / messages, cpu / messages


@asynccontextmanager
async def address(peer: str, endpoint: str, results: Results) -> AsyncIterator[tuple[Child, Address]]:
    """Run a peer's server."""
    child = Child("benchmarks.wire.server", peer)
    try:
        where = Address(**await child.start())
        results.versions[peer] = where.versions
        if endpoint in where.lacks:
            raise NotOffered(where.lacks[endpoint])
        yield child, where
    finally:
        await child.kill()  # no farewell from thousands of connections


@asynccontextmanager
async def serving(peer: str, spec: WireSpec, size: int, results: Results) -> AsyncIterator[Served]:
    """Run a peer's server and connect the clients."""
    async with address(peer, spec.endpoint, results) as (child, where), Swarm(where, spec.endpoint, size) as swarm:
        yield Served(child, swarm.echo if spec.endpoint == "echo" else swarm.fan_out, size)


async def run(name: str, options: Options, results: Results) -> None:
    """Measure one scenario: messages a second, and the server's CPU time for each."""
    spec = WIRE[name]
    size = options.size(spec.size)
    async with AsyncExitStack() as stack:
        served: dict[str, Served] = {}
        for peer in options.peers:
            try:
                served[peer] = await stack.enter_async_context(serving(peer, spec, size, results))
                await served[peer].calibrate(options.wire_seconds)
            except NotOffered as reason:
                results.notes[name, size, peer] = results.notes[name + CPU, size, peer] = str(reason)
            except (ChildFailed, WireError, OSError) as error:
                served.pop(peer, None)
                results.fail(name, size, peer, error)
        for _ in range(options.rounds):
            for peer in list(served):
                try:
                    elapsed, cpu = await served[peer].measure()
                except WireError as error:
                    del served[peer]
                    results.fail(name, size, peer, error)
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
                alone = await stack.enter_async_context(serving(peer, spec, size, results))
                child, where = await stack.enter_async_context(address(peer, "crowd", results))
                await stack.enter_async_context(Swarm(where, "crowd", crowd))
                swarm = await stack.enter_async_context(Swarm(where, spec.endpoint, size))
                crowded = Served(child, swarm.fan_out, size)
                for served in (alone, crowded):
                    await served.calibrate(options.wire_seconds / SLICES)
                for _ in range(options.rounds * SLICES):
                    for key, served in ((ALONE, alone), (name, crowded)):
                        elapsed, _ = await served.measure()
                        results.add(key, size, peer, elapsed * size * 1e6)
        except NotOffered as reason:
            results.notes[name, size, peer] = results.notes[ALONE, size, peer] = str(reason)
        except (ChildFailed, WireError, OSError) as error:
            results.fail(name, size, peer, error)
