"""The groups of the queue layer that a process is in."""

import time
from typing import Any

import pytest

from consumers.layers.redis.memberships import Memberships, member_name
from consumers.layers.redis.owner_loop import OwnerLoopEnded
from consumers.layers.redis.process import Process

from ...support.redis_layers import Make, Member, until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio

LEASE = 30


@pytest.fixture
async def process(make: Make) -> Process[Any]:
    """A process with an owner loop, and a consumer that is in the group "room" here."""
    layer = make("queue", lease=LEASE, group_expiry=1000)
    process: Process[Any] = layer._process
    member = Member()
    member.name = layer.attach(member.deliver)
    process.local.group_add("room", member.name)
    await process.owners.ensure().until_ready()
    return process


@pytest.fixture
def memberships(process: Process[Any]) -> Memberships:
    found: Memberships = process.exchange.memberships
    return found


def members(server: RedisServer, group: str = "room") -> dict[str, float]:
    with server.client() as client:
        return dict(client.zrange(f"asgi:group:{group}", 0, -1, withscores=True))


async def test_a_process_joins_for_the_time_of_the_lease(
    process: Process[Any], memberships: Memberships, redis_server: RedisServer
) -> None:
    await memberships.join("room")
    [(name, score)] = members(redis_server).items()
    assert name == member_name(process.head, "room")
    assert score == pytest.approx(time.time() - 1000 + LEASE, abs=5)


async def test_many_joins_of_one_group_are_one_command(memberships: Memberships, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        before = client.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"]
        for _ in range(5):
            await memberships.join("room")
        assert client.info("commandstats")["cmdstat_eval"]["calls"] == before + 1


async def test_a_group_without_members_here_is_not_joined(memberships: Memberships, redis_server: RedisServer) -> None:
    await memberships.join("nobody")
    assert members(redis_server, "nobody") == {}


async def test_a_group_that_loses_its_last_member_here_is_left(
    process: Process[Any], memberships: Memberships, redis_server: RedisServer
) -> None:
    await memberships.join("room")
    [channel] = process.local.members("room")
    process.local.group_discard("room", channel)
    assert memberships.has_left_some()
    await until(lambda: members(redis_server) == {})
    await until(lambda: not memberships.has_left_some())


async def test_a_lost_membership_is_renewed_and_its_loss_told(
    memberships: Memberships, redis_server: RedisServer
) -> None:
    await memberships.join("room")
    lost: list[tuple[int, list[str]]] = []
    await memberships.renew(0, lambda shard, groups: lost.append((shard, groups)))
    assert lost == []
    with redis_server.client() as client:
        client.delete("asgi:group:room")
    await memberships.renew(0, lambda shard, groups: lost.append((shard, groups)))
    assert lost == [(0, ["room"])]
    assert len(members(redis_server)) == 1


async def test_names_of_members_are_told_apart(process: Process[Any], memberships: Memberships) -> None:
    own, group = f"{process.head}c.x", member_name(process.head, "room")
    assert memberships.addressed([own, group, "specific.other!c.x", "named"]) == ([own], ["room"])


async def test_nothing_is_joined_where_no_owner_loop_is(process: Process[Any], memberships: Memberships) -> None:
    owner = process.owners.release()
    assert owner is not None
    with pytest.raises(OwnerLoopEnded):
        await memberships.join("room")
    await owner.close()
