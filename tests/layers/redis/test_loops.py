"""Where the code of the Redis layers runs: threads, scripts, event loops that come, stop and end."""

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import anyio
import pytest
from asgiref.sync import async_to_sync

from consumers.layers.redis import RedisChannelLayer, queue_reader
from consumers.layers.redis.commands import IDLE
from consumers.layers.redis.layer import RedisLayer
from consumers.layers.redis.owner_loop import OwnerLoop, OwnerLoopEnded
from consumers.types import Message

from ...support.redis_layers import LAYERS, PATIENCE, Mailbox, Member, layer_on, until
from ...support.redis_server import RedisServer, running_redis
from ...support.slow import left_to_ci

pytestmark = pytest.mark.anyio

Runner = Callable[[Coroutine[Any, Any, object]], None]


async def test_a_thread_sends_by_a_loop_of_its_own(layer: RedisLayer) -> None:
    mailbox = Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)

    def send() -> None:
        for number in range(5):
            async_to_sync(layer.group_send)("room", {"type": "test", "number": number})
            asyncio.run(layer.send(name, {"type": "test", "number": -number}))

    await anyio.to_thread.run_sync(send)
    assert [message["number"] for message in await mailbox.holds(10)] == [0, 0, 1, -1, 2, -2, 3, -3, 4, -4]


async def test_a_thread_without_a_loop_sends(layer: RedisLayer) -> None:
    mailbox = Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)

    def send() -> None:
        layer.group_send_sync("room", {"type": "test"})
        layer.send_sync(name, {"type": "direct"})

    await anyio.to_thread.run_sync(send)
    assert await mailbox.holds(2) == [{"type": "test"}, {"type": "direct"}]


SCRIPT = """
import asyncio, gc, sys
from asgiref.sync import async_to_sync
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from consumers.layers import channel_layers, group_send_sync, send_sync
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer

gc.freeze()  # a collection of all these modules makes whichever step it falls into one that asyncio calls slow
layer = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}[sys.argv[1]]([sys.argv[2]])
channel_layers.configure({"default": layer})
group_send_sync("room", {"type": "test", "by": "no loop"})
send_sync(sys.argv[3], {"type": "test", "by": "no loop, directly"})
for number in range(3):
    asyncio.run(layer.group_send("room", {"type": "test", "by": f"loop {number}"}))
for number in range(3):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(layer.group_send("room", {"type": "test", "by": f"bare loop {number}"}))
    loop.close()
async_to_sync(layer.group_send)("room", {"type": "test", "by": "async_to_sync"})
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["queue", *left_to_ci("pubsub")])
async def test_a_plain_process_sends_without_warnings(layer: RedisLayer, kind: str, redis_server: RedisServer) -> None:
    mailbox = Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, kind, redis_server.url, name]
    done = await anyio.run_process(command, check=False)
    assert (done.stderr, done.stdout, done.returncode) == (b"", b"", 0)
    assert [message["by"] for message in await mailbox.holds(9)] == [
        "no loop",
        "no loop, directly",
        *(f"loop {number}" for number in range(3)),
        *(f"bare loop {number}" for number in range(3)),
        "async_to_sync",
    ]


def test_consumers_of_several_loops_one_after_another(redis_server: RedisServer, kind: str) -> None:
    layer = LAYERS[kind]([redis_server.url])

    async def chat() -> list[Message]:
        mailbox = Mailbox()
        name = layer.attach(mailbox.deliver)
        await layer.group_add("room", name)
        await layer.group_send("room", {"type": "test"})
        return list(await mailbox.holds(1))  # and the loop ends without a word to the layer

    for _ in range(3):
        assert asyncio.run(chat()) == [{"type": "test"}]
        assert redis_server.connections() == []
        with redis_server.client() as client:
            assert client.keys() == []


async def test_receivers_of_two_loops_share_the_connections(layer: RedisLayer, redis_server: RedisServer) -> None:
    here, there, ready, done = Mailbox(), Mailbox(), threading.Event(), threading.Event()

    async def other_loop() -> None:
        await layer.group_add("room", layer.attach(there.deliver))
        ready.set()
        await asyncio.to_thread(done.wait)

    await layer.group_add("room", layer.attach(here.deliver))
    thread = threading.Thread(target=lambda: asyncio.run(other_loop()))
    thread.start()
    try:
        await until(ready.is_set)
        await layer.group_send("room", {"type": "test"})
        await here.holds(1)
        await there.holds(1)
        assert len(redis_server.connections()) == 3
    finally:
        done.set()
        thread.join()


async def test_another_loop_takes_over_when_the_first_one_ends(layer: RedisLayer) -> None:
    ready, done = threading.Event(), threading.Event()

    async def first_loop() -> None:
        await layer.group_add("room", layer.attach(lambda message: 1))
        ready.set()
        await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(first_loop()))
    thread.start()
    await until(ready.is_set)
    mailbox = Mailbox()
    await layer.group_add("room", layer.attach(mailbox.deliver))
    first_owner = layer._process.owners.current
    done.set()
    thread.join()
    await until(lambda: layer._process.owners.current not in (None, first_owner))
    assert layer._process.owners.current is not None
    await layer._process.owners.current.until_ready()

    async def arrives() -> None:
        while not mailbox:
            await layer.group_send("room", {"type": "test"})
            await anyio.sleep(0.02)

    with anyio.fail_after(PATIENCE):
        await arrives()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["queue", *left_to_ci("pubsub")])
def test_a_forked_process_is_another_process(kind: str, redis_server: RedisServer) -> None:
    code = f"""
