"""Runs a torture: starts everything, lets things go wrong while clients live, and judges what they have got."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..soak.limits import raise_limit_on_files
from ..support.redis_server import running_redis
from .app import LEASE
from .clients import Client, World
from .faults import Faults
from .judge import Account, judge
from .plan import KINDS, Fault, Options, plan
from .promises import PromisedClient
from .stage import Stage
from .truth import position_of, truth_of

CLIENTS: dict[str, type[Client] | type[PromisedClient]] = {"plain": Client, "promised": PromisedClient}

Crowd = Sequence[Client | PromisedClient]

GRACE = 30.0
"""Seconds in which every client has everything after the last thing has gone wrong."""

LEAST_PEACE = 0.2
"""Seconds between two things that go wrong, however long the first has taken."""

RIGHT_WITHIN = 2.0
"""Seconds, beside the lease, in which all clients know again who is there."""

NOTICED = 0.3
"""Seconds until clients have noticed that something has gone wrong."""

AGAIN = 2.0
"""Seconds between two last messages to a group."""


@dataclass
class Outcome:
    """What came out.

    Attributes:
        accounts: what became of each client's messages.
        facts: what has happened, and how often.
        problems: what is wrong beside the clients.
        right_again: after each kind of fault, the seconds until all clients knew who was there.
    """

    options: Options
    accounts: dict[str, Account] = field(default_factory=dict)
    facts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    right_again: dict[str, float] = field(default_factory=dict)


async def torture(options: Options, folder: Path, say: Callable[[str], object]) -> Outcome:
    """Run a torture.

    Args:
        options: what to run.
        folder: where to leave the servers' records and logs.
        say: told what goes on.

    Raises:
        benchmarks.children.ChildFailed: if a process does not answer.
    """
    raise_limit_on_files()
    outcome = Outcome(options)
    facts = outcome.facts
    with running_redis() as redis:
        stage = Stage(options, redis, folder, facts)
        async with AsyncExitStack() as stack:
            await stage.start(stack)
            world = World(stage.ports, max(1.0, min(6.0, options.seconds / 10)), facts, stage.heard)
            clients = _crowd(world, stage)
            async with asyncio.TaskGroup() as living:
                tasks = [living.create_task(client.live()) for client in clients]
                await _go_wrong(stage, say)
                world.is_calm = True
                if plain := [client for client in clients if isinstance(client, Client)]:  # the others take their time
                    await _see_who_is_there(stage, plain, outcome, say)
                say("nothing goes wrong any more")
                await stage.stop_sending()
                await _until_all_have_all(stage, world, clients)
                say(f"{sum(client.has_all.is_set() for client in clients)} clients have got all")
                for task in tasks:
                    task.cancel()
    stage.read_records()
    _settle(outcome, stage, clients, world.newest)
    return outcome


def _crowd(world: World, stage: Stage) -> Crowd:
    """Return the clients: each a member of a group, and every third of another."""
    clients: list[Client | PromisedClient] = []
    groups, kind = stage.groups, CLIENTS[stage.options.client]
    for index in range(stage.options.clients):
        chance = random.Random(f"{stage.options.seed} client {index}")
        own = [groups[index % len(groups)], *([groups[(index + 1) % len(groups)]] if index % 3 == 0 else [])]
        clients.append(kind(world, index, own, chance))
    return clients


async def _go_wrong(stage: Stage, say: Callable[[str], object]) -> None:
    """Let everything go wrong that is planned."""
    faults, started = Faults(stage), time.monotonic()
    for fault in plan(stage.options):
        await asyncio.sleep(max(fault.at - (time.monotonic() - started), LEAST_PEACE))
        began = time.monotonic()
        await faults.happen(fault)
        say(f"{fault.kind} ({time.monotonic() - began:.1f} s)")
    await asyncio.sleep(max(0, stage.options.seconds - (time.monotonic() - started)))


async def _see_who_is_there(
    stage: Stage, clients: Sequence[Client], outcome: Outcome, say: Callable[[str], object]
) -> None:
    """Let each thing go wrong once more, and see that all clients soon know again who is there."""
    faults = Faults(stage)
    await _until_people_are_right(clients)
    for kind in KINDS[:: stage.options.step]:
        coming_and_going = asyncio.create_task(_come_and_go(clients))
        await faults.happen(Fault(0, kind, f"{stage.options.seed} people {kind}"))
        coming_and_going.cancel()
        began = time.monotonic()
        await asyncio.sleep(NOTICED)
        wrong = await _until_people_are_right(clients)
        taken = outcome.right_again[kind] = time.monotonic() - began
        outcome.problems += [f"after {kind!r}: {text}" for text in wrong]
        say(f"{kind}: people are {'wrong' if wrong else 'right'} ({taken:.1f} s)")


async def _come_and_go(clients: Sequence[Client]) -> None:
    """Have clients come back, by other connections, while something goes wrong."""
    for client in itertools.cycle(clients):
        client.drop()
        await asyncio.sleep(0.05)


async def _until_people_are_right(clients: Sequence[Client]) -> list[str]:
    """Wait until every client knows exactly who is there; return what is wrong if that takes too long."""
    try:
        async with asyncio.timeout(LEASE + RIGHT_WITHIN):
            while not all(client.people.metas == _people(clients) for client in clients):
                await asyncio.sleep(0.02)  # many clients take many steps to it
    except TimeoutError:
        people = _people(clients)
        return [f"{client.name} knows {client.people}" for client in clients if client.people.metas != people]
    return []


def _people(clients: Sequence[Client]) -> dict[str, list[dict[str, int]]]:
    return {client.name: [{"connection": client.number}] for client in clients}


async def _until_all_have_all(stage: Stage, world: World, clients: Crowd) -> None:
    """Send a last message to each group until each client has got one: some come within a gap."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            while not all(client.has_all.is_set() for client in clients):
                last = [str(await stage.burster.surely(group)) for group in stage.groups]
                for group, position in zip(stage.groups, last, strict=True):
                    world.newest.setdefault(group, set()).add(position)
                for client in clients:
                    client.look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN):
                        await asyncio.gather(*(client.has_all.wait() for client in clients))


def _settle(outcome: Outcome, stage: Stage, clients: Crowd, newest: Mapping[str, set[str]]) -> None:
    streams = [steps for client in clients for steps in client.steps.values()]
    truth = truth_of(stage.witness.truth, stage.confirmed, streams)
    outcome.problems += [*truth.contradictions, *stage.errors()]
    outcome.facts["messages with a place"] = len(truth.messages)
    outcome.facts["confirmed"] = len(stage.confirmed)
    for client in clients:
        account = outcome.accounts[client.name] = Account()
        account.counts["recoveries"] += client.recoveries
        for group, steps in client.steps.items():
            name = f"{client.name} in {group}"
            account += (found := judge(steps, truth, name, set(map(position_of, newest[group]))))
            if found.examples:
                (stage.folder / f"{name}.steps").write_text("\n".join(map(str, steps)))
