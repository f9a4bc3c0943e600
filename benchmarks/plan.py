"""What is measured, in which order and how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .scenarios import Scenario, connections, echo, fanout

SECONDS_A_ROUND = 2.0
"""A peer stops before a group so large that a single message to it would take longer than this."""

MEMBERS = (10, 100, 1_000, 10_000)


@dataclass(frozen=True)
class Spec:
    """A scenario that runs inside one process.

    Args:
        title: how the tables name it.
        unit: what a figure counts.
        scenario: the function that sets it up.
        endpoint: what it needs of a peer; see `benchmarks.peers`.
        sizes: how many members, one figure for each.
        scale: what to multiply the scenario's numbers with.
        count: how many operations make one measurement; None: as many as fit into the time.
        rounds: how many measurements are enough for a median, if fewer than usual.
        stretch: how many times as long as usual one measurement takes.
    """

    title: str
    unit: str
    scenario: Scenario
    endpoint: str
    sizes: tuple[int, ...] = (1,)
    scale: float = 1e6
    count: int | None = None
    rounds: int = 100
    stretch: float = 1


IN_PROCESS: Mapping[str, Spec] = {
    "echo": Spec("echo, pipelined", "µs/message", echo.pipelined, "echo"),
    "pingpong": Spec("echo, one in flight", "µs/round trip", echo.pingpong, "echo"),
    "fanout": Spec("text to a group of {}", "µs/delivery", fanout.texts, "room", MEMBERS),
    "json": Spec("1 KB object to a group of {}", "µs/delivery", fanout.objects, "json", (1_000,)),
    # Long, because Channels hands each connection to a thread and back, which costs half as much at first after a rest.
    "connect": Spec(
        "connect and close, with one group", "µs/connection", connections.connect, "room", rounds=5, stretch=8
    ),
    "idle": Spec("idle member of a group", "KiB", connections.idle, "room", (1_000,), 1, 1, 5),
    "tasks": Spec("idle member of a group", "tasks", connections.tasks, "room", (1_000,), 1, 1, 5),
    "typed": Spec("echo of a model", "µs/message", partial(echo.pipelined, endpoint="model"), "model"),
    "typed-id": Spec("echo of a model, with an id", "µs/message", partial(echo.pipelined, endpoint="answer"), "answer"),
    "typed-fanout": Spec(
        "model to a group of {}", "µs/delivery", partial(fanout.texts, endpoint="models"), "models", (1_000,)
    ),
}


TYPED = tuple(name for name in IN_PROCESS if name.startswith("typed"))
"""Those of messages that are pydantic models, which most peers know nothing of."""


@dataclass(frozen=True)
class WireSpec:
    """A scenario over real sockets.

    Args:
        title: how the tables name it.
        endpoint: what it needs of a peer.
        size: how many clients.
        least: how many messages make a measurement, even if they take longer than wanted.
        times: how many frames each message makes for each client.
        length: of a text, in characters, if it is longer than a line of chat.
    """

    title: str
    endpoint: str
    size: int
    least: int = 1
    times: int = 1
    length: int = 0


WIRE: Mapping[str, WireSpec] = {
    "wire-echo": WireSpec("echo, one in flight for each of {} clients", "echo", 100),
    # For most of the time of four messages, two are under way. Channels does much of the work for a message when all
    # have got it, and would be measured without that if there were no next one.
    "wire-fanout": WireSpec("text to a group of {}", "room", 1_000, least=4),
    "wire-fanout-1k": WireSpec("text of 1 KB to a group of {}", "room", 1_000, least=4, length=1_000),
    "wire-four": WireSpec("four texts at once to a group of {}", "four", 1_000, least=4, times=4),
    "wire-sixteen": WireSpec("sixteen texts at once to a group of {}", "sixteen", 1_000, least=4, times=16),
    "wire-idle": WireSpec("text to a group of {}", "room", 100, least=4),
}

NAMES = (*IN_PROCESS, *WIRE)


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Args:
        only: which scenarios.
        peers: which peers.
        rounds: how many measurements make a median.
        seconds: how long one measurement in one process takes, about.
        wire_seconds: how long one measurement over sockets takes, about.
        crowd: how many idle connections.
        minutes: when to stop, whatever is left.
        clients_sleep: whether the clients' process may sleep until a frame comes, and has to be woken by the server.
        shrink: divide the numbers of connections by this, to try the suite itself out.
    """

    only: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    seconds: float
    wire_seconds: float
    crowd: int
    minutes: float
    clients_sleep: bool
    shrink: int

    def size(self, size: int) -> int:
        return max(1, size // self.shrink)


Command = Mapping[str, Any]
