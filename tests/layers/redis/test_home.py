"""Event loops that come and go in several threads, and forked processes: whose connections are used by whom."""

import asyncio
import concurrent.futures
import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from consumers.layers.redis.commands import Commands
from consumers.layers.redis.home import Home, HomeEnded
from consumers.layers.redis.hosts import Host
from consumers.layers.redis.layer import RedisLayer

from ...support.redis_layers import LAYERS, PATIENCE, Mailbox, Member, until
from ...support.redis_server import RedisServer
from ...support.slow import left_to_ci

pytestmark = pytest.mark.anyio


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    async def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def end(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()


@contextmanager
def another_loop() -> Iterator[Loop]:
    other = Loop()
    try:
        yield other
    finally:
        other.end()


async def be_home(layer: RedisLayer) -> Home:
    """Make the running loop the home, whichever loop is it."""
    layer._process.home = None
    home = layer._ensure_home()
    await home.until_ready()
    return home


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what event loops have logged: tasks that nobody awaited or ended."""
    gc.collect()
    return [record.getMessage() for record in caplog.records if record.name == "asyncio" and record.levelno > 20]


# Forked processes


def run_script(code: str, *arguments: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

IMPORTS = """
import asyncio, os, sys, threading
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.layers.redis.loop_close import before_close
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

OWN_WORK_OF_A_CHILD = """
loop, done = asyncio.new_event_loop(), []

async def work(whose):
    done.append(whose)

before_close(loop, lambda: work("the parent's"))
reader, writer = os.pipe()
if (child := os.fork()) == 0:
    before_close(loop, lambda: work("the child's"))
    loop.close()
    os._exit(done != ["the child's"])
assert os.waitpid(child, 0)[1] == 0
loop.close()
assert done == ["the parent's"], done
"""

FORK_IN_A_BUSY_MOMENT = """
layer = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}[sys.argv[1]]([sys.argv[2]])
layer.group_send_sync("room", {"type": "test"})
process, is_busy, is_over = layer._process, threading.Event(), threading.Event()

def be_busy():
    with process.lock, process._clock_lock, process.local._lock:
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


@needs_fork
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


@needs_fork
def test_a_loop_does_before_its_end_what_its_own_process_wants() -> None:
    run_script(IMPORTS + OWN_WORK_OF_A_CHILD)


# Loops in several threads


async def test_what_runs_on_a_loop_that_is_home_no_more_leaves_the_new_homes_connections_alone(
    layer: RedisLayer, kind: str
) -> None:
    process, what = layer._process, cast(Any, layer)
    member = await Member().join(layer)
    first = layer._ensure_home()
    functions = {
        "pubsub": lambda: [
            what._subscribe(process, "room"),
            what._find_name(process, "x"),
            what._listen_to(process, "x"),
        ],
        "queue": lambda: [what._join(process, "room"), what._renew(process, 0, False), what._listen_to(process, "x")],
    }
    with another_loop() as other:
        await other.do(be_home(layer))
        for work in [*functions[kind](), what._listen_to(process, "named")]:
            with pytest.raises(HomeEnded):
                await work
        await layer._return_to(process, 0, first)
        await layer.group_add("other", member.name)
        await layer.group_send("other", {"type": "test", "number": 1})
        await until(lambda: member.numbers == [1])
        await layer.group_discard("other", member.name)
        await first.end()
        await layer.close()


async def test_a_join_goes_on_at_the_next_home_when_its_own_ends(layer: RedisLayer) -> None:
    member = Member()
    with another_loop() as other:
        home = await other.do(be_home(layer))
        member.name = layer.attach(member.deliver)
        for commands, listener in zip(home.commands, home.listeners, strict=True):  # it is about to end
            await other.do(commands.close())
            listener.note_up()
        joining = asyncio.create_task(layer.group_add("room", member.name))
        await asyncio.sleep(0)
        asyncio.run_coroutine_threadsafe(home.end(), other.loop).result(
            PATIENCE
        )  # before the join hears of its failure
        await joining
        await layer.group_send("room", {"type": "test", "number": 1})
        await until(lambda: member.numbers == [1])
        await layer.close()


async def test_a_join_that_waits_for_a_connection_goes_on_when_another_loop_closes_the_layer(
    layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, connect = Member(), Host.connect
    is_connecting = asyncio.Event()

    async def never_connect(host: Host) -> Any:
        is_connecting.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(Host, "connect", never_connect)
    member.name = layer.attach(member.deliver)
    joining = asyncio.create_task(layer.group_add("room", member.name))
    await is_connecting.wait()
    monkeypatch.setattr(Host, "connect", connect)
    with another_loop() as other, anyio.fail_after(layer.timeout - 1):
        await other.do(layer.close())
        await joining
        await layer.close()


async def test_a_home_that_has_ended_starts_nothing(layer: RedisLayer) -> None:
    started = []

    async def start() -> None:
        started.append(True)

    async def call(home: Home) -> None:
        await home.call(start)

    home = layer._ensure_home()
    await home.until_ready()
    await home.end()
    with pytest.raises(HomeEnded):
        await anyio.to_thread.run_sync(lambda: asyncio.run(call(home)))
    assert started == []


async def test_what_is_asked_of_a_loop_while_it_ends_is_ended_with_it(
    layer: RedisLayer, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: list[concurrent.futures.Future[None]] = []

    def start_while_it_ends(home: Home) -> None:
        if home._task.cancelling():
            outcomes.append(concurrent.futures.Future())
            home._start(outcomes[0], anyio.sleep_forever, ())
            layer._process.spawn(anyio.sleep_forever())
        else:
            home.loop.call_soon(start_while_it_ends, home)

    async def live() -> None:
        home = layer._ensure_home()
        await home.until_ready()
        start_while_it_ends(home)

    await anyio.to_thread.run_sync(lambda: asyncio.run(live()))
    assert isinstance(outcomes[0].exception(0), HomeEnded)
    assert errors(caplog) == []


async def test_receivers_are_told_of_a_gap_whichever_loop_is_the_next_home(layer: RedisLayer) -> None:
    member, is_busy, go_on = Member(), threading.Event(), threading.Event()

    def be_busy() -> None:
        is_busy.set()
        go_on.wait(PATIENCE)

    with another_loop() as first, another_loop() as second:
        await first.do(be_home(layer))
        await second.do(member.join(layer))
        second.loop.call_soon_threadsafe(be_busy)
        await anyio.to_thread.run_sync(is_busy.wait)
        await first.do(layer._process.home.end())  # type: ignore[union-attr]
        layer.attach(Mailbox().deliver)  # here, before the loop that has the member has seen that
        assert layer._ensure_home().is_here
        go_on.set()
        await until(lambda: member.gaps)
        await second.do(layer.close())


async def test_a_receiver_that_comes_while_the_home_ends_has_a_home(
    layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox, local = Mailbox(), layer._process.local
    with another_loop() as other:
        home = await other.do(be_home(layer))
        attach = local.attach

        def attach_late(*arguments: Any) -> None:
            asyncio.run_coroutine_threadsafe(home.end(), other.loop).result(PATIENCE)
            attach(*arguments)

        monkeypatch.setattr(local, "attach", attach_late)
        name = layer.attach(mailbox.deliver)
        assert layer._process.home is not None
        await layer._process.home.until_ready()
        await layer.send(name, {"type": "test"})
        await until(lambda: {"type": "test"} in mailbox)
        await layer.close()


async def test_a_group_that_is_joined_while_a_loop_leaves_it_stays_joined(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, other = (LAYERS["queue"]([server.url]) for _ in range(2))
    leaving, go_on, farewell = threading.Event(), threading.Event(), layer._farewell

    def leave(*arguments: Any) -> Any:
        leaving.set()
        go_on.wait(PATIENCE)
        yield from farewell(*arguments)

    monkeypatch.setattr(layer, "_farewell", leave)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(asyncio.run, Member().join(layer))
        await anyio.to_thread.run_sync(leaving.wait)
        monkeypatch.setattr(layer, "_farewell", farewell)
        member = Member()
        joining = asyncio.create_task(member.join(layer))
        await asyncio.wait([joining], timeout=0.1)
        assert layer._ensure_home().is_here
        assert not joining.done()
        go_on.set()
        await asyncio.wrap_future(first)
        await joining
    with server.client() as client:
        assert client.zcard("asgi:group:room") == 1
    await other.group_send("room", {"type": "test", "number": 1})
    await until(lambda: member.numbers == [1])
    await layer.close()
    await other.close()


async def test_a_new_home_waits_for_what_the_one_before_has_yet_to_write(server: RedisServer) -> None:
    layer, member = LAYERS["queue"]([server.url]), Member()
    is_busy, go_on = threading.Event(), threading.Event()

    def begin_to_end(home: Home) -> None:
        home._task.cancel()
        is_busy.set()
        go_on.wait(PATIENCE)

    with another_loop() as first, server.client() as client:
        home = await first.do(be_home(layer))
        first.loop.call_soon_threadsafe(begin_to_end, home)
        await anyio.to_thread.run_sync(is_busy.wait)
        joining = asyncio.create_task(member.join(layer))
        await asyncio.wait([joining], timeout=0.1)
        assert layer._ensure_home().is_here
        assert not joining.done()
        assert not client.exists("asgi:group:room")
        go_on.set()
        await joining
        assert client.zcard("asgi:group:room") == 1
        await layer.close()


async def test_commands_are_executed_in_their_order_while_the_connection_is_opened(server: RedisServer) -> None:
    commands = Commands(LAYERS["queue"]([server.url]).hosts[0], timeout=5)
    first = asyncio.create_task(commands.run([("RPUSH", "order", "first")]))
    while commands._link is None:
        await anyio.lowlevel.checkpoint()
    await commands.run([("RPUSH", "order", "second")])
    await first
    await commands.close()
    with server.client() as client:
        assert client.lrange("order", 0, -1) == ["first", "second"]


async def test_commands_that_nobody_waits_for_when_the_connection_opens_are_not_executed(server: RedisServer) -> None:
    commands = Commands(LAYERS["queue"]([server.url]).hosts[0], timeout=5)
    given_up, kept = (asyncio.create_task(commands.run([("INCR", key)])) for key in ("given up", "kept"))
    await anyio.lowlevel.checkpoint()
    given_up.cancel()
    assert await kept == [1]
    await commands.close()
    with server.client() as client:
        assert client.keys() == ["kept"]


async def test_loops_that_come_and_go_lose_nothing_in_queues_and_nothing_else_without_a_word(
    kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = LAYERS[kind]([server.url])
    caplog.set_level(logging.WARNING)

    async def live(group: str) -> bool:
        got = Mailbox()
        name = layer.attach(got.deliver)
        try:
            await layer.group_add(group, name)
            sent = len(got)
            await layer.group_send(group, {"type": "test"})
            if kind == "queue":
                await until(lambda: {"type": "test"} in got)
                return True
            await until(lambda: got[sent:])  # the message, or that it may have been missed
            return {"type": "test"} in got or any(message["type"] == "layer.gap" for message in got[sent:])
        finally:
            layer.detach(name)

    def come_and_go(group: str) -> list[bool]:
        return [asyncio.run(live(group)) for _ in range(15)]

    with concurrent.futures.ThreadPoolExecutor() as threads:
        lives = [threads.submit(come_and_go, f"room{number}") for number in range(4)]
        for outcomes in lives:
            assert all(await anyio.to_thread.run_sync(outcomes.result))
    await layer.close()
    assert errors(caplog) == []
    with server.client() as client:
        assert client.keys() == []
