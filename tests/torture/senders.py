"""Those who send: in the servers, beside them, with and without an event loop."""

import asyncio
import random
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.types import Message

from .shapes import Shape

Confirmed = Callable[[str, int, str | None], object]
"""Takes note of a message that was confirmed: its sender, its number, its position."""

BRIEF = ".brief."
"""In the names of groups that keep messages, and know their ids, for a moment only."""

RETRY = 0.05
"""Seconds until a message that was not confirmed is sent again."""

MOST_TEXT = 2000
"""Characters that go with a message at most."""


class Sender:
    """Sends numbered messages, one after the other.

    Args:
        name: who it is; nobody else has that name.
        layer: by which it sends.
        groups: the groups it sends to.
        chance: its random numbers.
        confirmed: see `Confirmed`.
        shape: see `Shape`.

    Attributes:
        retries: how many messages it has sent again, since they were not confirmed.
    """

    def __init__(
        self,
        name: str,
        layer: RedisPubSubChannelLayer,
        groups: Sequence[str],
        chance: random.Random,
        confirmed: Confirmed,
        shape: Shape,
    ) -> None:
        self.retries = 0
        self._name = name
        self._layer = layer
        self._groups = groups
        self._chance = chance
        self._confirmed = confirmed
        self._shape = shape
        self._number = 0

    async def run(self, how: str, rate: float) -> None:
        """Send for ever.

        Args:
            how: one of `KINDS`.
            rate: messages a second.
        """
        send = KINDS[how]
        while True:
            await asyncio.sleep(self._chance.expovariate(rate))
            await send(self, self._chance.choice(self._groups))

    async def once(self, group: str) -> None:
        """Send a message, and never mind whether it was."""
        message = self._next()
        try:
            position = await self._layer.group_send(group, self._shape(group, message))
        except RedisError:
            return
        self._confirmed(self._name, self._number, position)

    async def surely(self, group: str) -> str | None:
        """Send a message with an id until one is confirmed; return its position.

        Where ids are not known for long, each attempt is another message.
        """
        message = self._next()
        while True:
            number = int(message["number"])
            try:
                position = await self._layer.group_send(group, self._shape(group, message), id=f"{self._name} {number}")
            except RedisError:
                self.retries += 1
                await asyncio.sleep(RETRY)
                message = self._next() if BRIEF in group else message
            else:
                self._confirmed(self._name, number, position)
                return position

    async def passing(self, group: str) -> None:
        """Send a message that is not kept."""
        try:
            await self._layer.group_send(group, self._shape(group, self._next()), keep=False)
        except RedisError:
            return

    async def from_thread(self, group: str) -> None:
        """Send a message from a thread without an event loop."""
        message = self._next()
        try:
            position = await asyncio.to_thread(self._layer.group_send_sync, group, self._shape(group, message))
        except RedisError:
            return
        self._confirmed(self._name, self._number, position)

    async def burst(self, group: str, count: int) -> None:
        """Send many messages as fast as that goes, surely."""
        await asyncio.gather(*(self.surely(group) for _ in range(count)))

    def _next(self) -> Message:
        self._number += 1
        text = "x" * self._chance.randrange(MOST_TEXT)
        return {"type": "torture.said", "of": self._name, "number": self._number, "text": text}


KINDS = {"once": Sender.once, "surely": Sender.surely, "passing": Sender.passing, "thread": Sender.from_thread}