import asyncio, os, sys
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
layer = {LAYERS[kind].__name__}([{redis_server.url!r}])
layer.group_send_sync("room", {{"type": "before"}})
async def name():
    return layer.attach(lambda message: 1)
parent = asyncio.run(name())
reader, writer = os.pipe()
if os.fork() == 0:
    layer.group_send_sync("room", {{"type": "child"}})
    os.write(writer, asyncio.run(name()).encode())
    os._exit(0)
child = os.read(reader, 1000).decode()
assert child and parent.partition("!")[0] != child.partition("!")[0], (parent, child)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


async def test_the_end_of_the_layers_loop_does_not_cancel_those_on_others(kind: str, server: RedisServer) -> None:
    layer = LAYERS[kind]([("127.0.0.1", server.port)])
    ready, end = threading.Event(), threading.Event()

    async def be_owner() -> None:
        await layer._process.owners.ensure().until_ready()
        ready.set()
        await asyncio.to_thread(end.wait)

    with ThreadPoolExecutor() as threads:
        owner = threads.submit(anyio.run, be_owner)
        await anyio.to_thread.run_sync(ready.wait)
        member = Member()
        name = layer.attach(member.deliver)
        server.send_signal(signal.SIGSTOP)
        try:
            joining = asyncio.create_task(layer.group_add("room", name))
            await anyio.sleep(0.1)
            end.set()
            await anyio.to_thread.run_sync(owner.result)
        finally:
            server.send_signal(signal.SIGCONT)
        await asyncio.wait([joining])
    assert not joining.cancelled()
    joining.result()  # the next owner loop has done it
    assert layer.groups == {"room": {name}}
    await layer.group_send("room", {"type": "test"})
    await member.holds(1)
    await layer.close()


async def test_a_layer_is_closed_from_another_loop_while_redis_is_slow(kind: str, server: RedisServer) -> None:
    layer = LAYERS[kind]([server.url])
    ready, end = threading.Event(), threading.Event()

    async def be_owner() -> None:
        await Member().join(layer)
        ready.set()
        await asyncio.to_thread(end.wait)

    with ThreadPoolExecutor() as threads:
        owner = threads.submit(asyncio.run, be_owner())
        await anyio.to_thread.run_sync(ready.wait)
        server.send_signal(signal.SIGSTOP)
        try:
            await layer.close()
        finally:
            server.send_signal(signal.SIGCONT)
            end.set()
        await anyio.to_thread.run_sync(owner.result)
    await until(lambda: server.connections() == [])


