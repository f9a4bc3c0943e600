"""A Redis layer that is used by one short event loop after another, as scripts, tests and sync views do."""

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop
from asgiref.sync import async_to_sync

from consumers.layers.redis import owners
from consumers.layers.redis.layer import RedisLayer

from ...support.redis_layers import LAYERS, Mailbox
from ...support.redis_server import RedisServer
from ...support.slow import left_to_ci

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def by_async_to_sync(work: Coroutine[Any, Any, Any]) -> Any:
    async def wait() -> Any:
        return await work

    return async_to_sync(wait)()


def by_a_loop_that_is_closed(work: Coroutine[Any, Any, Any]) -> Any:
    """Close the loop at once, with nothing cancelled, as tests of the old style do."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def by_uvloop(work: Coroutine[Any, Any, Any]) -> Any:
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


RUNS: dict[str, Run] = {
    "asyncio.run": asyncio.run,
    "async_to_sync": by_async_to_sync,
    "loop.close": by_a_loop_that_is_closed,
}


@pytest.fixture(params=[asyncio.run, by_async_to_sync, *left_to_ci(by_a_loop_that_is_closed, by_uvloop)])
def run(request: pytest.FixtureRequest) -> Run:
    run: Run = request.param
    return run


async def received(layer: RedisLayer, channel: str) -> Any:
    return await asyncio.wait_for(layer.receive(channel), 5)


def count_pops(server: RedisServer) -> int:
    return sum(entry["cmd"] == "bzpopmin" for entry in server.connections())


def number(value: int) -> dict[str, Any]:
    return {"type": "test", "number": value}


def left_of(server: RedisServer) -> list[Any]:
    """Return the keys and the connections that there are, once the server has noticed what was closed."""
    with server.client() as client:
        keys = list(client.keys())
    deadline = time.monotonic() + 5
    while server.connections() and time.monotonic() < deadline:
        time.sleep(0.005)
    return keys + server.connections()


@pytest.mark.parametrize("kind", LAYERS)
def test_channels_groups_and_messages_outlive_the_loops_that_made_them(
    kind: str, run: Run, server: RedisServer
) -> None:
    layer = LAYERS[kind]([server.url])
    name = run(layer.new_channel("mine"))
    run(layer.group_add("room", name))
    run(layer.group_add("other", name))
    run(layer.group_send("room", number(1)))
    run(layer.send(name, number(2)))
    layer.group_send_sync("other", number(3))
    layer.send_sync(name, number(4))
    got = [run(received(layer, name)) for _ in range(4)]
    assert sorted(message["number"] for message in got) == [1, 2, 3, 4]
    run(layer.group_discard("other", name))
    run(layer.group_send("other", number(5)))
    run(layer.group_send("room", number(6)))
    assert run(received(layer, name)) == number(6)
    run(layer.close())
    assert left_of(server) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", LAYERS)
def test_a_message_that_is_sent_just_before_its_loop_ends_arrives(kind: str, run: Run, server: RedisServer) -> None:
    layer = LAYERS[kind]([server.url])

    async def begin() -> str:
        name = await layer.new_channel()
        await layer.group_add("room", name)
        for value in range(20):
            await layer.group_send("room", number(value))
        await layer.send(name, number(20))
        return name

    name = run(begin())
    assert [run(received(layer, name)) for _ in range(21)] == [number(value) for value in range(21)]
    run(layer.close())
    assert left_of(server) == []


def test_another_process_reaches_a_channel_between_two_loops(run: Run, server: RedisServer) -> None:
    layer, other = (LAYERS["queue"]([server.url], lease=0.5) for _ in range(2))
    name = run(layer.new_channel("mine"))
    run(layer.group_add("room", name))
    with server.client() as client:  # nobody renews a lease now: it must last without that
        assert client.ttl("asgi:group:room") > 86000
    other.group_send_sync("room", number(1))
    other.send_sync(name, number(2))
    assert [run(received(layer, name)) for _ in range(2)] == [number(1), number(2)]
    run(layer.close())
    run(other.close())
    assert left_of(server) == []


def test_no_message_is_lost_to_a_loop_that_ends_while_others_send(run: Run, server: RedisServer) -> None:
    layer, other = (LAYERS["queue"]([server.url], capacity=10_000) for _ in range(2))
    name = run(layer.new_channel())

    async def touch() -> None:
        await layer.group_add("room", name)
        sending.set()
        await asyncio.sleep(0.02)

    sending, sent, is_over = threading.Event(), 0, False

    def send() -> None:
        nonlocal sent
        sending.wait()
        while not is_over:
            other.send_sync(name, number(sent))
            sent += 1

    with ThreadPoolExecutor() as threads:
        sender = threads.submit(send)
        try:
            for _ in range(10):
                run(touch())
        finally:
            is_over = True
    sender.result()
    assert sent

    async def receive_all() -> list[Any]:
        return [await received(layer, name) for _ in range(sent)]

    got = run(receive_all())
    assert sorted(message["number"] for message in got) == list(range(sent))
    run(layer.close())
    run(other.close())
    assert left_of(server) == []


@pytest.mark.parametrize("kind", LAYERS)
def test_close_removes_what_loops_have_left_that_ended_before(kind: str, run: Run, server: RedisServer) -> None:
    layer = LAYERS[kind]([server.url])
    name = run(layer.new_channel("mine"))
    run(layer.group_add("room", name))
    run(layer.send(name, number(1)))
    run(layer.close())
    assert left_of(server) == []
    assert layer.groups == {} and layer.stored == 0


@pytest.mark.parametrize("kind", LAYERS)
def test_a_loop_may_be_closed_by_code_on_another(kind: str, server: RedisServer) -> None:
    layer, loop = LAYERS[kind]([server.url]), asyncio.new_event_loop()
    name = loop.run_until_complete(layer.new_channel())

    async def close() -> None:
        loop.close()
        assert server.connections() == []

    asyncio.run(close())
    asyncio.run(layer.send(name, number(1)))
    assert asyncio.run(received(layer, name)) == number(1)
    asyncio.run(layer.close())
    assert left_of(server) == []


@pytest.mark.parametrize("kind", LAYERS)
def test_consumers_of_a_closed_loop_leave_nothing(kind: str, run: Run, server: RedisServer) -> None:
    layer = LAYERS[kind]([server.url])

    async def join() -> None:
        await layer.group_add("room", layer.attach(Mailbox().deliver))

    run(join())
    assert left_of(server) == []


@pytest.mark.parametrize("kind", LAYERS)
def test_a_channel_is_listened_to_when_it_has_been_made(kind: str, server: RedisServer) -> None:
    layer, other = (LAYERS[kind]([server.url]) for _ in range(2))

    async def talk() -> Any:
        name = await layer.new_channel()
        await asyncio.to_thread(other.send_sync, name, number(1))
        return await received(layer, name)

    assert asyncio.run(talk()) == number(1)
    asyncio.run(layer.close())
    asyncio.run(other.close())


def test_a_message_that_is_sent_before_the_next_loop_listens_arrives(run: Run, server: RedisServer) -> None:
    layer = LAYERS["pubsub"]([server.url])
    name = run(layer.new_channel())
    run(layer.group_add("room", name))

    async def talk() -> list[Any]:
        layer._process.owners.ensure()  # which listens when this step is over
        layer.send_sync(name, number(1))
        layer.group_send_sync("room", number(2))
        return [await received(layer, name) for _ in range(2)]

    assert run(talk()) == [number(1), number(2)]
    run(layer.close())
    assert left_of(server) == []


@pytest.mark.parametrize("kind", LAYERS)
def test_loops_that_take_turns_in_one_thread_do_not_wait_for_each_other(
    kind: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "STOPPED_TIMEOUT", 60)
    layer, loops = LAYERS[kind]([server.url]), [asyncio.new_event_loop() for _ in range(2)]
    try:
        name = loops[0].run_until_complete(layer.new_channel())
        for loop in loops * 2:
            loop.run_until_complete(asyncio.wait_for(layer.group_add("room", name), 5))
            assert layer._process.owners.replaced == set()
        loops[1].run_until_complete(layer.close())
    finally:
        for loop in loops:
            loop.close()
    assert left_of(server) == []


SCRIPT = """
import asyncio, gc, json, os, sys, tempfile
from asgiref.sync import async_to_sync
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer

