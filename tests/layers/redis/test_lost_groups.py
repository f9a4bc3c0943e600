"""Groups whose keys Redis has lost while the connection to it held: by FLUSHALL, by eviction."""

from functools import partial

import anyio
import pytest

from consumers import AsyncWebsocketConsumer, channel_layers
from consumers.types import Message

from ...support.redis_layers import Make, Member, lines, until
from ...support.redis_server import RedisServer
from ...support.wire import Wire, start

pytestmark = pytest.mark.anyio

LEASE = 1.5  # seconds; renewed after a third of it, so that a busy machine does not outlast it


def gap(group: str) -> Message:
    return {"type": "layer.gap", "group": group}


async def renewals(server: RedisServer, count: int = 3) -> None:
    """Wait until groups have been joined, or renewed, so often."""
    with server.client() as client:

        def scripts() -> int:
            return int(client.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"])

        before = scripts()
        await until(lambda: scripts() >= before + count)


def told(member: Member, message: Message, count: int) -> bool:
    return member.count(message) == count


@pytest.mark.parametrize("loss", ["FLUSHALL", "the group's key"])
async def test_the_members_of_a_lost_group_are_told_of_the_gap_each_time(
    loss: str, make: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = make("queue", lease=LEASE)
    one, other, outsider = await Member().join(layer), await Member().join(layer), await Member().join(layer, "else")
    await layer.group_add("else", other.name)
    with redis_server.client() as client:
        for count in (1, 2, 3):
            client.flushall() if loss == "FLUSHALL" else client.delete("asgi:group:room")
            await until(lambda: all(member[-1:] and member[-1]["type"] == "layer.gap" for member in (one, other)))
            assert client.zcard("asgi:group:room") == 1  # it is repaired when they are told
            if loss == "FLUSHALL":
                await until(partial(told, outsider, gap("else"), count))
                await until(partial(told, other, gap("else"), count))
            await layer.group_send("room", {"type": "test", "number": count})
            await until(partial(told, one, {"type": "test", "number": count}, 1))
            assert one[-2:] == [gap("room"), {"type": "test", "number": count}]
            assert other.count(gap("room")) == count
    if loss != "FLUSHALL":
        assert outsider == [] and gap("else") not in other
        assert len(lines(caplog)) == 3
    assert all("had lost this process from" in line for line in lines(caplog))


async def test_each_of_many_lost_groups_is_told_to_its_own_members(
    make: Make, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.layers.redis.memberships.GROUPS_AT_ONCE", 4)
    layer = make("queue", lease=LEASE)
    members = [await Member().join(layer, f"room{number}") for number in range(10)]
    lost = [1, 2, 5, 9]
    with redis_server.client() as client:
        client.delete(*(f"asgi:group:room{number}" for number in lost))
    await until(lambda: all(members[number] for number in lost))
    await renewals(redis_server, 6)
    assert members == [[gap(f"room{number}")] if number in lost else [] for number in range(10)]


async def test_a_consumer_hears_which_group_has_a_gap(
    make: Make, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Curious(AsyncWebsocketConsumer):
        groups = ["room"]

        async def layer_gap(self, event: Message) -> None:
            await self.send(f"gap in {event['group']}")

    class Careless(AsyncWebsocketConsumer):
        groups = ["room"]
        strict_types = True

        async def test(self, event: Message) -> None:
            await self.send("test")

    layer = make("queue", lease=LEASE)
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    async with anyio.create_task_group() as tasks:
        curious, careless = Wire(), Wire()
        for wire, consumer in ((curious, Curious), (careless, Careless)):
            start(tasks, wire, consumer.as_asgi())
            await wire.accepted()
        with redis_server.client() as client:
            client.flushall()
        assert await curious.next_text() == "gap in room"
        await layer.group_send("room", {"type": "test"})
        assert await careless.next_text() == "test"
        for wire in (curious, careless):
            wire.disconnect()
    assert "layer_gap" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("was_there", [False, True], ids=["for the first time", "after it was left"])
async def test_a_group_whose_join_is_on_its_way_is_not_taken_for_lost(
    was_there: bool, make: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = make("queue", lease=LEASE)
    member = await Member().join(layer)
    with redis_server.client() as client:
        if was_there:
            await layer.group_add("late", member.name)
            await renewals(redis_server)
            await layer.group_discard("late", member.name)
            await until(lambda: not client.zcard("asgi:group:late"))
        with layer._process.local.joining("late", member.name):  # as `group_add()` does, before it asks Redis
            await until(lambda: client.zcard("asgi:group:late"))
            await renewals(redis_server)
    assert member == [] and not lines(caplog)


async def test_where_the_connection_is_lost_too_its_return_tells_all_and_no_group_is_told_besides(
    make: Make, server: RedisServer
) -> None:
    layer = make("queue", hosts=[server.url], lease=LEASE)
    member = await Member().join(layer)
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-bzpopmin")
        client.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: not layer._process.owners.ensure().receivers[0].connection.is_up)
        client.flushall()
        await until(lambda: client.zcard("asgi:group:room"))
        assert member == []
        client.execute_command("ACL", "SETUSER", "default", "+bzpopmin")
        await until(lambda: member)
        await renewals(server)
    assert member == [{"type": "layer.gap", "group": None}]
