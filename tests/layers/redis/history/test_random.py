"""Two processes, a Redis, and whatever may happen, from fixed seeds: each member gets all that follows, or is told."""

import random
from typing import Any

import pytest

from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.types import Message

from ....support.redis_layers import until
from ....support.redis_server import RedisServer
from ....support.slow import left_to_ci
from .support import cut_subscribers, layer_at, message

pytestmark = pytest.mark.anyio

GROUPS = ("chat.1", "chat.2")
STEPS = 120
MADE_UP = ("", "0", "x" * 100, f"{'0' * 16}-{'0' * 16}.1", f"{'f' * 16}-{'f' * 16}.{10**15}")


class Client:
    """One that reads as slowly as it likes, comes and goes, and checks what it gets.

    Args:
        rng: decides how much room it has.
    """

    def __init__(self, rng: random.Random) -> None:
        self.got: list[str] = []  # positions
        self.missed: list[str] = []  # gaps that it was told of, and joins that recovered nothing
        self._room = rng.choice([1, 3, 10_000])
        self._held = 0
        self._layer: RedisPubSubChannelLayer | None = None
        self._last: str | None = None  # its place
        self._has_gap = False
        self.name = ""

    @property
    def is_in(self) -> bool:
        return self._layer is not None

    async def join(self, layer: RedisPubSubChannelLayer, group: str, since: str | None) -> None:
        self._held, self._has_gap, self._last = 0, False, None
        self.name = layer.attach(self.deliver, None, self.room)
        self._layer, self.group = layer, group
        joined = await layer.group_add(group, self.name, since=since)
        if joined.recovered and since is not None:
            self._start(since)
        else:
            self._start(str(joined.position))

    def _start(self, position: str) -> None:
        """Know the place before the first message; some may have come before `group_add()` returned."""
        came, self.got = self.got, []
        self._last = position
        for each in came:
            self._take(each)

    def leave(self) -> None:
        assert self._layer is not None
        self._layer.detach(self.name)
        self._layer, self.got = None, []

    def room(self) -> int:
        return max(0, self._room - self._held)

    def deliver(self, event: Message) -> int:
        self._held += 1
        if event["type"] == "layer.gap":
            assert event["group"] == self.group
            self._has_gap = True
        elif event["history"]["position"] is not None:
            self._take(event["history"]["position"]) if self._last else self.got.append(event["history"]["position"])
        return 1

    def _take(self, position: str) -> None:
        assert self._last is not None
        (before, _, last), (epoch, _, offset) = split(self._last), split(position)
        if self._has_gap:
            assert before != epoch or offset > 0
        else:
            assert (epoch, offset) == (before, last + 1), f"{position} came after {self._last}, and no gap was told"
        self._last, self._has_gap = position, False
        self.got.append(position)

    def read(self) -> None:
        if self._layer is not None:
            self._held = 0
            self._layer.resume(self.name)

    @property
    def place(self) -> str | None:
        return self._last


def split(position: str) -> tuple[str, str, int]:
    epoch, _, rest = position.partition("-")
    tag, _, offset = rest.partition(".")
    return epoch, tag, int(offset)


@pytest.mark.parametrize("seed", [1, 2, *left_to_ci(*range(3, 15))])
async def test_what_follows_comes_or_is_told_to_be_missing(server: RedisServer, seed: int) -> None:
    rng = random.Random(seed)
    history = {"chat.*": {"size": 8, "ttl": 60}}
    async with layer_at(server, history=history) as one, layer_at(server, history=history) as two:
        clients = [Client(rng) for _ in range(6)]
        positions: list[str] = list(MADE_UP)
        newest: dict[str, Any] = dict.fromkeys(GROUPS)
        for number in range(STEPS):
            layer, group, client = rng.choice([one, two]), rng.choice(GROUPS), rng.choice(clients)
            step = rng.choices(["send", "join", "leave", "read", "cut", "flushall"], [40, 25, 10, 20, 4, 1])[0]
            if step == "send":
                for _ in range(rng.choice([1, 1, 3, 12])):
                    newest[group] = await layer.group_send(group, message(number))
                    positions.append(newest[group])
            elif step == "join" and not client.is_in:
                await client.join(layer, group, rng.choice([None, client.place, rng.choice(positions)]))
            elif step == "leave" and client.is_in:
                client.leave()
            elif step == "read":
                client.read()
            elif step == "cut":
                cut_subscribers(server)
            elif step == "flushall":
                with server.client() as redis:
                    redis.flushall()
        for group in GROUPS:
            newest[group] = await one.group_send(group, message(STEPS))

        def all_are_up_to_date() -> bool:
            for client in clients:
                client.read()
            return all(client.place == newest[client.group] for client in clients if client.is_in)

        await until(all_are_up_to_date)
