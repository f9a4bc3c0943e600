"""The process in which one peer lives: `python -m benchmarks.worker PEER`.

It reads one command a line from its input and answers each with a line of JSON. Between two commands its event loop
stands still, so the peers' processes do not disturb each other.
"""

import asyncio
import gc
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from .peers import load
from .plan import IN_PROCESS, Command
from .scenarios import Measure

MOST = 50_000
"""Operations in one measurement."""


async def calibrate(measure: Measure, seconds: float) -> int:
    """Warm up, and find out how often to repeat so that one measurement takes about `seconds`."""
    count = 1
    while True:
        start = time.perf_counter()
        await measure(count)
        factor = seconds / max(time.perf_counter() - start, 1e-9)
        if factor < 2 or count >= MOST:
            return min(MOST, max(1, round(count * factor)))
        count = min(MOST, round(count * min(factor, 10)))


class Worker:
    """Carries out the commands `open`, `measure` and `close`."""

    def __init__(self, name: str) -> None:
        self.peer = load(name)
        self._stack = AsyncExitStack()
        self._measure: Measure
        self._count = 1

    async def open(self, command: Command) -> Any:
        """Set a scenario up."""
        spec = IN_PROCESS[command["scenario"]]
        self._measure = await self._stack.enter_async_context(spec.scenario(self.peer, command["size"]))
        if spec.count is None:
            self._count = await calibrate(self._measure, command["seconds"])
        else:
            self._count = spec.count
            await self._measure(spec.count)
        return self._count

    async def measure(self, command: Command) -> Any:
        gc.collect()  # so that nobody pays for the garbage of what was before
        return await self._measure(self._count)

    async def close(self, command: Command) -> Any:
        await self._stack.aclose()


async def main(name: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # nothing that a library prints may pass for an answer
    worker = Worker(name)
    async with worker.peer.running():
        print(json.dumps({"versions": worker.peer.versions, "endpoints": list(worker.peer.endpoints)}), file=answers)
        for line in sys.stdin:
            command = json.loads(line)
            print(json.dumps(await getattr(worker, command["do"])(command)), file=answers)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
