"""Lets things go wrong, and sees that they did."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from ..support.redis_layers import until
from .app import CAPACITY, QUIET
from .plan import Fault
from .stage import Stage

BURST = 3 * CAPACITY

DELAY = 0.1
"""Seconds that Redis' answers are late, and its messages."""

LONG_DELAY = 0.3
"""Seconds, in which something else is to happen."""

HEARD_WITHIN = 1.0
"""Seconds until another message is sent, if nobody has got the last."""

DELAYED_FOR = 1.5
"""Seconds."""

HELD_FOR = 0.5
"""Seconds."""


class Faults:
    """What can go wrong.

    Args:
        stage: where.

    Attributes:
        happened: what has gone wrong, and how often.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._do: dict[str, Callable[[random.Random], Awaitable[object]]] = {
            "kill a server": self._kill_server,
            "Redis goes on": self._go_on,
            "Redis goes back": self._go_back,
            "Redis goes back and is ahead again": self._overtake,
            "Redis is empty": self._empty,
            "cut Redis' connections": self._cut,
            "cut Redis in mid-message": self._cut_inside,
            "cut a client in mid-message": self._cut_client,
            "cut all clients of a server": self._cut_clients,
            "delay Redis": self._delay,
            "hold Redis": self._hold,
            "burst": self._burst,
        }

    async def happen(self, fault: Fault) -> None:
        """Have something go wrong; return when it has, and what can come back is back."""
        if not self._stage.has_copy:
            await self._stage.copy_data()
        await self._do[fault.kind](random.Random(fault.seed))
        self._stage.facts[fault.kind] += 1

    async def _kill_server(self, chance: random.Random) -> None:
        await self._stage.kill_server(chance.randrange(len(self._stage.proxies)))

    async def _go_on(self, chance: random.Random) -> None:
        await self._burst(chance)
        with self._held():
            before = self._stage.witness.places()
            await self._stage.restart_redis("all")
            after = self._stage.witness.places()
        lost = [group for group, place in before.items() if after[group].offset < place.offset]
        assert not lost, f"Redis has lost what it had confirmed: {before} {after}"

    async def _go_back(self, chance: random.Random) -> None:
        await self._send(chance.choice(self._stage.groups), BURST)
        with self._held():
            await self._restart_with_copy()

    async def _overtake(self, chance: random.Random) -> None:
        """Have Redis go back, and be where it was, with other messages, before anybody sees it.

        The next message comes while a server has subscribed, and does not know yet where Redis is. So what follows by
        its offset does not follow by its tag.
        """
        stage = self._stage
        await self._send(QUIET, BURST)
        await self._until_heard()
        with self._held():
            behind = await self._restart_with_copy()
            await asyncio.gather(*(self._send(group, count) for group, count in behind.items()))
            stage.redis_proxy.delay = LONG_DELAY
        await until(stage.hears_quiet_group)
        await self._send(QUIET, 1)
        stage.redis_proxy.delay = 0.0
        await self._until_heard()

    async def _until_heard(self) -> None:
        """Wait until somebody has got all of `QUIET`; what comes within a gap nobody gets."""
        while True:
            last = await self._stage.burster.surely(QUIET)
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARD_WITHIN):
                    return await until(lambda last=last: last in self._stage.heard)  # type: ignore[misc]

    async def _restart_with_copy(self) -> dict[str, int]:
        """Return how far each group is behind where it was."""
        witness = self._stage.witness
        before = witness.places()
        await self._stage.restart_redis("a copy")
        after = witness.places()
        behind = {group: place.offset - after[group].offset for group, place in before.items()}
        assert max(behind.values()) >= BURST, f"Redis has not gone back: {before}, {after}"
        return behind

    async def _empty(self, chance: random.Random) -> None:
        stage = self._stage
        with self._held():
            before = stage.witness.places()
            await stage.restart_redis("nothing")
            assert before and not stage.witness.places()

    async def _cut(self, chance: random.Random) -> None:
        await self._see_reconnect(self._stage.redis_proxy.cut)

    async def _cut_inside(self, chance: random.Random) -> None:
        proxy = self._stage.redis_proxy
        proxy.cut_after = chance.randrange(500, 5000)
        await self._burst(chance)
        await until(lambda: proxy.cut_after is None)

    async def _cut_client(self, chance: random.Random) -> None:
        proxy = chance.choice(self._stage.proxies)
        proxy.cut_after = chance.randrange(500, 5000)
        await self._burst(chance)
        await until(lambda: proxy.cut_after is None)

    async def _cut_clients(self, chance: random.Random) -> None:
        chance.choice(self._stage.proxies).cut()

    async def _delay(self, chance: random.Random) -> None:
        proxy = self._stage.redis_proxy
        proxy.delay = DELAY
        asyncio.get_running_loop().call_later(DELAYED_FOR, setattr, proxy, "delay", 0.0)

    async def _hold(self, chance: random.Random) -> None:
        with self._held():
            await asyncio.sleep(HELD_FOR)

    async def _burst(self, chance: random.Random) -> None:
        await self._send(chance.choice(self._stage.groups), BURST)

    async def _send(self, group: str, count: int) -> None:
        await self._stage.burster.burst(group, count)

    async def _see_reconnect(self, cut: Callable[[], object]) -> None:
        proxy = self._stage.redis_proxy
        connections = proxy.connections
        cut()
        await until(lambda: proxy.connections > connections)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Let nothing pass to Redis; so nobody has written to a new one before the witness stands beside it."""
        flowing = self._stage.redis_proxy.flowing
        flowing.clear()
        try:
            yield
        finally:
            flowing.set()