async def test_a_call_to_a_loop_that_was_closed_goes_to_the_next_owner_loop(
    layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def be_owner() -> OwnerLoop:
        async with layer:
            return layer._process.owners.ensure()

    closed = await anyio.to_thread.run_sync(lambda: asyncio.run(be_owner()))
    assert closed.loop.is_closed()
    with pytest.raises(OwnerLoopEnded):
        await closed.call(anyio.sleep, 0)
    name, found, owners = layer.attach(Mailbox().deliver), [closed], layer._process.owners
    ensure = owners.ensure
    monkeypatch.setattr(owners, "ensure", lambda: found.pop() if found else ensure())
    await layer.group_add("room", name)
    assert layer.groups == {"room": {name}}
    assert not found
    gc.collect()  # which would tell of a coroutine that nobody has awaited


def test_trio_is_told_that_it_cannot(kind: str, redis_server: RedisServer) -> None:
    layer = LAYERS[kind]([redis_server.url])
    for call in (
        lambda: layer.group_send("room", {"type": "test"}),
        lambda: layer.receive("worker"),
        lambda: layer.group_add("room", "specific.x"),
        layer.__aenter__,
    ):
        with pytest.raises(RuntimeError, match="needs a running asyncio event loop"):
            anyio.run(call, backend="trio")
    with pytest.raises(RuntimeError, match=re.escape("send_sync()")):
        layer.attach(lambda message: 1)


async def cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def stopped_loop(work: Callable[[], Awaitable[object]]) -> Iterator[None]:
    """Run a coroutine on a loop that then stops, with nothing of it cancelled, until the end of the block."""

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work())
        yield
    finally:
        loop.run_until_complete(cancel_all())
        loop.close()


def test_a_group_whose_loop_stopped_is_joined_anew(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_reader, "BLOCK", 1)
    layer, other = (RedisChannelLayer([redis_server.url], lease=0.5) for _ in range(2))

    async def rejoin() -> None:
        member = await Member().join(layer)
        await other.group_send("room", {"type": "test"})
        await member.holds(1)
        await layer.close()
        await other.close()

    with stopped_loop(lambda: Member().join(layer)):
        with redis_server.client() as client:
            while client.exists("asgi:group:room") or client.info("clients")["blocked_clients"]:
                time.sleep(0.01)
        asyncio.run(rejoin())


