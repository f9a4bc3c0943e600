"""Messages of named channels, which several processes take in turns: what one took for nobody goes back."""

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from consumers.layers.redis import RedisChannelLayer
from consumers.layers.redis.layer import RedisLayer

from ...support.pages import ROOT
from ...support.redis_layers import PATIENCE, Make, until
from ...support.redis_server import RedisServer
from ...support.slow import left_to_ci

pytestmark = pytest.mark.anyio


async def all_of(layer: RedisLayer, channel: str, count: int) -> list[int]:
    """Take what there is in a channel: so many messages, and what should not be there too."""
    numbers: list[int] = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(PATIENCE if len(numbers) < count else 0.5):
                numbers.append((await layer.receive(channel))["number"])
    return numbers


async def test_receives_that_are_cancelled_again_and_again_lose_nothing(make: Make) -> None:
    sender, impatient, heir = make("queue", capacity=1000), make("queue"), make("queue")
    got: list[int] = []

    async def receive() -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.002):
                    got.append((await impatient.receive("jobs"))["number"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        for number in range(300):
            await sender.send("jobs", {"type": "job", "number": number})
            await asyncio.sleep(0.001)
        tasks.cancel_scope.cancel()
    await impatient.close()
    assert sorted(got + await all_of(heir, "jobs", 300 - len(got))) == list(range(300))


async def test_what_a_cancelled_receive_had_got_goes_to_another_process(make: Make) -> None:
    first, second = make("queue"), make("queue")
    receiving = asyncio.create_task(first.receive("jobs"))
    await until(lambda: first._process.local.is_awaited("jobs"))
    first._process.local.send("jobs", {"type": "job", "number": 1})
    receiving.cancel()  # before it has seen that
    with pytest.raises(asyncio.CancelledError):
        await receiving
    with anyio.fail_after(PATIENCE):
        assert await second.receive("jobs") == {"type": "job", "number": 1}


async def test_what_is_put_back_comes_before_what_waits(make: Make) -> None:
    layer: RedisChannelLayer = make("queue")
    for number in (1, 2, 3):
        await layer.send("jobs", {"type": "job", "number": number})
    taken: list[Any] = [await layer.receive("jobs"), await layer.receive("jobs")]
    for message in reversed(taken):
        await layer.put_back("jobs", message)
    assert await all_of(layer, "jobs", 3) == [1, 2, 3]


# Workers

MODULE = """
import os
import time

from consumers import AsyncConsumer, SyncConsumer, channel_layers
from consumers.worker import Worker

Worker.restart_delay = 0.01
channel_layers.configure({"default": {"BACKEND": "consumers.layers.redis.RedisChannelLayer", "CONFIG": {
    "hosts": [os.environ["REDIS_URL"]], "capacity": 1000}}})


class Sync(SyncConsumer):
    def job(self, message):
        print(message["number"], flush=True)
        time.sleep(0.002)
        if message["number"] % 50 == 49:
            raise RuntimeError("as told")


class Many(AsyncConsumer):
    max_tasks = 4

    async def job(self, message):
        print(message["number"], flush=True)
        if message["number"] % 50 == 49:
            raise RuntimeError("as told")


sync, many = Sync.as_asgi(), Many.as_asgi()
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "work.py").write_text(MODULE, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("application", ["sync", *left_to_ci("many")])
async def test_no_message_is_lost_by_exceptions_and_signals(
    application: str, make: Make, redis_server: RedisServer, module: Path
) -> None:
    sender = make("queue", capacity=1000)
    handled: list[int] = []

    def work(count: int) -> None:
        """Run a worker until it has begun to handle so many messages, then end it by SIGTERM."""
        with subprocess.Popen(
            [sys.executable, "-m", "consumers", "worker", f"work:{application}", "jobs"],
            cwd=module,
            env={**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis_server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(count):
                handled.append(int(process.stdout.readline()))
            process.terminate()
            handled.extend(map(int, process.stdout))
        assert process.returncode == 0

    for number in range(100):
        await sender.send("jobs", {"type": "job", "number": number})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asyncio.to_thread, work, 60)
        for number in range(100, 200):
            await sender.send("jobs", {"type": "job", "number": number})
            await asyncio.sleep(0.001)
    await asyncio.to_thread(work, 60)
    left = await all_of(make("queue"), "jobs", 200 - len(handled))
    assert sorted(handled + left) == list(range(200))
