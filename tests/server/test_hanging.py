"""`python -m consumers serve`: what hangs does not outlive the grace time, and ends at once at a second signal."""

import asyncio
import signal
import time

import pytest

from ..support.served import Served, running, serving
from ..support.slow import left_to_ci

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

APP = "tests.support.hanging_app:app"
GRACE = ("--grace", "1", "--spread", "0")
KILLED = 128 + signal.SIGTERM
LATE = 15.0
"""Seconds that the end takes at most: the grace time, two more, and what a slow machine needs."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's loop


async def ends(served: Served, since: float) -> int:
    status = await served.end()
    assert time.monotonic() - since < LATE
    return status


@pytest.mark.parametrize(("what", "sign"), [("startup", "starting"), *left_to_ci(("import", "imported"))])
@pytest.mark.parametrize("workers", [1, *left_to_ci(2)])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_start_that_hangs_is_given_up_at_a_signal(what: str, sign: str, workers: int, times: int) -> None:
    grace = GRACE if times == 1 else ("--grace", "60")
    async with running(*grace, app=APP, environment={"HANGS": what}, workers=workers) as served:
        await served.until(lambda: len(served.lines(sign)) == workers)
        began = time.monotonic()
        for _ in range(times):
            served.signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
        status = await ends(served, began)
        assert status == (KILLED if workers == 1 else 0)


@pytest.mark.parametrize("workers", [1, *left_to_ci(2)])
async def test_a_lifespan_that_does_not_end_is_killed(workers: int) -> None:
    async with serving(*GRACE, app=APP, environment={"HANGS": "shutdown"}, workers=workers) as served:
        began = time.monotonic()
        served.signal(signal.SIGTERM)
        status = await ends(served, began)
        assert status == (KILLED if workers == 1 else 0)
        assert len(served.lines("ending")) == workers
        assert "has not ended in time, and is killed" in served.text()
        assert "Current thread" in served.text() or "Thread 0x" in served.text()


@pytest.mark.parametrize("workers", [1, *left_to_ci(2)])
@pytest.mark.parametrize("path", ["blocking", "thread"])
async def test_a_handler_that_blocks_its_thread_holds_nothing(path: str, workers: int) -> None:
    async with serving(*GRACE, app=APP, workers=workers) as served:
        client = await served.open(path)
        await client.send("block")
        await served.until(lambda: served.lines("begun"))
        began = time.monotonic()
        served.signal(signal.SIGTERM)
        await ends(served, began)


async def test_a_response_without_an_end_is_cancelled_and_the_lifespan_has_time_to_end() -> None:
    async with serving("--grace", "4", app=APP) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n")
        await reader.readuntil(b"data: tick")
        began = time.monotonic()
        served.signal(signal.SIGTERM)
        await reader.readuntil(b"data: tick")  # it goes on meanwhile
        assert await ends(served, began) == -signal.SIGTERM
        assert served.lines("down")
        writer.close()


async def test_an_orphan_that_hangs_is_killed() -> None:
    async with serving(*GRACE, app=APP, environment={"HANGS": "shutdown"}, workers=2) as served:
        began = time.monotonic()
        served.signal(signal.SIGKILL)
        await served.until(lambda: not served.workers())
        assert time.monotonic() - began < LATE


async def test_a_worker_that_is_replaced_at_its_limit_and_hangs_is_killed() -> None:
    options = ("--limit-max-requests", "1")
    async with serving(*GRACE, *options, app=APP, environment={"HANGS": "shutdown"}) as served:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
        assert await ends(served, began) == KILLED
