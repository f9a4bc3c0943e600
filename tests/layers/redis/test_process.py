"""What a layer has in one operating system process, and a forked one has not."""

import os
import time
from typing import Any

import pytest

from consumers.layers.redis.process import Process

from ...support.redis_layers import Make
from ...support.redis_loops import run_script
from ...support.redis_server import RedisServer
from ...support.slow import left_to_ci

pytestmark = pytest.mark.anyio

IMPORTS = """
import asyncio, os, sys, threading
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
"""

CLOSING_CHILD = """
layer = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}[sys.argv[1]]([sys.argv[2]])
loop, arrived = asyncio.new_event_loop(), asyncio.Event()

async def join():
    await layer.group_add("room", layer.attach(lambda message: arrived.set() or 1))

async def talk():
    await layer.group_send("room", {"type": "test"})
    await asyncio.wait_for(arrived.wait(), 5)

loop.run_until_complete(join())
if (child := os.fork()) == 0:
    loop.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
loop.run_until_complete(talk())
loop.close()
"""

FORK_IN_A_BUSY_MOMENT = """
layer = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}[sys.argv[1]]([sys.argv[2]])
layer.group_send_sync("room", {"type": "test"})
process, is_busy, is_over = layer._process, threading.Event(), threading.Event()

def be_busy():
    with process.owners.lock, process._clock_lock, process.local.lock:
        is_busy.set()
        is_over.wait()

thread = threading.Thread(target=be_busy)
thread.start()
is_busy.wait()
if (child := os.fork()) == 0:
    async def join():
        await layer.group_add("room", layer.attach(lambda message: 1))
        await layer.group_send("room", {"type": "test"})
    asyncio.run(asyncio.wait_for(join(), 10))
    os._exit(0)
status = os.waitpid(child, 0)[1]
is_over.set()
assert status == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("kind", ["queue", *left_to_ci("pubsub")])
@pytest.mark.parametrize(
    "script", [CLOSING_CHILD, FORK_IN_A_BUSY_MOMENT], ids=["closes its loop", "is used by a child"]
)
def test_what_a_forked_child_does_leaves_its_parents_connections_alone(
    script: str, kind: str, redis_server: RedisServer
) -> None:
    run_script(IMPORTS + script, kind, redis_server.url)
    with redis_server.client() as client:
        client.flushall()


async def test_each_process_has_names_of_its_own(make: Make, kind: str) -> None:
    one: Process[Any] = make(kind)._process
    other: Process[Any] = make(kind)._process
    assert one.id != other.id
    assert one.is_own(f"{one.head}c.x") and one.is_own(f"kind.{one.id}!n.x")
    assert not one.is_own(f"{other.head}c.x") and not one.is_own("named")


async def test_its_time_is_always_later(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    process: Process[Any] = make("queue")._process
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    times = [process.now() for _ in range(5)]
    assert times == sorted(set(times))
    assert times[-1] < 1000.001
