"""Runs a soak: starts the processes, kills Redis, measures before and after, has the account made."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.children import Child

from ..support.redis_server import RedisServer, running_redis
from .account import Account
from .clients import GRACE
from .ledger import Ledger

PRESENCE = "__presence__"

QUIET = 60.0
"""Seconds in which everything has to go back after the last client has left."""


@dataclass
class Options:
    """What to run.

    Args:
        seconds: how long, the warm-up included.
        clients: how many; 0 leaves out all but the rolling restart.
        servers: how many server processes.
        seed: of the clients' random numbers.
        layer: "pubsub" or "queue".
        kills: how often Redis is killed.
        outage: seconds that it is away each time.
        ping: seconds between a server's pings, and that it then waits for an answer.
        rolling: of how many clients the workers are replaced afterwards; 0 leaves that out.
    """

    seconds: float = 600
    clients: int = 2000
    servers: int = 2
    seed: str = "1"
    layer: str = "pubsub"
    kills: int = 2
    outage: float = 2.0
    ping: float = 5.0
    rolling: int = 1000


@dataclass
class Outcome:
    """What came out.

    Attributes:
        account: what became of the messages.
        measures: for each server, what it held before the first client, after the warm-up and at the end.
        looks: for each server, its counters at the end.
        sessions: how many sessions of each kind there were after the warm-up.
        problems: what went wrong beside the messages.
        redis: what was left in Redis at the end.
        load: the share of a core that each server used after the warm-up.
    """

    options: Options
    account: Account = field(default_factory=Account)
    measures: list[list[dict[str, Any]]] = field(default_factory=list)
    looks: list[dict[str, Any]] = field(default_factory=list)
    sessions: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    redis: dict[str, Any] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)


async def soak(options: Options, folder: Path, say: Callable[[str], object]) -> Outcome:
    """Run a soak.

    Args:
        options: what to run.
        folder: where to leave the records and the servers' logs.
        say: told what goes on.

    Raises:
        benchmarks.children.ChildFailed: if a process does not answer.
    """
    outcome = Outcome(options)
    with running_redis() as redis:
        async with AsyncExitStack() as stack:
            run = Run(options, outcome, redis, folder, say)
            await run.start(stack)
            await run.measure()
            warm_up = options.seconds / 6
            await run.phase("warm-up", warm_up, kills=0)
            await run.phase("soak", options.seconds - warm_up, options.kills)
            await run.see_redis()
    say("the account is being made")
    started = time.monotonic()
    outcome.account = Ledger(folder, options.servers).settle(sum(look["overfull"] for look in outcome.looks))
    say(f"the account took {time.monotonic() - started:.0f} s")
    return outcome


class Run:
    """The processes of a soak."""

    def __init__(
        self, options: Options, outcome: Outcome, redis: RedisServer, folder: Path, say: Callable[[str], object]
    ) -> None:
        self._options = options
        self._outcome = outcome
        self._redis = redis
        self._folder = folder
        self._say = say
        self._servers: list[Child] = []
        self._ports: list[int] = []
        self._clients = Child("tests.soak.clients", options.seed, str(folder))

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything; the stack ends it."""
        for index in range(self._options.servers):
            options = self._options
            child = Child(
                "tests.soak.server", str(index), options.layer, self._redis.url, str(self._folder), str(options.ping)
            )
            stack.push_async_callback(child.stop)
            self._ports.append((await child.start())["port"])
            self._servers.append(child)
        stack.push_async_callback(self._clients.stop)
        files = (await self._clients.start())["files"]
        if files < 2 * self._options.clients:
            raise RuntimeError(
                f"{self._options.clients} clients need a limit of {2 * self._options.clients} open files; it is {files}"
            )

    async def measure(self) -> None:
        """Note what each server holds."""
        await self._ask_servers("mark")
        self._outcome.measures.append(await self._ask_servers("measure"))

    async def phase(self, name: str, seconds: float, kills: int) -> None:
        """Let the clients loose for a time, then wait until everything has gone back."""
        options, outcome = self._options, self._outcome
        self._say(f"{name}: {options.clients} clients for {seconds:.0f} s")
        before, started = await self._ask_servers("look"), time.monotonic()
        order = {"clients": options.clients, "seconds": seconds, "ports": self._ports}
        playing = asyncio.create_task(self._clients.ask("play", seconds + 2 * GRACE, **order))
        try:
            for part in range(kills + 1):
                await asyncio.sleep(seconds / (kills + 1) * 0.9)
                looks = await self._ask_servers("look")
                self._say(f"{name}: {sum(look['open'] for look in looks)} connections now")
                if part < kills:
                    await self._kill_redis()
            after, passed = await self._ask_servers("look"), time.monotonic() - started
            played = await playing
        finally:
            playing.cancel()
        outcome.load = [(two["cpu"] - one["cpu"]) / passed for one, two in zip(before, after, strict=True)]
        outcome.sessions = played["sessions"]
        outcome.problems += played["failures"]
        if played["late"]:
            outcome.problems.append(f"{played['late']} clients did not end by themselves")
        await self._until_quiet()
        await self.measure()
        outcome.looks = await self._ask_servers("look")

    async def _kill_redis(self) -> None:
        self._say("Redis is killed")
        self._redis.stop()
        await asyncio.sleep(self._options.outage)
        await asyncio.to_thread(self._redis.start)
        self._say("Redis is there again")

    async def _until_quiet(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET):
                while any(look["open"] for look in await self._ask_servers("look")):
                    await asyncio.sleep(0.2)

    async def see_redis(self) -> None:
        """Note what is left in Redis, besides the leases of the servers, which live on."""
        with self._redis.client() as client:
            marks = self._options.servers if self._options.layer == "pubsub" else 0
            self._outcome.redis = {
                "keys": len([key for key in client.keys("*") if not key.endswith(f"{PRESENCE}:leases")]),
                "groups subscribed to": len([name for name in client.pubsub_channels() if PRESENCE not in name]),
                "patterns": client.pubsub_numpat() - marks,
                "connections": len(self._redis.connections()),
            }

    async def _ask_servers(self, do: str) -> list[Any]:
        return list(await asyncio.gather(*(server.ask(do) for server in self._servers)))


@contextlib.contextmanager
def folder_for(keep: Path | None) -> Iterator[Path]:
    """Return a folder for the records: one to keep, or one for the time of the block."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
    else:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            yield Path(folder)
