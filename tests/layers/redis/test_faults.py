"""What happens when Redis, or the way to it, fails: real servers, and a real proxy that cuts and holds."""

import asyncio
import gc
import logging
import signal
import socket
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio
import pytest
import redis
import redis.sentinel
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, RedisError, TimeoutError

from consumers import AsyncWebsocketConsumer, channel_layers
from consumers.layers.redis import reconnect
from consumers.layers.redis.layer import RedisLayer
from consumers.types import Message

from ...support.proxy import proxying
from ...support.redis_layers import LAYERS, Member, heard, layer_on, lines, send, until
from ...support.redis_server import RedisServer, free_port, running_redis
from ...support.slow import left_to_ci
from ...support.wire import Wire, start

pytestmark = pytest.mark.anyio

RECOVERY = 2.0  # seconds that consumers may take to receive again


async def arrives_within(layer: RedisLayer, member: Member, seconds: float) -> None:
    """Send until something arrives, and see that it does in time."""
    started, before = time.monotonic(), len(member.numbers)
    while len(member.numbers) == before:
        await send(layer, -1)
        await anyio.sleep(0.01)
        assert time.monotonic() - started < seconds
    await anyio.sleep(0.05)


async def test_redis_is_killed_and_started_again(
    kind: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconnect, "FIRST_DELAY", reconnect.LONGEST_DELAY)  # as if it had been away for long
    async with layer_on(kind, server.port) as layer:
        member = await Member().join(layer)
        assert await send(layer, *range(10)) == list(range(10))
        await until(lambda: len(member.numbers) == 10)
        server.stop()
        started = time.monotonic()
        assert await send(layer, *range(10, 15)) == []
        assert time.monotonic() - started < 1  # a refusal is no reason to wait
        server.start()
        await arrives_within(layer, member, RECOVERY)
        assert member.gaps == 1
        sent = await send(layer, *range(20, 30))
        await until(lambda: member.numbers[-1] == 29)
        lost = {*range(30)} - {*member.numbers}
        assert lost == {*range(10, 20)}  # what was not sent
        assert sent == list(range(20, 30))
        down, up = lines(caplog)
        assert "no connection" in down and f":{server.port}" in down
        assert "connected again" in up


