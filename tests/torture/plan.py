"""What is to go wrong, and when: the same for the same seed."""

import random
from dataclasses import dataclass
from typing import NamedTuple

KINDS = (
    "kill a server",
    "Redis goes on",
    "Redis goes back",
    "Redis goes back and is ahead again",
    "Redis is empty",
    "cut Redis' connections",
    "cut Redis in mid-message",
    "cut a client in mid-message",
    "cut all clients of a server",
    "delay Redis",
    "hold Redis",
    "burst",
)
"""Each happens in each round."""

SETTLING = 0.1
"""The share of the time in which nothing goes wrong at first."""


@dataclass
class Options:
    """What to run.

    Args:
        seconds: how long.
        clients: how many.
        rate: messages a second from each of the senders.
        rounds: how often everything goes wrong.
        seed: of what goes wrong, and of what clients do.
        step: of what goes wrong, each so-manieth is tried on who is there; 1: everything.
        client: "plain", or "promised": whose messages `consumers.client.Client` gets.
        bug: one of `tests.torture.bugs.BUGS`, put into the servers.
    """

    seconds: float = 120
    clients: int = 200
    rate: float = 4
    rounds: int = 4
    seed: str = "1"
    step: int = 1
    client: str = "plain"
    bug: str = "none"

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return max(4, self.clients // 25)


class Fault(NamedTuple):
    """Something that goes wrong.

    Attributes:
        at: seconds after the beginning.
        kind: one of `KINDS`.
        seed: of its random numbers.
    """

    at: float
    kind: str
    seed: str


def plan(options: Options) -> list[Fault]:
    """Return what is to go wrong, in order."""
    chance = random.Random(options.seed)
    kinds: list[str] = []
    for _ in range(options.rounds):
        kinds += chance.sample(KINDS, len(KINDS))
    start = options.seconds * SETTLING
    step = (options.seconds - start) / (len(kinds) + 1)
    return [Fault(start + index * step, kind, f"{options.seed} {index} {kind}") for index, kind in enumerate(kinds)]