@contextmanager
def two_loops(layer: RedisLayer, member: Member) -> Iterator[tuple[asyncio.AbstractEventLoop, Runner]]:
    """Have a loop on which the layer lives and that then stops, and another, in a thread, that has a member."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, running).result(PATIENCE)

    async def begin() -> None:
        await layer.__aenter__()
        await asyncio.to_thread(run, member.join(layer))

    owner = asyncio.new_event_loop()
    try:
        owner.run_until_complete(begin())
        yield owner, run
    finally:
        run(layer.close())
        running.call_soon_threadsafe(running.stop)
        thread.join()
        running.close()
        owner.run_until_complete(cancel_all())
        owner.close()


@pytest.mark.parametrize("kind", LAYERS)
def test_receivers_are_told_what_they_missed_while_the_layers_loop_stood_still(server: RedisServer, kind: str) -> None:
    layer, other, member = LAYERS[kind]([server.url]), LAYERS[kind]([server.url]), Member()
    with two_loops(layer, member) as (_, run):
        other.group_send_sync("room", {"type": "test", "number": 1})
        run(layer.group_add("other", member.name))
        run(until(lambda: member.gaps == 1))
        other.group_send_sync("room", {"type": "test", "number": 2})
        run(until(lambda: 2 in member.numbers))
        run(other.close())


@pytest.mark.parametrize("kind", LAYERS)
def test_a_loop_that_runs_again_after_the_layer_was_closed_finds_nothing_of_it(server: RedisServer, kind: str) -> None:
    layer, member = LAYERS[kind]([server.url]), Member()
    with two_loops(layer, member) as (owner, run):
        run(layer.close())
        owner.run_until_complete(until(lambda: server.connections() == []))


def count_pops(server: RedisServer) -> int:
    return sum(entry["cmd"] == "bzpopmin" for entry in server.connections())


def test_a_stopped_loop_takes_no_messages_from_the_next(redis_server: RedisServer) -> None:
    layer, other = (RedisChannelLayer([redis_server.url]) for _ in range(2))

    async def receive() -> None:
        member = await Member().join(layer)
        await layer._process.owners.ensure().until_ready()
        await other.group_send("room", {"type": "first"})
        assert await member.holds(1) == [{"type": "first"}]
        await until(lambda: count_pops(redis_server) == 1)
        await layer.close()
        await other.close()
        with redis_server.client() as client:
            assert client.keys() == []  # what the stopped loop had too

    async def begin() -> None:
        await Member().join(layer)
        await until(lambda: count_pops(redis_server))

    with stopped_loop(begin):
        asyncio.run(receive())


def test_what_a_stopped_loop_had_taken_arrives_when_it_ends(redis_server: RedisServer) -> None:
    layer, other, member = RedisChannelLayer([redis_server.url]), RedisChannelLayer([redis_server.url]), Member()

    async def begin() -> None:
        await member.join(layer)
        await until(lambda: count_pops(redis_server))

    async def take_over() -> None:
        await Member().join(layer)
        await layer._process.owners.ensure().until_ready()

    with stopped_loop(begin):
        other.group_send_sync("room", {"type": "test", "number": 1})
        asyncio.run(take_over())
    assert member.numbers == [1]
    for each in (layer, other):
        asyncio.run(each.close())


def test_a_redis_that_ends_no_connections_works_after_a_loop_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_reader, "BLOCK", 1)

    async def receive() -> None:
        member = await Member().join(layer)
        await layer._process.owners.ensure().until_ready()
        while not member:  # the old pop may take the first
            await layer.group_send("room", {"type": "test"})
            await anyio.sleep(0.05)
        await layer.close()

    with running_redis("user default on nopass ~* &* +@all -client +client|id +client|unblock") as server:
        layer = RedisChannelLayer([server.url])
        with stopped_loop(lambda: Member().join(layer)):
            asyncio.run(receive())


async def test_a_redis_that_forbids_what_is_about_clients_is_enough(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_reader, "BLOCK", 0.2)  # a named channel is heard with the next pop
    with running_redis("user default on nopass ~* &* +@all -client") as server:
        async with layer_on(kind, server.port) as layer:
            member = await Member().join(layer)
            await layer.group_send("room", {"type": "test"})
            assert await member.holds(1) == [{"type": "test"}]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(expect, layer, "named", {"type": "named"})
                await until(lambda: layer._process.local.is_awaited("named"))
                if kind == "pubsub":
                    await until(lambda: layer._process.exchange.named)
                    await layer._process.exchange.subscribe("named")
                await layer.send("named", {"type": "named"})


async def expect(layer: RedisLayer, channel: str, message: Message) -> None:
    with anyio.fail_after(5):
        assert await layer.receive(channel) == message


def test_only_the_connection_that_was_lost_is_ended(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        bystander = client.client_info()
        last = ("ID", bystander["id"], "ADDR", "127.0.0.1:1")  # as after a restart, which numbers connections anew

        async def receive() -> None:
            async with layer_on("queue", redis_server.port) as layer:
                layer._process.owners.ensure().receivers[0]._last = last  # type: ignore[attr-defined]
                await layer._process.owners.ensure().until_ready()
                assert layer._process.owners.ensure().receivers[0]._last != last  # type: ignore[attr-defined]

        asyncio.run(receive())
        assert client.client_info()["id"] == bystander["id"]


async def test_a_loop_that_was_held_up_takes_no_connection_for_dead(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("consumers.layers.redis.subscriptions.QUIET", 0.2)
    monkeypatch.setattr("consumers.layers.redis.queue_reader.BLOCK", 0.2)
    async with AsyncExitStack() as stack:
        layers = [await stack.enter_async_context(layer_on(kind, server.port, timeout=0.5)) for kind in LAYERS]
        members = [await Member().join(layer) for layer in layers]
        with server.client() as client:
            for _ in range(3):
                for layer in layers:
                    await layer.group_send("room", {"type": "test"})
                time.sleep(1.2)  # noqa: ASYNC251
                await anyio.sleep(0.15)  # a look or two
            known = client.info("stats")["total_connections_received"]
            await anyio.sleep(0.5)
            assert client.info("stats")["total_connections_received"] == known
        assert [(member.gaps, len(member)) for member in members] == [(0, 3)] * len(layers)
        assert caplog.records == []


async def test_many_threads_leave_few_connections(kind: str, server: RedisServer) -> None:
    async with layer_on(kind, server.port) as layer:
        server.send_signal(signal.SIGSTOP)  # so that each thread needs a connection of its own
        with ThreadPoolExecutor(2 * IDLE) as threads:
            sent = [threads.submit(layer.group_send_sync, "room", {"type": "test"}) for _ in range(2 * IDLE)]
            await anyio.sleep(0.3)
            server.send_signal(signal.SIGCONT)
            for one in sent:
                await asyncio.wrap_future(one)
        await until(lambda: len(server.connections()) <= IDLE)
        assert len(server.connections()) > 1
