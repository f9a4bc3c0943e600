"""Redis Cluster: what the pub/sub layer does there, and that the queue layer says that it does nothing."""

import contextlib
import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from redis.exceptions import ConnectionError
from starlette.applications import Starlette

from consumers import channel_layers, lifespan

from ...support.redis_layers import LAYERS, Mailbox, Member, groups_by_shard, layer_on, lines, send, until
from ...support.redis_server import RedisServer, free_port, running_redis

pytestmark = pytest.mark.anyio


def port() -> int:
    """Return a free port that leaves room for the one of the cluster's bus, 10,000 above it."""
    while (found := free_port()) >= 55_000:
        pass
    return found


@contextlib.contextmanager
def running_node(number: int, of: int) -> Iterator[RedisServer]:
    with running_redis("cluster-enabled yes", "cluster-node-timeout 1000", port=port()) as node:
        with node.client() as client:
            first, last = number * 16384 // of, (number + 1) * 16384 // of
            client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
        yield node


def state_of(node: RedisServer) -> tuple[str, int]:
    """Return what a node thinks of its cluster: "ok" or "fail", and how many nodes it has."""
    with node.client() as client:
        info = client.execute_command("CLUSTER INFO")
    return info["cluster_state"], int(info["cluster_known_nodes"])


def is_whole(nodes: list[RedisServer]) -> bool:
    return all(state_of(node) == ("ok", len(nodes)) for node in nodes)


@pytest.fixture
async def nodes(anyio_backend: str) -> Any:
    """The two nodes of a cluster."""
    with running_node(0, 2) as one, running_node(1, 2) as other:
        with one.client() as client:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        await until(lambda: is_whole([one, other]), 0.05)
        yield [one, other]


@pytest.fixture
async def node(anyio_backend: str) -> Any:
    """A cluster of one node, which has all the slots: no command is redirected there."""
    with running_node(0, 1) as node:
        await until(lambda: is_whole([node]), 0.05)
        yield node


def refused(node: RedisServer) -> Any:
    return pytest.raises(ConnectionError, match=f"127.0.0.1:{node.port}: it is a node of a Redis Cluster, which Redis")


async def test_the_queue_layer_says_that_it_does_not_support_a_cluster(
    node: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    started = time.monotonic()
    async with layer_on("queue", node.port) as layer:
        for call in (
            layer.__aenter__,
            partial(layer.group_send, "room", {"type": "test"}),
            partial(layer.send, "worker", {"type": "test"}),
            partial(layer.group_add, "room", layer.attach(Mailbox().deliver)),
            partial(layer.receive, "worker"),
            partial(anyio.to_thread.run_sync, layer.group_send_sync, "room", {"type": "test"}),
        ):
            with refused(node):
                await call()
    assert time.monotonic() - started < layer.timeout  # nobody waits for what will not be
    [line] = lines(caplog)
    assert "cluster-enabled no" in line
    with node.client() as client:
        assert client.dbsize() == 0


async def test_a_sender_without_a_loop_of_the_layers_is_told_too(node: RedisServer) -> None:
    async with layer_on("queue", node.port) as layer:
        for call in (partial(layer.send_sync, "worker"), partial(layer.group_send_sync, "room")):
            with refused(node):
                await anyio.to_thread.run_sync(call, {"type": "test"})


async def test_an_application_tells_it_at_its_start(
    node: RedisServer, no_layer: None, caplog: pytest.LogCaptureFixture
) -> None:
    channel_layers.configure({"default": {"BACKEND": LAYERS["queue"], "CONFIG": {"hosts": [node.url]}}})
    app, started = Starlette(lifespan=lifespan), time.monotonic()
    async with app.router.lifespan_context(app):
        assert time.monotonic() - started < 2
    assert any("'default' is not ready" in line and "Redis Cluster" in line for line in lines(caplog))


async def test_the_queue_layer_uses_the_server_when_it_is_a_cluster_no_more() -> None:
    with running_node(0, 1) as node:
        async with layer_on("queue", node.port) as layer:
            with refused(node):
                await Member().join(layer)
            node.stop()
            with running_redis(port=node.port):
                await until(lambda: layer._process.owners.ensure().receivers[0].connection.is_up)
                member = await Member().join(layer)
                assert await send(layer, 1) == [1]
                await until(lambda: member.numbers == [1])


async def test_the_pubsub_layer_reaches_members_at_every_node(
    nodes: list[RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = nodes
    async with layer_on("pubsub", one.port) as here, layer_on("pubsub", other.port) as there:
        member, neighbour = await Member().join(here), await Member().join(there)
        for number, layer in enumerate((here, there) * 3):
            assert await send(layer, number) == [number]
            await until(lambda number=number: member.numbers[-1:] == neighbour.numbers[-1:] == [number])  # type: ignore[misc]
        await there.send(member.name, {"type": "test", "number": 6})
        await here.send(neighbour.name, {"type": "test", "number": 6})
        await until(lambda: member.numbers == neighbour.numbers == list(range(7)))
        closed: list[int] = []
        name = here.attach(Mailbox().deliver, lambda code, reason: closed.append(code))
        await here.group_add("banned", name)
        await there.close_group("banned", 4001)
        await until(lambda: closed == [4001])
    assert not lines(caplog)


@pytest.mark.slow
async def test_the_pubsub_layer_outlives_a_node_that_is_not_its_own(nodes: list[RedisServer]) -> None:
    one, other = nodes
    async with layer_on("pubsub", one.port) as layer:
        member = await Member().join(layer)
        other.stop()
        await until(lambda: state_of(one) == ("fail", 2), 0.05)
        assert await send(layer, 1) == [1]
        await until(lambda: member.numbers == [1])
        assert member.gaps == 0


async def test_the_nodes_of_a_cluster_are_divided_among_as_hosts_too(nodes: list[RedisServer]) -> None:
    ports = [node.port for node in nodes]
    async with layer_on("pubsub", *ports) as layer, layer_on("pubsub", *ports) as other:
        for group in groups_by_shard("pubsub", layer):
            member = await Member().join(layer, group)
            await other.group_send(group, {"type": "test", "number": 1})
            await until(lambda member=member: member.numbers == [1])  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
async def test_presence_and_counts_say_that_they_do_not_work_on_a_cluster(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "consumers.layers")
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(running_node(number, count)) for number in range(count)]
        for node in nodes[1:]:
            with nodes[0].client() as client:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        await until(lambda: is_whole(nodes))
        started = time.monotonic()
        async with layer_on("pubsub", nodes[0].port) as layer, layer_on("pubsub", nodes[-1].port) as script:
            member = await Member().join(layer)
            assert await send(layer, 1) == [1]
            await until(lambda: member.numbers == [1])
            calls: list[Any] = [
                partial(layer.presence_track, "room", member.name, key="ann"),
                partial(layer.presence, "room"),
                partial(layer.presence_count, "room"),
                partial(layer.group_count, "room"),
                partial(layer.group_channels, "room"),
                partial(anyio.to_thread.run_sync, script.presence_sync, "room"),
                partial(anyio.to_thread.run_sync, script.presence_count_sync, "room"),
                partial(anyio.to_thread.run_sync, script.group_count_sync, "room"),
                partial(anyio.to_thread.run_sync, script.group_channels_sync, "room"),
            ]
            for call in calls:
                with pytest.raises(ConnectionError, match=r"Redis Cluster, where presence and counts do not work"):
                    await call()
        assert time.monotonic() - started < 2  # nobody waits for what will not be
        [line] = lines(caplog)
        assert "presence and counts do not work" in line
        for node in nodes:
            with node.client() as client:
                assert client.dbsize() == 0
