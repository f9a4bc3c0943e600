"""A process with a Redis layer, ours or channels_redis', that does what its standard input says.

Each line is a Python literal, a list of an operation's name and its arguments; the answer is another one.
"""

import ast
import asyncio
import itertools
import sys
from typing import Any


def make_layer(side: str, kind: str, arguments: dict[str, Any]) -> Any:
    if side == "ours":
        from consumers.layers import redis as ours

        return {"pubsub": ours.RedisPubSubChannelLayer, "queue": ours.RedisChannelLayer}[kind](**arguments)
    from channels_redis import core, pubsub  # type: ignore[import-not-found]

    return {"pubsub": pubsub.RedisPubSubChannelLayer, "queue": core.RedisChannelLayer}[kind](**arguments)


class Peer:
    """The operations; a layer and a receiver are known by their numbers."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.numbers = itertools.count()
        self.layers: dict[int, Any] = {}
        self.receivers: dict[int, tuple[Any, str, asyncio.Queue[Any], Any]] = {}

    async def make(self, kind: str, arguments: dict[str, Any]) -> int:
        number = next(self.numbers)
        self.layers[number] = make_layer(self.side, kind, arguments)
        return number

    async def join(self, layer_number: int, groups: list[str], since: str | None = None) -> tuple[int, str]:
        """Make a receiver, in these groups; return its number and its channel's name.

        Args:
            layer_number: its layer.
            groups: the groups.
            since: where it goes on in each; None: with what is new. Not in channels_redis.
        """
        layer, messages = self.layers[layer_number], asyncio.Queue[Any]()
        pump = None
        if self.side == "ours":

            def deliver(message: Any) -> int:
                messages.put_nowait(message)
                return 1

            channel = layer.attach(deliver, lambda code, reason: deliver({"closed": [code, reason]}))
        else:
            channel = await layer.new_channel()
            pump = asyncio.ensure_future(self.pump(layer, channel, messages))
        for group in groups:
            await layer.group_add(group, channel, **({} if since is None else {"since": since}))
        number = next(self.numbers)
        self.receivers[number] = (layer, channel, messages, pump)
        return number, channel

    async def pump(self, layer: Any, channel: str, messages: "asyncio.Queue[Any]") -> None:
        while True:
            messages.put_nowait(await layer.receive(channel))

    async def next(self, receiver: int) -> Any:
        return await asyncio.wait_for(self.receivers[receiver][2].get(), 8)

    async def leave(self, receiver: int, groups: list[str]) -> None:
        layer, channel, _, pump = self.receivers.pop(receiver)
        for group in groups:
            await layer.group_discard(group, channel)
        if pump is None:
            layer.detach(channel)
        else:
            pump.cancel()

    async def send(self, layer: int, channel: str, message: Any) -> None:
        await self.layers[layer].send(channel, message)

    async def group_send(self, layer: int, group: str, message: Any, *exclude: str, keep: bool = True) -> Any:
        options = {**({"exclude": exclude} if exclude else {}), **({} if keep else {"keep": keep})}
        return await self.layers[layer].group_send(group, message, **options)

    async def group_send_unkept(self, layer: int, group: str, message: Any) -> Any:
        return await self.group_send(layer, group, message, keep=False)

    async def close_group(self, layer: int, group: str, code: int, reason: str) -> None:
        await self.layers[layer].close_group(group, code, reason)

    async def group_discard(self, layer: int, group: str, channel: str) -> None:
        await self.layers[layer].group_discard(group, channel)


async def main() -> None:
    peer, loop = Peer(sys.argv[1]), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        operation, *arguments = ast.literal_eval(line)
        try:
            answer = [True, await getattr(peer, operation)(*arguments)]
        except Exception as error:
            answer = [False, repr(error)]
        print(repr(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
