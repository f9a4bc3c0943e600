"""Which event loop owns a process' connections, where loops come and go in several threads."""

import asyncio
import concurrent.futures
import logging
import threading
from typing import Any

import anyio
import pytest

from consumers.layers.redis.hosts import Host
from consumers.layers.redis.layer import RedisLayer
from consumers.layers.redis.owner_loop import OwnerLoop, OwnerLoopEnded

from ...support.redis_layers import LAYERS, PATIENCE, Mailbox, Member, until
from ...support.redis_loops import another_loop, be_owner, errors
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


async def test_the_loop_that_needs_it_first_is_the_owner_until_it_is_released(layer: RedisLayer) -> None:
    owners = layer._process.owners
    assert not owners.exists() and owners.here is None
    owner = owners.ensure()
    assert owners.ensure() is owner is owners.here is owners.require()
    with another_loop() as other:

        async def look() -> tuple[Any, Any, bool]:
            return owners.here, owners.elsewhere, owners.ensure() is owner

        assert await other.do(look()) == (None, owner, True)
    assert owners.release() is owner
    with pytest.raises(OwnerLoopEnded):
        owners.require()
    await owner.close()


async def test_a_function_is_called_by_whichever_loop_is_the_owner_by_then(layer: RedisLayer) -> None:
    owners, called = layer._process.owners, list[object]()
    owners.call_soon(called.append, "nobody is the owner")
    first = owners.ensure()
    with another_loop() as other:
        owners.call_soon(lambda: called.append(asyncio.get_running_loop()))
        asyncio.run_coroutine_threadsafe(be_owner(layer), other.loop).result(PATIENCE)  # before this loop gets to it
        await until(lambda: called)
        assert called == [other.loop]
        await first.end()
        await other.do(layer.close())


async def test_what_runs_on_a_loop_that_is_owner_no_more_leaves_the_new_owners_connections_alone(
    layer: RedisLayer, kind: str
) -> None:
    exchange = layer._process.exchange
    member = await Member().join(layer)
    first = layer._process.owners.ensure()
    functions = {
        "pubsub": lambda: [exchange.subscribe("room"), exchange.new_channel("x"), exchange.listen_to("x")],
        "queue": lambda: [
            exchange.memberships.join("room"),
            exchange.memberships.renew(0),
            exchange.listen_to("x"),
        ],
    }
    with another_loop() as other:
        await other.do(be_owner(layer))
        for work in [*functions[kind](), exchange.listen_to("named")]:
            with pytest.raises(OwnerLoopEnded):
                await work
        await layer._process.owners.gaps.restore(0, first)
        await layer.group_add("other", member.name)
        await layer.group_send("other", {"type": "test", "number": 1})
        await until(lambda: member.numbers == [1])
        await layer.group_discard("other", member.name)
        await first.end()
        await layer.close()


