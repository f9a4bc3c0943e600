"""`python -m consumers serve --workers 2`: each process drains, and the port is served while they are replaced."""

import asyncio
import os
import signal
import time
from collections import Counter

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ..support.served import Served, close_of, serving
from ..support.slow import left_to_ci

pytestmark = pytest.mark.anyio

RESTART = (1012, "retry=5-20")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's loop


async def clients_of_all(served: Served, workers: int = 2) -> dict[int, list[ClientConnection]]:
    """Connect clients until each worker has three of them; return them by their worker."""
    found: dict[int, list[ClientConnection]] = {}
    while sum(len(clients) >= 3 for clients in found.values()) < workers:
        client = await served.open("member")
        await client.send("pid")
        found.setdefault(int(await client.recv()), []).append(client)
    return found


def everyone(found: dict[int, list[ClientConnection]]) -> list[ClientConnection]:
    return [client for clients in found.values() for client in clients]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "everybody"),
    [(signal.SIGTERM, False), *left_to_ci((signal.SIGTERM, True), (signal.SIGINT, False), (signal.SIGINT, True))],
)
async def test_each_process_drains_at_a_signal_also_at_one_for_all_of_them(number: int, everybody: bool) -> None:
    async with serving(workers=2) as served:
        found = await clients_of_all(served)
        busy = found[served.workers()[0]][0]
        await busy.send("soon")
        assert await busy.recv() == "begun"
        served.signal(number, everybody)
        assert await busy.recv() == "done"
        assert {await close_of(client) for client in everyone(found)} == {RESTART}
        with pytest.raises(ConnectionRefusedError):
            await served.open("member")
        assert await served.end() == 0
        assert len(served.lines("down")) == 2
        assert served.workers() == []
        assert "InMemoryChannelLayer in one of 2 server processes (uvicorn)" in served.text()


async def test_the_port_is_served_while_one_after_the_other_is_replaced() -> None:
    async with serving(workers=2) as served:
        found = await clients_of_all(served)
        old = set(served.workers())
        outcomes: Counter[str] = Counter()

        async def probe() -> None:
            while True:
                try:
                    client = await served.open("member")
                    await client.send("pid")
                    await client.recv()
                    await client.close()
                    outcomes["served"] += 1
                except (ConnectionClosed, InvalidHandshake, ConnectionResetError):
                    outcomes["told to try again"] += 1

        probing = asyncio.create_task(probe())
        served.signal(signal.SIGHUP)
        await served.until(lambda: len(served.lines("down")) == 2 and len(served.workers()) == 2)
        assert not probing.done()  # as it would be if the port had been closed
        probing.cancel()
        assert {await close_of(client) for client in everyone(found)} == {RESTART}
        assert not old & set(served.workers())
        assert outcomes["served"] > 10 * outcomes["told to try again"]
        kinds = [line.split()[0] for line in served.lines() if line.startswith(("up", "down"))]
        assert kinds == ["up", "up", "up", "down", "up", "down"]
        served.signal(signal.SIGTERM)
        assert await served.end() == 0


@pytest.mark.slow
async def test_a_worker_that_is_signalled_drains_and_another_takes_its_place() -> None:
    async with serving(workers=2) as served:
        found = await clients_of_all(served)
        one, other = served.workers()
        os.kill(one, signal.SIGTERM)
        assert {await close_of(client) for client in found[one]} == {RESTART}
        await served.until(lambda: len(served.workers()) == 2 and one not in served.workers())
        for client in found[other]:
            await client.send("pid")
            assert await client.recv() == str(other)


@pytest.mark.slow
async def test_a_worker_that_is_killed_is_replaced() -> None:
    async with serving(workers=2) as served:
        one, other = served.workers()
        os.kill(one, signal.SIGKILL)
        await served.until(lambda: len(served.workers()) == 2 and one not in served.workers())
        assert other in served.workers()
        assert f"process {one} has ended with status -9: another takes its place" in served.text()


@pytest.mark.slow
async def test_a_second_signal_ends_all_at_once() -> None:
    async with serving(workers=2) as served:
        found = await clients_of_all(served)
        for clients in found.values():
            await clients[0].send("ignore")
            assert await clients[0].recv() == "begun"
        served.signal(signal.SIGTERM)
        assert {await close_of(clients[1]) for clients in found.values()} == {RESTART}
        began = time.monotonic()
        served.signal(signal.SIGTERM)
        await served.end()
        assert time.monotonic() - began < 5
        assert served.workers() == []


@pytest.mark.slow
async def test_workers_drain_when_their_supervisor_is_killed() -> None:
    async with serving(workers=2) as served:
        found = await clients_of_all(served)
        served.signal(signal.SIGKILL)
        assert {await close_of(client) for client in everyone(found)} == {RESTART}
        await served.until(lambda: served.workers() == [])
