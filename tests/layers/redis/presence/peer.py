"""A process that tracks and watches as it is told, by lines of JSON; see `support.peer`."""

import asyncio
import json
import sys
import time
from typing import Any

from ....support.redis_layers import LAYERS
from .support import Watcher


class Doer:
    """Does what it is told."""

    def __init__(self, kind: str, hosts: list[str], options: dict[str, Any]) -> None:
        self.layer = LAYERS[kind](hosts, **options)
        self.watchers: dict[str, Watcher] = {}

    async def track(self, group: str, key: str, meta: dict[str, Any] | None = None) -> str:
        name = self.layer.attach(lambda message: 1)
        await self.layer.presence_track(group, name, key=key, meta=meta)
        return name

    async def track_many(self, group: str, count: int) -> None:
        names = [self.layer.attach(lambda message: 1) for _ in range(count)]
        tracks = (self.layer.presence_track(group, name, key=f"user{i}") for i, name in enumerate(names))
        await asyncio.gather(*tracks)

    async def detach(self, name: str) -> None:
        self.layer.detach(name)

    async def watch(self, group: str) -> None:
        self.watchers[group] = await Watcher().watch(self.layer, group)

    async def known(self, group: str) -> Any:
        return self.watchers[group].known

    async def presence(self, group: str) -> Any:
        return await self.layer.presence(group)

    async def incarnation(self) -> Any:
        return self.layer._process.exchange.presence._leases[0].incarnation

    async def close(self) -> None:
        await self.layer.close()


async def main() -> None:
    settings = json.loads(sys.argv[1])
    clock = time.time
    time.time = lambda: clock() + settings["ahead"]
    doer = Doer(settings["kind"], settings["hosts"], settings["options"])
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, *arguments = json.loads(line)
        if what == "end":
            return  # without closing anything
        try:
            reply = {"reply": await getattr(doer, what)(*arguments)}
        except Exception as error:
            reply = {"error": repr(error)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
