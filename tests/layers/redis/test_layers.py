"""What the Redis layers do beyond the contract: connections, the end, leases, payloads."""

import signal
import sys
import time
from functools import partial
from typing import Any

import anyio
import msgpack  # type: ignore[import-untyped]
import pytest

from consumers import AsyncWebsocketConsumer, ChannelFull, channel_layers
from consumers.layers.codec import CHANNELS_KEY, MAX_DEPTH
from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.layers.redis.layer import RedisLayer
from consumers.types import Message

from ...support.redis_layers import LAYERS, LEASES, PATIENCE, Mailbox, Make, heard, until
from ...support.redis_server import RedisServer, running_redis
from ...support.wire import Wire, start

pytestmark = pytest.mark.anyio

# One of everything


async def test_a_thousand_members_need_three_connections_and_five_subscriptions(
    layer: RedisLayer, redis_server: RedisServer
) -> None:
    mailboxes = [Mailbox() for _ in range(1000)]
    for mailbox in mailboxes:
        await layer.group_add("room", layer.attach(mailbox.deliver))
    with redis_server.client() as client:
        before = client.info("commandstats")
        await layer.group_send("room", {"type": "test"})
        for mailbox in mailboxes:
            await mailbox.holds(1)
        after = client.info("commandstats")
        assert len(redis_server.connections()) == 4  # and this test's
        assert client.pubsub_numpat() + len(heard(client)) in (0, 3)  # the process, the group, orders
        assert len(client.pubsub_channels()) - len(heard(client)) == 2
        assert client.zcard("asgi:group:room") in (0, 1)
    calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert sum(calls[name] for name in calls if name not in ("cmdstat_info", "cmdstat_client|list")) < 15