async def test_a_consumer_is_told_of_the_gap_if_it_wants_to_know(
    kind: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Curious(AsyncWebsocketConsumer):
        groups = ["room"]

        async def layer_gap(self, event: Message) -> None:
            await self.send(text_data="gap")

        async def test(self, event: Message) -> None:
            await self.send(text_data="test")

    class Strict(AsyncWebsocketConsumer):
        groups = ["room"]
        strict_types = True

        async def test(self, event: Message) -> None:
            await self.send(text_data="test")

    async with layer_on(kind, server.port) as layer:
        monkeypatch.setitem(channel_layers.backends, "default", layer)
        async with anyio.create_task_group() as tasks:
            curious, strict = Wire(), Wire()
            for wire, consumer in ((curious, Curious), (strict, Strict)):
                start(tasks, wire, consumer.as_asgi())
                await wire.accepted()
            server.stop()
            server.start()
            assert await curious.next_text() == "gap"
            await layer.group_send("room", {"type": "test"})
            assert await curious.next_text() == "test"
            assert await strict.next_text() == "test"
            for wire in (curious, strict):
                wire.disconnect()
    assert "layer_gap" not in caplog.text


async def test_redis_is_unreachable_at_the_start(
    kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    async with layer_on(kind, server.port, timeout=1) as layer:
        member = Member()
        name = layer.attach(member.deliver)
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=f"Redis at 127.0.0.1:{server.port}"):
            await layer.group_add("room", name)
        with pytest.raises(ConnectionError, match=f"Redis at 127.0.0.1:{server.port}"):
            await layer.group_send("room", {"type": "test"})
        with pytest.raises(ConnectionError, match=f"Redis at 127.0.0.1:{server.port}"):
            await anyio.to_thread.run_sync(layer.group_send_sync, "room", {"type": "test"})
        assert time.monotonic() - started < 3.5
        assert layer.groups == {}
        server.start()
        await layer.group_add("room", name)
        await arrives_within(layer, member, RECOVERY)
        assert [line for line in lines(caplog)[:2] if "no connection" in line] == lines(caplog)[:1]


async def test_a_connection_is_reset_in_the_middle_of_a_message(
    kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        proxying(server.port) as proxy,
        layer_on(kind, proxy.port) as layer,
        layer_on(kind, server.port) as other,
    ):
        member = await Member().join(layer)
        assert await send(other, 0, 1, 2) == [0, 1, 2]
        await until(lambda: member.numbers == [0, 1, 2])
        proxy.cut_after = 30  # the next bytes that Redis sends through it are the beginning of a message
        assert await send(other, 3) == [3]
        await until(lambda: member.gaps == 1)
        assert await send(other, 4, 5) == [4, 5]
        await until(lambda: member.numbers[-2:] == [4, 5])
        assert member.numbers == [0, 1, 2, 4, 5]  # one was lost, and the gap told of it
        assert len(lines(caplog)) == 2


async def test_all_connections_are_reset(kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with proxying(server.port) as proxy, layer_on(kind, proxy.port) as layer:
        member = await Member().join(layer)
        for count in range(1, 4):
            await send(layer, count)
            await until(lambda count=count: member.numbers[-1:] == [count])  # type: ignore[misc]
            proxy.cut()
            await until(lambda count=count: member.gaps == count)  # type: ignore[misc]
        assert await send(layer, 4) == [4]
        await until(lambda: member.numbers == [1, 2, 3, 4])
        assert len(lines(caplog)) == 6


async def test_a_connection_that_is_dead_without_a_sign_is_given_up(
    kind: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.layers.redis.subscriptions.QUIET", 0.3)
    monkeypatch.setattr("consumers.layers.redis.queue_reader.BLOCK", 1)
    async with proxying(server.port) as proxy, layer_on(kind, proxy.port, timeout=0.5) as layer:
        member = await Member().join(layer)
        proxy.flowing.clear()
        owner = layer._process.owners.current
        assert owner is not None
        await until(lambda: not owner.receivers[0].connection.is_up)
        with pytest.raises((ConnectionError, TimeoutError)):
            await layer.group_send("room", {"type": "test"})
        proxy.flowing.set()
        await arrives_within(layer, member, RECOVERY)
        await until(lambda: member.gaps == 1)


async def test_a_slow_redis_is_a_timeout_and_no_hang(kind: str, server: RedisServer) -> None:
    async with layer_on(kind, server.port, timeout=0.5) as layer:
        member = await Member().join(layer)
        await send(layer, 0)
        await until(lambda: member.numbers == [0])
        server.send_signal(signal.SIGSTOP)
        try:
            for call in (
                partial(layer.group_send, "room", {"type": "test", "number": 1}),
                partial(layer.send, member.name, {"type": "test", "number": 1}),
                partial(anyio.to_thread.run_sync, layer.group_send_sync, "room", {"type": "test", "number": 1}),
                partial(layer.group_add, "other", member.name),
            ):
                started = time.monotonic()
                with pytest.raises((TimeoutError, ConnectionError), match="Redis at"):
                    await call()
                assert time.monotonic() - started < 1.7
        finally:
            server.send_signal(signal.SIGCONT)
        await arrives_within(layer, member, RECOVERY)


async def test_many_senders_beside_the_owner_loop_share_one_deadline(kind: str, server: RedisServer) -> None:
    async with layer_on(kind, server.port, timeout=0.5) as layer:
        await layer.group_send("room", {"type": "test"})
        server.send_signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(send, layer, number)
            assert time.monotonic() - started < 1.7
        finally:
            server.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("way", ["owner loop", "another loop", "no loop"])
async def test_all_round_trips_of_a_send_share_one_deadline(way: str, server: RedisServer) -> None:
    async with proxying(server.port) as proxy, layer_on("queue", server.port) as receiver:
        await Member().join(receiver)
        async with layer_on("queue", proxy.port, timeout=1) as layer:
            if way == "owner loop":
                layer.attach(Member().deliver)
            call = partial(layer.group_send, "room", {"type": "test"})
            if way == "no loop":
                call = partial(anyio.to_thread.run_sync, layer.group_send_sync, "room", {"type": "test"})
            await call()
            proxy.delay = 0.9
            started = time.monotonic()
            with pytest.raises(TimeoutError, match="did not answer within 1 s"):
                await call()
            assert time.monotonic() - started < 1.7


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_cancelling_one_of_two_joins_leaves_the_other(kind: str, cancelled: int, server: RedisServer) -> None:
    async with layer_on(kind, server.port) as layer:
        member = Member()
        name = layer.attach(member.deliver)
        await layer._process.owners.ensure().until_ready()
        server.send_signal(signal.SIGSTOP)
        try:
            joining = [asyncio.create_task(layer.group_add("room", name)) for _ in range(2)]
            await until(lambda: layer.groups)
            joining[cancelled].cancel()
            await asyncio.wait([joining[cancelled]])
        finally:
            server.send_signal(signal.SIGCONT)
        await joining[1 - cancelled]
        assert await send(layer, 1) == [1]
        await until(lambda: member.numbers == [1])


async def test_a_member_that_leaves_while_it_joins_is_out(kind: str, server: RedisServer) -> None:
    async with layer_on(kind, server.port) as layer:
        member = Member()
        name = layer.attach(member.deliver)
        await layer._process.owners.ensure().until_ready()
        server.send_signal(signal.SIGSTOP)
        try:
            joining = [asyncio.create_task(layer.group_add("room", name)) for _ in range(2)]
            await until(lambda: layer.groups)
            leaving = asyncio.create_task(layer.group_discard("room", name))
            await until(lambda: not layer.groups)
        finally:
            server.send_signal(signal.SIGCONT)
        await asyncio.gather(*joining, leaving)
        assert layer.groups == {}
        with server.client() as client:
            await until(lambda: not heard(client) and not client.exists("asgi:group:room"))


async def members_come_without_presence(layer: RedisLayer, server: RedisServer, reason: type[RedisError]) -> None:
    async with layer_on("pubsub", server.port) as other:
        started = time.monotonic()
        member = await Member().join(other)
        assert await send(layer, 5) == await send(other, 5) == [5]
        await until(lambda: member.numbers == [5, 5])
        with pytest.raises(reason):
            await other.presence_track("room", member.name, key="ann")
        with pytest.raises(reason):
            await other.group_count("room")
        assert time.monotonic() - started < other.timeout / 2


@pytest.mark.slow
async def test_asking_again_for_a_lease_of_a_read_only_redis_harms_no_message(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.layers.redis.lease.REFUSED_RETRY", 0.001)
    with server.client() as client:
        client.replicaof("127.0.0.1", free_port())
        async with layer_on("pubsub", server.port) as layer:
            member = await Member().join(layer)
            refused = client.info("commandstats")["cmdstat_eval"]["calls"]
            numbers = range(3000)
            for start_at in numbers[::100]:
                part = range(start_at, start_at + 100)
                assert await asyncio.gather(*(send(layer, number) for number in part)) == [[number] for number in part]
            assert client.info("commandstats")["cmdstat_eval"]["calls"] > refused + 3
            await until(lambda: sorted(member.numbers) == list(numbers))


@pytest.mark.slow
async def test_members_come_without_presence_where_redis_takes_no_more_connections(
    kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "consumers.layers")
    async with layer_on(kind, server.port, timeout=2) as layer:
        member = Member()
        member.name = layer.attach(member.deliver)
        await layer._process.owners.ensure().until_ready()
        await send(layer, 0)
        with server.client() as client:
            client.config_set("maxclients", len(server.connections()))
            await layer.group_add("room", member.name)
            assert await send(layer, 1) == [1]
            await until(lambda: member.numbers == [1])
            [line] = lines(caplog)
            assert "presence and counts do not work: there is no connection" in line
            with pytest.raises(ConnectionError):
                await layer.presence_track("room", member.name, key="ann")
            client.config_set("maxclients", 100)
        await until(lambda: layer._process.exchange.presence.has_anything())
        assert await layer.presence_track("room", member.name, key="ann")


def commands_of(server: RedisServer) -> set[str]:
    """Return the ids of the connections that no receiver waits on."""
    return {entry["id"] for entry in server.connections() if entry["cmd"] not in ("bzpopmin", "subscribe", "replicaof")}


async def test_redis_turns_read_only(kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with layer_on(kind, server.port) as layer:
        member = await Member().join(layer)
        with server.client() as client:
            client.replicaof("127.0.0.1", free_port())
            if kind == "pubsub":  # which writes nothing
                assert await send(layer, 0) == [0]
                await until(lambda: member.numbers == [0])
                await members_come_without_presence(layer, server, ReadOnlyError)
                return
            used = commands_of(server)
            with pytest.raises(ReadOnlyError):
                await layer.group_send("room", {"type": "test", "number": 1})
            with pytest.raises(ReadOnlyError):  # from another connection: a name may lead to another server by now
                await layer.group_send("room", {"type": "test", "number": 1})
            assert not used & commands_of(server)
            client.replicaof("NO", "ONE")
        await arrives_within(layer, member, RECOVERY)
        assert len(lines(caplog)) in (0, 2)  # a pop that is under way may outlive it all


@pytest.mark.parametrize("cause", ["read-only", "forbidden"])
async def test_a_redis_that_lets_nothing_be_taken_is_one_loss_and_not_many(
    cause: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with layer_on("queue", server.port) as layer:
        member = await Member().join(layer)
        with server.client() as client:
            if cause == "read-only":
                client.replicaof("127.0.0.1", free_port())
            else:
                client.execute_command("ACL", "SETUSER", "default", "-bzpopmin")
            client.client_kill_filter(_type="normal", skipme=True)
            known = client.info("stats")["total_connections_received"]
            await until(lambda: client.info("stats")["total_connections_received"] > known + 4)
            assert member.gaps == 0
            assert len(lines(caplog)) == 1
            if cause == "read-only":
                client.replicaof("NO", "ONE")
            else:
                client.execute_command("ACL", "SETUSER", "default", "+bzpopmin")
        await arrives_within(layer, member, RECOVERY)
        assert member.gaps == 1
        assert len(lines(caplog)) == 2


async def test_redis_is_out_of_memory(kind: str, server: RedisServer) -> None:
    async with layer_on(kind, server.port) as layer:
        member = await Member().join(layer)
        with server.client() as client:
            client.config_set("maxmemory", 1)
            if kind == "pubsub":  # which stores nothing
                assert await send(layer, 0) == [0]
                await until(lambda: member.numbers == [0])
                await members_come_without_presence(layer, server, OutOfMemoryError)
                return
            with pytest.raises(OutOfMemoryError):
                await layer.group_send("room", {"type": "test", "number": 1})
            with pytest.raises(OutOfMemoryError):
                await anyio.to_thread.run_sync(layer.group_send_sync, "room", {"type": "test", "number": 1})
            client.config_set("maxmemory", 0)
        assert await send(layer, 2) == [2]
        await until(lambda: member.numbers == [2])
        assert member.gaps == 0


def is_master(server: RedisServer) -> bool:
    try:
        with server.client() as client:  # which a failover disconnects
            return bool(client.info("replication")["role"] == "master")
    except RedisError:
        return False


def knows_master(sentinel: RedisServer) -> bool:
    """Tell whether Sentinel names a master that it takes for alive."""
    asked: Any = redis.Sentinel([("127.0.0.1", sentinel.port)])  # type: ignore[no-untyped-call]
    try:
        asked.discover_master("main")
    except redis.sentinel.MasterNotFoundError:
        return False
    finally:
        for client in asked.sentinels:
            client.close()
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["queue", *left_to_ci("pubsub")])
async def test_sentinel_fails_over(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with running_redis() as master, running_redis(f"replicaof 127.0.0.1 {master.port}") as replica:
        with replica.client() as client:
            await until(lambda: client.info("replication")["master_link_status"] == "up", 0.05)
        settings = [
            f"sentinel monitor main 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds main 1000",
            "sentinel failover-timeout main 2000",
        ]
        with running_redis(*settings, sentinel=True) as sentinel:
            with sentinel.client() as client:
                await until(lambda: client.sentinel_slaves("main"), 0.05)
            host = {"master_name": "main", "sentinels": [("127.0.0.1", sentinel.port)]}
            layer = LAYERS[kind]([host])
            try:
                member = await Member().join(layer)
                assert await send(layer, 0) == [0]
                await until(lambda: member.numbers == [0])
                assert sentinel.connections() == []  # asked, and not kept
                master.stop()
                await until(partial(is_master, replica), 0.05)
                await arrives_within(layer, member, RECOVERY + 1)  # Sentinel announces it a little later
                assert member.gaps == 1
                await anyio.to_thread.run_sync(layer.group_send_sync, "room", {"type": "test", "number": 7})
                await until(lambda: member.numbers[-1] == 7)
                assert len([line for line in lines(caplog) if "connect" in line]) == 2
            finally:
                await layer.close()


@pytest.mark.parametrize("kind", ["queue", *left_to_ci("pubsub")])
async def test_sentinels_that_are_silent_are_passed_over(
    kind: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.layers.redis.hosts.CONNECT_TIMEOUT", 0.5)
    monitoring = f"sentinel monitor main 127.0.0.1 {server.port} 1"
    with (
        running_redis(monitoring, sentinel=True) as sentinel,
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0)) as silent_too,
    ):
        ports = [silent.getsockname()[1], silent_too.getsockname()[1], sentinel.port]
        host = {"master_name": "main", "sentinels": [("127.0.0.1", port) for port in ports]}
        layer = LAYERS[kind]([host])
        try:
            async with layer:
                assert await send(layer, 1) == [1]
        finally:
            await layer.close()


async def test_a_connection_for_commands_that_died_without_a_sign_does_not_keep_groups_from_being_joined_again(
    kind: str, server: RedisServer
) -> None:
    async with (
        proxying(server.port) as proxy,
        layer_on(kind, proxy.port) as layer,
        layer_on(kind, server.port) as other,
    ):
        member = await Member().join(layer)
        owner = layer._process.owners.current
        assert owner is not None
        pipelined = owner.commands[0]._pipelined
        if pipelined is None:  # nothing has been sent yet
            await send(layer, 0)
            pipelined = owner.commands[0]._pipelined
        assert pipelined is not None
        proxy.abandon(pipelined._connection._writer.get_extra_info("sockname")[1])
        server.stop()
        await until(lambda: not owner.receivers[0].connection.is_up)
        server.start()
        await arrives_within(other, member, RECOVERY)
        await until(lambda: member.gaps == 1)
        assert await send(layer, 1) == [1]


async def test_attempts_to_connect_back_off() -> None:
    async with AsyncExitStack() as stack:
        nobody = free_port()
        proxies = [await stack.enter_async_context(proxying(nobody)) for _ in LAYERS]
        for kind, proxy in zip(LAYERS, proxies, strict=True):
            layer = await stack.enter_async_context(layer_on(kind, proxy.port))
            layer.attach(Member().deliver)
        await anyio.sleep(3)
        for proxy in proxies:
            assert 4 <= proxy.connections <= 12


@pytest.mark.parametrize("form", ["type", "function", "coroutine function"])
async def test_on_disconnect_and_on_reconnect_are_called(kind: str, server: RedisServer, form: str) -> None:
    called: list[str] = []

    async def later(what: str) -> None:
        called.append(what)

    forms: dict[str, dict[str, Any]] = {
        "type": {"on_disconnect": "redis.disconnect", "on_reconnect": "redis.reconnect"},
        "function": {"on_disconnect": lambda: called.append("off"), "on_reconnect": lambda: called.append("on")},
        "coroutine function": {"on_disconnect": partial(later, "off"), "on_reconnect": partial(later, "on")},
    }
    async with layer_on(kind, server.port, **forms[form]) as layer:
        member = await Member().join(layer)
        server.stop()
        server.start()
        await until(lambda: member.gaps == 1)
        await until(lambda: len(called) == 2 or len(member) == 3)
    if form == "type":
        assert [message["type"] for message in member] == ["redis.disconnect", "layer.gap", "redis.reconnect"]
    else:
        assert called == ["off", "on"]


@pytest.mark.parametrize("form", ["function", "coroutine function"])
async def test_a_callback_that_fails_is_one_clear_line(
    kind: str, form: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise LookupError("why it failed")

    async def fail_later() -> None:
        fail()

    callback = fail if form == "function" else fail_later
    async with layer_on(kind, server.port, on_disconnect=callback, on_reconnect=callback) as layer:
        member = await Member().join(layer)
        server.stop()
        server.start()
        await until(lambda: member.gaps == 1)
        await until(lambda: len(caplog.records) >= 4)
    gc.collect()
    failures = [record for record in caplog.records if record.exc_info]
    assert len(caplog.records) == 4  # and the loss, and the return
    for what, record in zip(("on_disconnect", "on_reconnect"), failures, strict=True):
        assert what in record.message and callback.__qualname__ in record.message
        assert record.exc_info and isinstance(record.exc_info[1], LookupError)
        assert record.exc_info[1].__context__ is None  # nothing else is told with it


@pytest.mark.slow
async def test_an_idle_consumer_outlives_the_default_socket_timeout(server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        layers = [await stack.enter_async_context(layer_on(kind, server.port)) for kind in LAYERS]
        members = [await Member().join(layer) for layer in layers]
        await anyio.sleep(6)  # redis-py 8 gives up reading after 5 s
        for layer, member in zip(layers, members, strict=True):
            await send(layer, 0)
            await until(lambda member=member: member.numbers == [0])  # type: ignore[misc]
            assert member.gaps == 0
