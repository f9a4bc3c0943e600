"""What a group_send of the in-memory layer costs, and what it does not depend on.

Run it with `python benchmarks/group_send_cost.py`. It prints, in microseconds, the median of rounds in which
the cases take turns, so that a machine that gets slower or faster meanwhile does so for all of them:

- a group_send to 100 members, with 0 and with 10,000 other channels in groups of their own: should be equal;
- the same per member, for 100 and for 10,000 members: should be equal but for the caches of the processor.

Receivers only count, so this is the layer's own share of the cost. Capacities are so large that senders never
pause for mailboxes that may be filling.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from consumers import InMemoryChannelLayer

ROUNDS = 200

MESSAGES: dict[str, dict[str, Any]] = {
    "flat": {"type": "chat.message", "user": "ada", "text": "hello"},
    "tree": {"type": "chat.message", "user": {"name": "ada"}, "tags": ["a", "b"], "text": "hello"},
}


@dataclass
class Case:
    """A layer with one group, and other channels that should not matter."""

    members: int
    others: int
    layer: InMemoryChannelLayer = field(default_factory=lambda: InMemoryChannelLayer(capacity=10**9))
    received: int = 0
    seconds: list[float] = field(default_factory=list)

    def deliver(self, message: object) -> bool:
        self.received += 1
        return True

    async def set_up(self) -> None:
        for _ in range(self.members):
            await self.layer.group_add("room", self.layer.attach(self.deliver))
        for number in range(self.others):
            await self.layer.group_add(f"other{number}", self.layer.attach(self.deliver))

    async def measure(self, message: dict[str, Any], sends: int) -> None:
        start = time.perf_counter()
        for _ in range(sends):
            await self.layer.group_send("room", message)
        self.seconds.append((time.perf_counter() - start) / sends)


async def compare(kind: str, report: Callable[[str], None]) -> None:
    cases = [Case(100, 0), Case(100, 10_000), Case(10_000, 0)]
    for case in cases:
        await case.set_up()
    for _ in range(ROUNDS):
        for case in cases:
            await case.measure(MESSAGES[kind], sends=max(1, 1000 // case.members))
    for case in cases:
        median = statistics.median(case.seconds) * 1e6
        report(f"{kind:8}{case.members:>9,}{case.others:>16,}{median:>16,.1f}{median / case.members:>14.3f}")


async def main() -> None:
    print(f"{'message':8}{'members':>9}{'other channels':>16}{'µs/group_send':>16}{'µs/member':>14}")
    for kind in MESSAGES:
        await compare(kind, print)


if __name__ == "__main__":
    anyio.run(main)
