"""What the tests of presence on Redis have in common: members that fold what they are told, and other processes."""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

import anyio

from consumers.layers.redis.layer import RedisLayer
from consumers.types import Message

from ....support.pages import ROOT
from ....support.redis_layers import LAYERS, Member

GROUP = "room"
PRESENCE = {"lease": 1, "grace": 0.3}
LEASE = PRESENCE["lease"]
MARGIN = 2.0  # seconds after the end of a lease in which those of a dead process are to be gone
KINDS = list(LAYERS)

Members = dict[str, list[dict[str, Any]]]


class Watcher(Member):
    """A member that knows who is there, as a client would: it reads once, and then folds what it is told."""

    def __init__(self) -> None:
        self.known: Members = {}
        self.version = 0
        self.joined: list[str] = []
        self.left: list[str] = []
        self.updated: list[str] = []
        self.states = 0

    async def watch(self, layer: RedisLayer, group: str = GROUP) -> Self:
        await self.join(layer, group)
        presence = await layer.presence(group)
        late = list(self)
        self.known, self.version = dict(presence), presence.version
        for message in late:
            self._fold(message)
        return self

    def deliver(self, message: Message) -> int:
        self._fold(message)
        return super().deliver(message)

    def _fold(self, message: Message) -> None:
        if message["type"] == "presence.state":
            self.states += 1
            self.known, self.version = json.loads(json.dumps(message["members"])), message["version"]
        elif message["type"] == "presence.diff" and message["version"] > self.version:
            self.version = message["version"]
            for key, metas in {**message["joins"], **message["updates"]}.items():
                self.known[key] = json.loads(json.dumps(metas))
            for key in message["leaves"]:
                self.known.pop(key, None)
            self.joined += message["joins"]
            self.left += message["leaves"]
            self.updated += message["updates"]


async def soon(condition: Callable[[], Any], seconds: float = 15) -> None:
    """Wait until something is so, for as long as it may take."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


async def soon_there(layer: RedisLayer, *keys: str, group: str = GROUP, seconds: float = 15) -> None:
    """Wait until just these keys are there."""
    with anyio.fail_after(seconds):
        while set(await layer.presence(group)) != set(keys):
            await anyio.sleep(0.02)


async def tracked(layer: RedisLayer, key: str, group: str = GROUP, **meta: Any) -> str:
    """Attach a channel and have it stand for a key; return its name."""
    name = layer.attach(lambda message: 1)
    await layer.presence_track(group, name, key=key, meta=meta)
    return name


@contextlib.asynccontextmanager
async def processes(kind: str, count: int, *urls: str, **options: Any) -> AsyncIterator[list[RedisLayer]]:
    """Make layers, each of which is like a process of its own to the others; close them at the end of the block."""
    layers = [LAYERS[kind](list(urls), **{"presence": PRESENCE, **options}) for _ in range(count)]
    try:
        yield layers
    finally:
        for layer in layers:
            await layer.close()


class Peer:
    """Another process, which does what it is told; see `peer`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, what: str, *arguments: Any) -> Any:
        """Have it do something, wait for that, and return what it says."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([what, *arguments]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, "the other process has ended"
        reply = json.loads(line)
        assert "error" not in reply, reply["error"]
        return reply["reply"]

    async def do(self, what: str, *arguments: Any) -> Any:
        """As `ask()`, while this process goes on."""
        return await anyio.to_thread.run_sync(self.ask, what, *arguments)


@contextlib.contextmanager
def peer(kind: str, url: str, ahead: float = 0, **options: Any) -> Iterator[Peer]:
    """Run another process until the end of the block.

    Args:
        kind: the kind of its layer.
        url: the Redis server.
        ahead: seconds that its clock is ahead.
        options: the layer's.
    """
    command = [sys.executable, "-m", "tests.layers.redis.presence.peer"]
    settings = json.dumps({"kind": kind, "hosts": [url], "ahead": ahead, "options": {"presence": PRESENCE, **options}})
    process = subprocess.Popen([*command, settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield Peer(process)
    finally:
        process.kill()
        process.communicate()
