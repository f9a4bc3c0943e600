"""Clients that hop between servers, and go on from the last position that they have got."""

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from .app import QUIET
from .people import People
from .steps import Gap, Joined, Said, Step

REST = 1.0
"""Seconds that a client stays away at most."""

OPENING = 3.0
"""Seconds that connecting may take."""

SLOW = 0.3
"""The share of clients whose consumers are slow."""


@dataclass
class World:
    """What all clients share.

    Attributes:
        ports: the servers'.
        stay: mean seconds between two things that a client does.
        facts: what has happened, and how often.
        heard: the positions of `QUIET` that some client has got.
        newest: the places of each group's last messages; empty until the end.
        is_calm: whether clients only listen.
    """

    ports: Sequence[int]
    stay: float
    facts: Counter[str]
    heard: set[str]
    newest: dict[str, set[str]] = field(default_factory=dict)
    is_calm: bool = False
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))


class Client:
    """A member of some groups.

    Args:
        world: what it shares with the others.
        index: which client it is.
        groups: its groups.
        chance: its random numbers.

    Attributes:
        steps: what it has got of each group.
        has_all: set once it has got everything.
        number: of its connection.
        people: who is there, as far as it knows.
        recoveries: 0; the judge counts them.
    """

    def __init__(self, world: World, index: int, groups: Sequence[str], chance: random.Random) -> None:
        self.name = f"client {index}"
        self.steps: dict[str, list[Step]] = {group: [] for group in groups}
        self.has_all = asyncio.Event()
        self._world = world
        self._chance = chance
        self._manner = "slow" if chance.random() < SLOW else "fast"
        self._latest: dict[str, str | None] = dict.fromkeys(groups)
        self._left: set[str] = set()
        self.number = 0
        self.recoveries = 0
        self._socket: ClientConnection | None = None
        self.people = People()
        self._port = 0
        self._said = 0

    async def live(self) -> None:
        """Connect, again and again, until it has got everything."""
        while not self.has_all.is_set():
            with suppress(OSError, WebSocketException):  # TimeoutError is an OSError
                await self._connect()
            if not (self._world.newest or self._world.is_calm):
                await asyncio.sleep(self._chance.uniform(0, REST) if self._chance.random() < 0.5 else 0)
            await asyncio.sleep(self._chance.uniform(0, 0.1))

    def drop(self) -> None:
        """Lose the connection, if there is one; another follows."""
        if self._socket is not None:
            self._socket.transport.abort()

    def look(self) -> None:
        """See whether it has got everything."""
        newest = self._world.newest
        if newest and all(position in newest[group] for group, position in self._latest.items()):
            self.has_all.set()

    async def _connect(self) -> None:
        self.number, previous = next(self._world.numbers), self._port
        self._port = self._chance.choice(self._world.ports)
        query = f"name={quote(self.name)}&groups={quote(json.dumps(self._latest))}"
        url = f"ws://127.0.0.1:{self._port}/torture/{self.number}/{self._manner}?{query}"
        self._left.clear()
        self.people = People()
        self._world.facts["connections"] += 1
        self._world.facts["hops"] += previous not in (0, self._port)
        options = {"proxy": None, "compression": None, "close_timeout": 1, "open_timeout": OPENING}
        async with connect(url, **options) as socket:  # type: ignore[arg-type]
            self._socket = socket
            while not self.has_all.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._chance.expovariate(1 / self._world.stay)):
                        await self._listen(socket)
                if not (self._world.newest or self._world.is_calm) and await self._act(socket):
                    return

    async def _listen(self, socket: ClientConnection) -> None:
        while not self.has_all.is_set():
            if (left := self._take(json.loads(await socket.recv()))) is not None:
                self._left.discard(left)
                await socket.send(f"join {left}")

    async def _act(self, socket: ClientConnection) -> bool:
        """Do something; return whether that ends the connection."""
        group, what = self._chance.choice(list(self._latest)), self._chance.random()
        if what < 0.6 and group == QUIET:
            pass
        elif what < 0.6:
            self._said += 1
            await socket.send(f"say {group} {self._said}")
        elif what < 0.7 and group not in self._left:
            self._left.add(group)
            await socket.send(f"leave {group}")
        elif what < 0.85:
            socket.transport.abort()
            return True
        else:
            return True
        return False

    def _take(self, frame: list[object]) -> str | None:
        """Take note of what the server says; return the group that was left, if that is it."""
        match frame:
            case ["joined", str(group), since, str(position), bool(recovered), int(missed)]:
                self.steps[group].append(
                    Joined(self.number, since if isinstance(since, str) else None, position, recovered, missed)
                )
                if since is None or not recovered:
                    self._latest[group] = None if missed else position
            case ["said", str(group), position, [str(sender), int(number)], int(excluded), str()]:
                place = position if isinstance(position, str) else None
                self.steps[group].append(Said(self.number, place, (sender, number), excluded))
                if place is not None:
                    self._latest[group] = place
                    if group == QUIET:
                        self._world.heard.add(place)
            case ["people", int(version), dict(metas)]:
                self.people.all(version, metas)
            case ["changed", int(version), dict(changed), list(left)]:
                self.people.change(version, changed, left)
            case ["gap", str(group)]:
                self.steps[group].append(Gap(self.number))
            case ["left", str(group)]:
                return group
            case _:
                raise AssertionError(f"unexpected: {frame}")
        self.look()
        return None