def by_loop(work):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()

def by_async_to_sync(work):
    async def wait():
        return await work
    return async_to_sync(wait)()

kind, url = sys.argv[1:]
runs = {"asyncio.run": asyncio.run, "loop.close": by_loop, "async_to_sync": by_async_to_sync}
make = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}[kind]
ended = []
gc.freeze()  # what is there before the children is none of their garbage
for number, (ending, use, code) in enumerate(json.load(sys.stdin)):
    with tempfile.TemporaryFile("w+") as output:
        if not (child := os.fork()):  # a process that has imported everything
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            run, layer = runs[ending], make([url], prefix=f"use{number}")
            exec(code)
            del layer
            gc.collect()
            break  # and so it ends as any other does
        _, status = os.waitpid(child, 0)
        output.seek(0)
        ended.append([ending, use, os.waitstatus_to_exitcode(status), output.read()])
else:
    print(json.dumps(ended))
"""

USES = {
    "new_channel": "run(layer.new_channel())",
    "new_channel of a new kind": "run(layer.new_channel('mine'))",
    "group_add": "run(layer.group_add('room', run(layer.new_channel())))",
    "group_send": """
        run(layer.group_add('room', run(layer.new_channel())))
        run(layer.group_send('room', {'type': 'test'}))
        """,
    "attach": """
        async def attach():
            layer.attach(lambda message: 1)
        run(attach())
        """,
    "detach": """
        async def attach():
            name = layer.attach(lambda message: 1)
            await layer.group_add('room', name)
            layer.detach(name)
        run(attach())
        """,
    "receive": """
        async def receive():
            try:
                await asyncio.wait_for(layer.receive(await layer.new_channel()), 0.05)
            except TimeoutError:
                pass
            receiving = asyncio.create_task(layer.receive('named'))
            await asyncio.sleep(0.05)
            receiving.cancel()
        run(receive())
        """,
    "close": "run(layer.new_channel()); run(layer.close())",
    "clean-up": """
        async def consume():
            name = layer.attach(lambda message: 1)
            await layer.group_add('room', name)
            async def clean_up():
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0.05)
                    await layer.group_discard('room', name)
                    await layer.group_add('bye', await layer.new_channel())
                    await layer.group_send('room', {'type': 'test'})
                    layer.detach(name)
            task = asyncio.create_task(clean_up())
            await asyncio.sleep(0.05)
            return task
        run(consume())
        """,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["queue", *left_to_ci("pubsub")])
def test_a_loop_ends_without_a_warning(kind: str, server: RedisServer) -> None:
    todo = [(ending, use, textwrap.dedent(code)) for ending in RUNS for use, code in USES.items()]
    for use in ("clean-up", "receive"):  # the task that is left behind would be the script's own
        todo.remove(("loop.close", use, textwrap.dedent(USES[use])))
    command = [sys.executable, "-W", "error", "-c", SCRIPT, kind, server.url]
    done = subprocess.run(command, input=json.dumps(todo), capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    assert json.loads(done.stdout) == [[ending, use, 0, ""] for ending, use, _ in todo]


@pytest.mark.parametrize("delay", [0, 0.001, *left_to_ci(0.0005, 0.002, 0.004, 0.008)])
def test_a_message_that_nobody_waits_for_any_more_goes_back(delay: float, run: Run, server: RedisServer) -> None:
    layer, other = (LAYERS["queue"]([server.url]) for _ in range(2))

    async def give_up() -> None:
        receiving = asyncio.create_task(layer.receive("named"))
        while not count_pops(server):
            await asyncio.sleep(0.001)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await other.send("named", number(1))
        await asyncio.sleep(delay)

    run(give_up())
    run(layer.close())
    assert run(received(other, "named")) == number(1)
    run(other.close())
    assert left_of(server) == []
