"""The clients: `python -m tests.soak.clients SEED FOLDER`; answers commands, a line of JSON each way."""

import asyncio
import itertools
import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from .behaviours import KINDS, Behaviour, Client, World, crowd
from .limits import raise_limit_on_files
from .records import Recorder

ARRIVALS = 100
"""Clients that come per second at the start."""

REST = 1.0
"""Mean seconds between two sessions of a client."""

GRACE = 45.0
"""Seconds that sessions may take to end when it is over."""


async def live(client: Client, behave: Behaviour, delay: float, sessions: dict[str, int], kind: str) -> None:
    """Play session after session until the end."""
    await asyncio.sleep(max(0, min(delay, client.left)))
    while client.left > 0:
        sessions[kind] += 1
        with suppress(OSError):
            await behave(client)
        await asyncio.sleep(max(0, min(client.chance.expovariate(1 / REST), client.left)))


async def play(seed: str, record: Recorder, numbers: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Let the crowd loose for a time; return how many sessions there were, and whether all ended by themselves."""
    size, seconds = order["clients"], order["seconds"]
    loop = asyncio.get_running_loop()
    world = World(
        ports=order["ports"],
        rooms=max(4, size // 16),
        until=loop.time() + seconds,
        life=max(4.0, min(60.0, seconds / 4)),
        record=record,
        numbers=numbers,
    )
    sessions = dict.fromkeys(KINDS, 0)
    ramp = min(size / ARRIVALS, seconds / 3)
    tasks = []
    for kind, count in crowd(size).items():
        for index in range(count):
            client = Client(world, random.Random(f"{seed} {kind} {index}"))
            tasks.append(live(client, KINDS[kind][1], client.chance.uniform(0, ramp), sessions, kind))
    running = [asyncio.create_task(task) for task in tasks]
    done, late = await asyncio.wait(running, timeout=seconds + GRACE)
    for task in late:
        task.cancel()
    failures = [repr(error) for task in done if (error := task.exception()) is not None]
    record.flush()
    return {"sessions": sessions, "late": len(late), "failures": failures[:5], "cpu": sum(os.times()[:2])}


async def main(seed: str, folder: Path) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    record, numbers = Recorder(folder / "clients.records"), itertools.count(1)
    print(json.dumps({"files": raise_limit_on_files()}), file=answers)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    for phase in itertools.count():
        if not (line := await commands.readline()):
            return
        print(json.dumps(await play(f"{seed} {phase}", record, numbers, json.loads(line))), file=answers)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
