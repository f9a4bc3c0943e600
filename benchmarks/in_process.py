"""Runs the scenarios that need no sockets, the peers taking turns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .children import Child, ChildFailed
from .plan import IN_PROCESS, SECONDS_A_ROUND, Options, Spec
from .results import NOT_OFFERED, Results


class InProcess:
    """One worker process for each peer.

    Args:
        options: what to run.
        results: where the figures go.
    """

    def __init__(self, options: Options, results: Results) -> None:
        self._options, self._results = options, results
        self._workers: dict[str, Child] = {}
        self._endpoints: dict[str, list[str]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["InProcess"]:
        """Stop what was started, whatever happens."""
        try:
            yield self
        finally:
            for peer in list(self._workers):
                await self._workers.pop(peer).stop()

    async def run(self, name: str) -> None:
        """Measure one scenario, size after size."""
        spec = IN_PROCESS[name]
        peers = list(self._options.peers)
        for size in map(self._options.size, spec.sizes):
            for peer in list(peers):
                try:
                    await self._start(peer)
                    reason = self._why_not(name, spec, peer, size)
                except ChildFailed as error:
                    self._results.fail(name, size, peer, error)
                    reason = "failed"
                if reason:
                    self._results.notes[name, size, peer] = reason
                    peers.remove(peer)
            await self._measure(name, spec, size, peers)

    async def _measure(self, name: str, spec: Spec, size: int, peers: list[str]) -> None:
        async def ask(peer: str, do: str) -> float | None:
            try:
                value: float | None = await self._workers[peer].ask(
                    do, scenario=name, size=size, seconds=self._options.seconds * spec.stretch
                )
                return value
            except ChildFailed as error:
                self._results.fail(name, size, peer, error)
                able.remove(peer)
                await self._workers.pop(peer).kill()
                return None

        able = list(peers)
        for peer in peers:
            await ask(peer, "open")
        for _ in range(min(self._options.rounds, spec.rounds)):
            for peer in list(able):
                value = await ask(peer, "measure")
                if value is not None:
                    self._results.add(name, size, peer, value * spec.scale)
        for peer in list(able):
            await ask(peer, "close")

    async def _start(self, peer: str) -> None:
        if peer not in self._workers:
            self._workers[peer] = Child("benchmarks.worker", peer)
            hello = await self._workers[peer].start()
            self._results.versions[peer] = hello["versions"]
            self._endpoints[peer] = hello["endpoints"]

    def _why_not(self, name: str, spec: Spec, peer: str, size: int) -> str:
        """Why a peer does not run a scenario at a size; empty: it does."""
        if spec.endpoint not in self._endpoints[peer]:
            return NOT_OFFERED
        measured = [
            (other, median)
            for other in map(self._options.size, spec.sizes)
            if other < size and (median := self._results.median(name, other, peer))
        ]
        if len(measured) < 2 or spec.scale != 1e6:
            return ""
        (_, before), (_, last) = measured[-2:]
        seconds = size * last * max(1.0, last / before) / 1e6
        return "" if seconds <= SECONDS_A_ROUND else f"stops: about {seconds:.0f} s a message"