async def test_a_join_goes_on_at_the_next_owner_loop_when_its_own_ends(layer: RedisLayer) -> None:
    member = Member()
    with another_loop() as other:
        owner = await other.do(be_owner(layer))
        member.name = layer.attach(member.deliver)
        for commands, receiver in zip(owner.commands, owner.receivers, strict=True):  # it is about to end
            await other.do(commands.close())
            receiver.connection.note_up()
        joining = asyncio.create_task(layer.group_add("room", member.name))
        await asyncio.sleep(0)
        asyncio.run_coroutine_threadsafe(owner.end(), other.loop).result(
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


async def test_a_background_job_that_fails_leaves_none_of_its_connections_behind(
    layer: RedisLayer, kind: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.layers.redis.owner_loop.JOB_PAUSE", 0.01)
    exchange: Any = layer._process.exchange
    part, name = (exchange, "_look_after") if kind == "pubsub" else (exchange.memberships, "renew_forever")
    go_on, goes_on = asyncio.Event(), getattr(part, name)

    async def fail() -> None:
        await go_on.wait()
        monkeypatch.setattr(part, name, goes_on)
        raise RuntimeError

    monkeypatch.setattr(part, name, fail)
    member = await Member().join(layer)
    lease = exchange.presence._leases[0]
    decided = lease._waits.decided
    go_on.set()
    await until(lambda: lease._waits.decided is not decided)
    await layer.presence_track("room", member.name, key="ann")
    with redis_server.client() as client:
        assert dict(client.pubsub_numsub("asgi__presence__")) == {"asgi__presence__": 1}


async def test_receivers_are_told_of_a_gap_whichever_loop_is_the_next_owner(layer: RedisLayer) -> None:
    member, is_busy, go_on = Member(), threading.Event(), threading.Event()

    def be_busy() -> None:
        is_busy.set()
        go_on.wait(PATIENCE)

    with another_loop() as first, another_loop() as second:
        await first.do(be_owner(layer))
        await second.do(member.join(layer))
        second.loop.call_soon_threadsafe(be_busy)
        await anyio.to_thread.run_sync(is_busy.wait)
        await first.do(layer._process.owners.current.end())  # type: ignore[union-attr]
        layer.attach(Mailbox().deliver)  # here, before the loop that has the member has seen that
        assert layer._process.owners.ensure().is_here
        go_on.set()
        await until(lambda: member.gaps)
        await second.do(layer.close())


async def test_a_receiver_that_comes_while_the_owner_loop_ends_has_an_owner(
    layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox, local = Mailbox(), layer._process.local
    with another_loop() as other:
        owner = await other.do(be_owner(layer))
        attach = local.attach

        def attach_late(*arguments: Any) -> None:
            asyncio.run_coroutine_threadsafe(owner.end(), other.loop).result(PATIENCE)
            attach(*arguments)

        monkeypatch.setattr(local, "attach", attach_late)
        name = layer.attach(mailbox.deliver)
        assert layer._process.owners.current is not None
        await layer._process.owners.current.until_ready()
        await layer.send(name, {"type": "test"})
        await until(lambda: {"type": "test"} in mailbox)
        await layer.close()


async def test_a_group_that_is_joined_while_a_loop_leaves_it_stays_joined(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, other = (LAYERS["queue"]([server.url]) for _ in range(2))
    exchange = layer._process.exchange
    leaving, go_on, clean_up = threading.Event(), threading.Event(), exchange.clean_up

    def leave(*arguments: Any) -> Any:
        leaving.set()
        go_on.wait(PATIENCE)
        yield from clean_up(*arguments)

    monkeypatch.setattr(exchange, "clean_up", leave)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(asyncio.run, Member().join(layer))
        await anyio.to_thread.run_sync(leaving.wait)
        monkeypatch.setattr(exchange, "clean_up", clean_up)
        member = Member()
        joining = asyncio.create_task(member.join(layer))
        await asyncio.wait([joining], timeout=0.1)
        assert layer._process.owners.ensure().is_here
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


async def test_a_new_owner_waits_for_what_the_one_before_has_yet_to_write(server: RedisServer) -> None:
    layer, member = LAYERS["queue"]([server.url]), Member()
    is_busy, go_on = threading.Event(), threading.Event()

    def begin_to_end(owner: OwnerLoop) -> None:
        owner._task.cancel()
        is_busy.set()
        go_on.wait(PATIENCE)

    with another_loop() as first, server.client() as client:
        owner = await first.do(be_owner(layer))
        first.loop.call_soon_threadsafe(begin_to_end, owner)
        await anyio.to_thread.run_sync(is_busy.wait)
        joining = asyncio.create_task(member.join(layer))
        await asyncio.wait([joining], timeout=0.1)
        assert layer._process.owners.ensure().is_here
        assert not joining.done()
        assert not client.exists("asgi:group:room")
        go_on.set()
        await joining
        assert client.zcard("asgi:group:room") == 1
        await layer.close()


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