async def test_a_message_is_decoded_once_for_a_thousand_members(
    layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = layer._codec.decode

    def noted(data: bytes, any_kind: bool = False) -> Any:
        decoded.append(data)
        return decode(data, any_kind)

    monkeypatch.setattr(layer._codec, "decode", noted)
    mailboxes = [Mailbox() for _ in range(1000)]
    for mailbox in mailboxes:
        await layer.group_add("room", layer.attach(mailbox.deliver))
    await layer.group_send("room", {"type": "test"})
    for mailbox in mailboxes:
        await mailbox.holds(1)
    assert len(decoded) == 1


# The end


def nothing_remains(client: Any) -> bool:
    """Whether a layer that is open has left nothing but what tells others that its process lives."""
    return bool(client.keys() in ([], [LEASES]) and heard(client) == [])


class Member(AsyncWebsocketConsumer):
    groups = ["room", "other_room"]


@pytest.mark.parametrize("shards", [1, 2])
async def test_after_disconnects_no_key_and_no_subscription_remains(
    kind: str, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_redis() as one, running_redis() as other:
        servers = [one, other][:shards]
        async with LAYERS[kind]([server.url for server in servers]) as layer:
            monkeypatch.setitem(channel_layers.backends, "default", layer)
            async with anyio.create_task_group() as tasks:
                wires = [Wire(), Wire()]
                for wire in wires:
                    start(tasks, wire, Member.as_asgi())
                    await wire.accepted()
                await layer.group_send("room", {"type": "test"})
                assert layer.groups.keys() == {"room", "other_room"}
                for wire in wires:
                    wire.disconnect()
            for server in servers:
                with server.client() as client:
                    await until(partial(nothing_remains, client))
            assert layer.groups == {}
        for server in servers:
            with server.client() as client:
                await until(lambda client=client: client.keys() == client.pubsub_channels() == [])  # type: ignore[misc]


async def test_every_key_expires(make: Make, redis_server: RedisServer) -> None:
    layer = make("queue", lease=2, group_expiry=100, expiry=30)
    await layer.group_add("room", layer.attach(Mailbox().deliver))
    await layer.group_add("workers", "worker")
    await layer.group_send("workers", {"type": "test"})
    await layer.send("nobody!here", {"type": "test"})
    with redis_server.client() as client:
        ttls = {key: client.ttl(key) for key in client.keys("*")}
    assert ttls.keys() == {"asgi:group:room", "asgi:group:workers", "asgiworker", "asginobody!", LEASES}
    assert 86000 < ttls[LEASES] <= 86400
    assert 0 < ttls["asgi:group:room"] <= 3
    assert 90 < ttls["asgi:group:workers"] <= 100
    assert 20 < ttls["asginobody!"] <= 30


HOLD_GROUP = """
import asyncio, sys
from consumers.layers.redis import RedisChannelLayer
layer = RedisChannelLayer([sys.argv[1]], lease=1.5)
async def main():
    for _ in range(10):
        await layer.group_add("room", layer.attach(lambda message: 1))
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("company", [True, False], ids=["with others in the group", "alone"])
async def test_the_members_of_a_killed_process_vanish_when_its_lease_ends(
    make: Make, redis_server: RedisServer, company: bool
) -> None:
    layer, mailbox = make("queue", lease=1.5), Mailbox()
    async with await anyio.open_process([sys.executable, "-c", HOLD_GROUP, redis_server.url]) as process:
        assert process.stdout is not None
        assert (await process.stdout.receive()).startswith(b"ready")
        if company:
            await layer.group_add("room", layer.attach(mailbox.deliver))
        with redis_server.client() as client:
            await anyio.sleep(2)  # longer than a lease, which is renewed
            members = client.zcard("asgi:group:room")
            process.send_signal(signal.SIGKILL)
            await process.wait()
            assert members == 1 + company
            killed = time.monotonic()
            await until(lambda: client.zcard("asgi:group:room") == company)
            assert time.monotonic() - killed < 3.2  # lease, renewal interval and Redis' whole seconds
    if company:
        await layer.group_send("room", {"type": "test"})
        assert await mailbox.holds(1) == [{"type": "test"}]


async def test_a_forgotten_membership_is_renewed(make: Make, redis_server: RedisServer) -> None:
    layer, mailbox = make("queue", lease=0.6), Mailbox()
    await layer.group_add("room", layer.attach(mailbox.deliver))
    with redis_server.client() as client:
        client.flushall()
        await until(lambda: client.zcard("asgi:group:room") == 1)
    await layer.group_send("room", {"type": "test"})
    await mailbox.holds(1)


async def test_a_message_that_has_expired_in_redis_is_not_delivered(
    make: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer, mailbox = make("queue", expiry=30), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.send(name, {"type": "first"})
    await mailbox.holds(1)
    key = "asgi" + layer.non_local_name(name)
    with redis_server.client() as client:
        payload = bytes(12) + msgpack.packb({"type": "old", CHANNELS_KEY: name})
        client.zadd(key, {payload: time.time() - 31})
    await layer.send(name, {"type": "new"})
    assert await mailbox.holds(2) == [{"type": "first"}, {"type": "new"}]
    assert [record.message for record in caplog.records if "expires after 30 s" in record.message]


def put(server: RedisServer, layer: RedisLayer, channel: str, payload: bytes) -> None:
    """Send a channel bytes, past the layer."""
    with server.client() as client:
        if isinstance(layer, RedisPubSubChannelLayer):
            client.publish(channel, payload)
        else:
            client.zadd("asgi" + layer.non_local_name(channel), {payload: time.time()})


@pytest.mark.parametrize("payload", [b"", b"garbage", msgpack.packb(["list"]), msgpack.packb({"type": "x"})[:-1]])
async def test_foreign_payloads_are_dropped_with_one_line_and_do_not_stop_the_reader(
    make: Make, kind: str, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, payload: bytes
) -> None:
    layer, mailbox = make(kind), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    put(redis_server, layer, name, bytes(12 if kind == "queue" else 0) + payload)
    await layer.group_send("room", {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]
    assert len([record for record in caplog.records if "dropped" in record.message]) == 1


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_a_dict_that_no_receiver_could_decode_is_a_type_error_at_its_sender(
    make: Make, kind: str, format: str, caplog: pytest.LogCaptureFixture
) -> None:
    layer, mailbox = make(kind, serializer_format=format), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    message = {"type": "test", "scores": {("a", 1): 2}}
    for send, to in ((layer.send, name), (layer.group_send, "room")):
        with pytest.raises(TypeError, match=f"cannot be sent as {format}.*key"):
            await send(to, message)
    for send, to in ((layer.send_sync, name), (layer.group_send_sync, "room")):
        with pytest.raises(TypeError, match=f"cannot be sent as {format}.*key"):
            await anyio.to_thread.run_sync(send, to, message)
    await layer.group_send("room", {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]
    assert caplog.messages == []


def nested(depth: int) -> Message:
    value: Any = []
    for _ in range(depth - 2):
        value = [value]
    return {"type": "deep", "value": value}


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_a_message_is_nested_as_deeply_as_its_receivers_can_copy_it(make: Make, kind: str, format: str) -> None:
    layer, mailbox = make(kind, serializer_format=format), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    for send, to in ((layer.send, name), (layer.group_send, "room")):
        await send(to, nested(MAX_DEPTH))
        with pytest.raises(ValueError, match=f"nested too deeply.* {MAX_DEPTH}"):
            await send(to, nested(MAX_DEPTH + 1))
    for send, to in ((layer.send_sync, name), (layer.group_send_sync, "room")):
        await anyio.to_thread.run_sync(send, to, nested(MAX_DEPTH))
        with pytest.raises(ValueError, match=f"nested too deeply.* {MAX_DEPTH}"):
            await anyio.to_thread.run_sync(send, to, nested(MAX_DEPTH + 1))
    assert await mailbox.holds(4) == [nested(MAX_DEPTH)] * 4


@pytest.mark.parametrize("format", ["json", "msgpack"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500])
async def test_a_foreign_message_that_is_nested_too_deeply_does_not_stop_the_reader(
    make: Make,
    kind: str,
    format: str,
    depth: int,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer, mailbox = make(kind, serializer_format=format), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    with monkeypatch.context() as context:
        context.setattr("consumers.layers.codec.MAX_DEPTH", 1000)  # as if the sender had no limit
        payload = layer._codec.encode({**nested(depth), CHANNELS_KEY: name})
    put(redis_server, layer, name, payload)
    await layer.group_send("room", {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]
    [record] = caplog.records
    assert "nested too deeply" in record.message and not record.exc_info


async def test_a_wrong_key_delivers_nothing(make: Make, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    sender = make(kind, symmetric_encryption_keys=["other"])
    layer, mailbox = make(kind, symmetric_encryption_keys=["mine"]), Mailbox()
    await layer.group_add("room", layer.attach(mailbox.deliver))
    await sender.group_send("room", {"type": "foreign"})
    await layer.group_send("room", {"type": "mine"})
    assert await mailbox.holds(1) == [{"type": "mine"}]
    assert "InvalidToken" in caplog.text


# The queue layer


async def test_a_full_queue_of_a_process_that_does_not_read(
    make: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = make("queue", capacity=3)
    await layer.group_add("room", "specific.gone!x")
    for _ in range(3):
        await layer.group_send("room", {"type": "test"})
    assert layer.dropped == 0
    for _ in range(5):
        await layer.group_send("room", {"type": "test"})
    assert layer.dropped == 5
    assert len([record for record in caplog.records if "is full" in record.message]) == 1
    with pytest.raises(ChannelFull, match=r"'specific.gone!y'.* 3 "):
        await layer.send("specific.gone!y", {"type": "test"})


async def test_a_full_queue_counts_a_groups_message_once_for_all_members_of_its_process(make: Make) -> None:
    layer = make("queue", capacity=1)
    for channel in ("specific.gone!x", "specific.gone!y", "specific.gone!z", "specific.another!x"):
        await layer.group_add("room", channel)
    for _ in range(3):
        await layer.group_send("room", {"type": "test"})
    assert layer.dropped == 2 * 2
    with pytest.raises(ChannelFull):
        await layer.send("specific.gone!x", {"type": "test"})
    assert layer.dropped == 2 * 2


async def test_a_member_that_another_process_added_too_gets_a_message_once(make: Make) -> None:
    layer, other, mailbox = make("queue"), make("queue"), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    await other.group_add("room", name)
    await other.group_send("room", {"type": "one"})
    await other.group_send("room", {"type": "two"})
    assert await mailbox.holds(2) == [{"type": "one"}, {"type": "two"}]
    await layer.group_discard("room", name)
    await other.group_send("room", {"type": "not.for.it"})
    await other.send(name, {"type": "three"})
    assert await mailbox.holds(3) == [{"type": "one"}, {"type": "two"}, {"type": "three"}]


async def test_a_consumer_that_another_process_added_outlives_the_lease_and_leaves_when_it_ends(
    make: Make, redis_server: RedisServer
) -> None:
    layer, other, mailbox = make("queue", lease=0.6), make("queue", lease=0.6), Mailbox()
    name = layer.attach(mailbox.deliver)
    await other.group_add("room", name)
    await other.group_send("room", {"type": "at.once"})
    with redis_server.client() as client:
        await until(
            lambda: name not in client.zrange("asgi:group:room", "(" + str(time.time() - 86400), "+inf", byscore=True)
        )
        await other.group_send("room", {"type": "later"})
        assert await mailbox.holds(2) == [{"type": "at.once"}, {"type": "later"}]
        layer.detach(name)
        await until(lambda: not client.exists("asgi:group:room"))


async def test_another_process_can_take_a_consumer_out_of_a_group(make: Make, redis_server: RedisServer) -> None:
    layer, other, mailbox = make("queue"), make("queue"), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    await other.group_discard("room", name)
    await other.group_send("room", {"type": "not.for.it"})
    await other.send(name, {"type": "direct"})
    assert await mailbox.holds(1) == [{"type": "direct"}]
    with redis_server.client() as client:
        await until(lambda: not client.exists("asgi:group:room"))


async def test_a_sender_removes_what_has_expired(make: Make, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.zadd("asgiworker", {b"old": time.time() - 61, b"older": time.time() - 100})
        await make("queue", capacity=1).send("worker", {"type": "test"})
        assert client.zcard("asgiworker") == 1


async def test_a_message_taken_for_a_receive_that_was_cancelled_goes_back(
    make: Make, redis_server: RedisServer
) -> None:
    layer = make("queue")
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(layer.receive, "worker")
        await until(lambda: any(entry["cmd"] == "bzpopmin" for entry in redis_server.connections()))
        task_group.cancel_scope.cancel()
    with redis_server.client() as client:
        await make("queue").send("worker", {"type": "test"})
        await until(lambda: client.zcard("asgiworker") == 1)
    with anyio.fail_after(PATIENCE):
        assert await make("queue").receive("worker") == {"type": "test"}


async def test_a_message_with_the_layers_own_key_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match=CHANNELS_KEY):
        await make("queue").send("worker", {"type": "test", CHANNELS_KEY: "x"})


# The pub/sub layer


async def test_a_channel_of_another_process_cannot_be_added_to_a_group(make: Make) -> None:
    with pytest.raises(RuntimeError, match="only that one can add it to a group"):
        await make("pubsub").group_add("room", make("pubsub").attach(lambda message: 1))


@pytest.mark.parametrize("prefix", ["a*[b]:?\\ü", "", "-^ \n", "my!site"])
async def test_a_prefix_may_be_nearly_anything(make: Make, kind: str, prefix: str) -> None:
    if kind == "pubsub":
        prefix = prefix.replace("!", "")
    layer, other, mailbox = make(kind, prefix=prefix), make(kind, prefix=prefix), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    await other.group_send("room", {"type": "one"})
    await other.send(name, {"type": "two"})
    own = await layer.new_channel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(layer.receive, own)
        await layer._process.owners.ensure().until_ready()
        await other.send(own, {"type": "three"})
    assert await mailbox.holds(2) == [{"type": "one"}, {"type": "two"}]


async def test_a_channels_messages_wait_in_redis_until_somebody_receives_them(
    make: Make, redis_server: RedisServer
) -> None:
    layer = make("queue", capacity=3)
    async with layer:
        name = await layer.new_channel()
        await layer.group_add("room", name)
        for number in range(5):
            await layer.group_send("room", {"type": "test", "number": number})
            await anyio.sleep(0.01)  # time enough for taking it out too early
        assert (layer.dropped, layer.stored) == (2, 0)
        with anyio.fail_after(3):
            assert [(await layer.receive(name))["number"] for _ in range(3)] == [0, 1, 2]
        with anyio.move_on_after(0.1):
            raise AssertionError(await layer.receive(name))


async def test_the_first_consumer_hears_at_once_where_nobody_listened(make: Make) -> None:
    layer, mailbox = make("queue"), Mailbox()
    async with layer:
        await anyio.sleep(0.05)
        await layer.group_add("room", layer.attach(mailbox.deliver))
        await layer.group_send("room", {"type": "test"})
        with anyio.fail_after(3):  # what nobody reads waits for 5
            await mailbox.holds(1)


async def test_a_channel_of_another_kind_gets_direct_and_group_messages_in_their_order(make: Make) -> None:
    layer = make("queue")
    async with layer:
        name, other = await layer.new_channel("kind"), await layer.new_channel()
        await layer.group_add("room", name)
        for number in range(0, 40, 2):
            await layer.send(name, {"type": "test", "number": number})
            await layer.group_send("room", {"type": "test", "number": number + 1})
        with anyio.move_on_after(0.1):
            await layer.receive(other)
        assert [(await layer.receive(name))["number"] for _ in range(40)] == list(range(40))
