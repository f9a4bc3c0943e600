"""What runs: a Redis, proxies, servers, those who send beside them."""

import asyncio
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.children import Child

from ..support.proxy import Proxy, proxying
from ..support.redis_server import RedisServer, free_port
from .app import QUIET, groups_of, make_layer
from .plan import Options
from .senders import Sender
from .shapes import SHAPES
from .witness import Witness

SERVERS = 2

BESIDE = ("once", "surely", "passing", "thread")
"""How those send who are in no server."""

GROUP = "asgi__group__"
"""What the names of groups begin with in Redis."""

EXCEPTION = re.compile(r"^Traceback .*\n(?:[ |].*\n)*(.+)", re.MULTILINE)

UVICORN_S = "Expected ASGI message 'websocket.accept'"
"""What uvicorn says of a message to a client that has gone before it was accepted."""

KEPT = {"redis.conf", "log"}
"""Files of a Redis that are no data."""

GOING_ON = ("appendonly yes", "appendfsync no")
"""A Redis with these hands to the kernel what it then confirms, or publishes: that outlives `kill -9`."""


class Stage:
    """What runs.

    Args:
        options: what to run.
        redis: the Redis.
        folder: where servers leave their records and logs.
        facts: where to count what has happened.

    Attributes:
        groups: the groups.
        witness: who stands beside Redis.
        confirmed: the messages that were confirmed: sender, number, position.
        has_copy: whether there is a copy of the data of the Redis that runs now.
        redis_proxy, proxies: those before Redis, and before each server.
        burster: sends without a proxy.
        folder: where servers leave their records and logs.
        heard: the positions of `QUIET` that some client has got.
    """

    def __init__(self, options: Options, redis: RedisServer, folder: Path, facts: Counter[str]) -> None:
        self.options = options
        self.redis = redis
        self.groups = groups_of(options.groups)
        self.witness = Witness(redis, self.groups)
        self.confirmed: list[tuple[str, int, str]] = []
        self.facts = facts
        self.has_copy = False
        self.heard: set[str] = set()
        self.redis_proxy: Proxy
        self.proxies: list[Proxy] = []
        self.burster: Sender
        self.folder = folder
        self._copy = folder / "copy"
        self._servers: list[asyncio.Task[Child]] = []  # that start, or have started
        self._ports = [free_port() for _ in range(SERVERS)]
        self._starts = 0
        self._senders: list[Sender] = []
        self._sending: list[asyncio.Task[None]] = []
        self._shape = SHAPES[options.client]

    @property
    def ports(self) -> list[int]:
        """Where clients connect to the servers."""
        return [proxy.port for proxy in self.proxies]

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything; the stack ends it."""
        await self.restart_redis("nothing")
        stack.push_async_callback(self.witness.end)
        stack.callback(self.redis.stop)
        self.redis_proxy = await stack.enter_async_context(proxying(self.redis.port))
        for index, port in enumerate(self._ports):
            self.proxies.append(await stack.enter_async_context(proxying(port)))
            self._servers.append(asyncio.create_task(self._start_server(index)))
            stack.push_async_callback(self._stop_server, index)
        await asyncio.gather(*self._servers)
        layer = await stack.enter_async_context(make_layer(f"redis://127.0.0.1:{self.redis_proxy.port}"))
        direct = await stack.enter_async_context(make_layer(self.redis.url))
        for how in BESIDE:
            sender = Sender(f"beside {how}", layer, self.groups[1:], self._chance(how), self._note, self._shape)
            self._senders.append(sender)
            self._sending.append(asyncio.create_task(sender.run(how, self.options.rate)))
        self.burster = Sender("burst", direct, self.groups, self._chance("burst"), self._note, self._shape)

    async def stop_sending(self) -> None:
        """End all senders."""
        for task in self._sending:
            task.cancel()
        for result in await asyncio.gather(*self._sending, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        await asyncio.gather(*(server.ask("end") for server in await asyncio.gather(*self._servers)))
        self.facts["messages sent again"] += sum(sender.retries for sender in self._senders)

    def errors(self) -> list[str]:
        """Return what servers have logged of exceptions, the last line of each."""
        logs = [path.read_text() for path in sorted(self.folder.glob("*.log"))]
        return [error for log in logs for error in EXCEPTION.findall(log) if UVICORN_S not in error]

    def read_records(self) -> None:
        """Take note of what servers have written, those that were killed too."""
        for path in sorted(self.folder.glob("*.records")):
            for line in path.read_text().splitlines():
                what, *rest = json.loads(line)
                if what == "confirmed":
                    self._note(*rest)
                else:
                    self.facts[what] += 1

    def hears_quiet_group(self) -> bool:
        """Whether a server hears `QUIET`; blocks."""
        with self.redis.client() as client:
            [(_, count)] = client.pubsub_numsub(GROUP + QUIET)
        return bool(count)

    # What can be done to it

    async def kill_server(self, index: int) -> None:
        """Kill a server; it starts again while other things happen."""
        await (await self._servers[index]).kill()
        self._servers[index] = asyncio.create_task(self._start_server(index))

    async def copy_data(self) -> None:
        """Keep a copy of Redis' data, in which every group has a message."""
        await asyncio.gather(*map(self.burster.surely, self.groups))
        await asyncio.to_thread(self._copy_data)

    def _copy_data(self) -> None:
        with self.redis.client() as client:
            client.save()
        shutil.copy(self.redis.folder / "dump.rdb", self._copy)
        self.has_copy = True

    async def restart_redis(self, data: str) -> None:
        """Kill Redis, and start it again. Connections by the proxy are held until `redis_proxy.flowing` is set.

        Args:
            data: what it has then: "all", "a copy", "nothing".
        """
        await asyncio.to_thread(self._restart_redis, data)
        self.has_copy = False
        await self.witness.begin()

    def _restart_redis(self, data: str) -> None:
        self.redis.stop()
        if data != "all":
            for path in self.redis.folder.iterdir():
                if path.name not in KEPT:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        if data == "a copy":
            shutil.copy(self._copy, self.redis.folder / "dump.rdb")
        self.redis.options = () if data == "a copy" else GOING_ON
        self.redis.start()
        if data == "a copy":
            with self.redis.client() as client:
                client.config_set("appendfsync", "no")
                client.config_set("appendonly", "yes")
                while not _is_written(client.info("persistence")):
                    pass

    # Inside

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{self.options.seed} {what}")

    def _note(self, sender: str, number: int, position: str | None) -> None:
        if position is not None:
            self.confirmed.append((sender, number, position))

    async def _start_server(self, index: int) -> Child:
        self._starts += 1
        name, options = f"server {index} {self._starts}", self.options
        url = f"redis://127.0.0.1:{self.redis_proxy.port}"
        arguments: Sequence[Any] = (
            name,
            url,
            self._ports[index],
            self.folder,
            options.groups,
            options.rate,
            options.client,
            options.bug,
        )
        child = Child("tests.torture.server", *map(str, arguments))
        await child.start()
        return child

    async def _stop_server(self, index: int) -> None:
        await (await self._servers[index]).stop()


def _is_written(persistence: dict[str, Any]) -> bool:
    return not (persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])
