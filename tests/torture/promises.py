"""Clients that leave it to `consumers.client.Client` to come back and to go on where they were."""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote

import anyio
from anyio.abc import ByteStream

from consumers.client import Client, ClientError, Detail, State
from consumers.types import Message

from .app import QUIET
from .clients import SLOW, World
from .steps import Gap, Said, Step

SMALL = 20
"""Messages that may wait for a client of these that reads slowly."""


class PromisedClient:
    """A member of some groups, as `clients.Client` is.

    Args:
        world: what it shares with the others.
        index: which client it is.
        groups: its groups, which are its labels too.
        chance: its random numbers.

    Attributes:
        steps: what it has got of each group.
        has_all: set once it has got everything.
        number: of its connection, as the server says.
        recoveries: how often it has gone on where it was.
    """

    def __init__(self, world: World, index: int, groups: Sequence[str], chance: random.Random) -> None:
        self.name = f"client {index}"
        self.steps: dict[str, list[Step]] = {group: [] for group in groups}
        self.has_all = asyncio.Event()
        self.number = 0
        self.recoveries = 0
        self._world = world
        self._chance = chance
        self._is_slow = chance.random() < SLOW
        self._latest: dict[str, str | None] = dict.fromkeys(groups)
        self._positions: dict[str, str] = {}
        self._client: Client[Message] | None = None
        self._state: State = "closed"
        self._port = 0
        self._said = 0

    async def live(self) -> None:
        """Be a client, now and then another one that goes on from the same positions, until it has got everything."""
        manner, groups = ("slow" if self._is_slow else "fast"), quote(json.dumps([*self.steps]))
        url = f"ws://server/typed/{manner}?groups={groups}"
        while not self.has_all.is_set():
            async with Client(
                url,
                since=self._positions,
                on_state=self._see,
                on_gap=self._miss,
                connect=self._connect,
                chance=self._chance,
                inbox_limit=SMALL if self._is_slow else 1000,
            ) as self._client:
                await self._live_as(self._client)
                self._positions = self._client.positions

    def drop(self) -> None:
        """Lose the connection, if there is one; another follows."""
        if self._client is not None:
            self._client._runner._give_up("dropped")

    def look(self) -> None:
        """See whether it has got everything."""
        newest = self._world.newest
        if newest and all(position in newest[group] for group, position in self._latest.items()):
            self.has_all.set()

    async def _live_as(self, client: Client[Message]) -> None:
        while not self.has_all.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._chance.expovariate(1 / self._world.stay)):
                    async for message in client:
                        self._take(message)
                        if self.has_all.is_set():
                            return
                        if self._is_slow and self._chance.random() < 0.2:
                            await asyncio.sleep(0.02)
            if self._world.newest or self._world.is_calm:
                continue
            group, what = self._chance.choice([*self.steps]), self._chance.random()
            if what < 0.6 and group != QUIET:
                self._said += 1
                with suppress(ClientError):
                    await client.send({"type": "say", "group": group, "number": self._said})
            elif 0.6 <= what < 0.9:
                self.drop()
            elif what >= 0.9:
                return

    async def _connect(self, host: str, port: int) -> ByteStream:
        previous, self._port = self._port, self._chance.choice(self._world.ports)
        self._world.facts["connections"] += 1
        self._world.facts["hops"] += previous not in (0, self._port)
        return await anyio.connect_tcp("127.0.0.1", self._port)

    def _see(self, state: State, detail: Detail) -> None:
        self.recoveries += state == "open" and self._state == "recovering"
        self._state = state
        assert state != "closed" or detail.code == 1000, detail

    def _miss(self, label: str) -> None:
        self.steps[label].append(Gap(self.number))

    def _take(self, message: Message) -> None:
        match message:
            case {"type": "you", "number": int(number)}:
                self.number = number
            case {"type": "said", "group": group, "of": sender, "number": number, "by": by}:
                label, position = message.get("at", (group, None))
                assert label == group
                self.steps[group].append(Said(self.number, position, (sender, number), by))
                if position is not None:
                    self._latest[group] = position
                    if group == QUIET:
                        self._world.heard.add(position)
            case _:
                raise AssertionError(f"unexpected: {message}")
        self.look()
