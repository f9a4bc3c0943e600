"""What the Redis layers do beyond the contract: names, connections, senders anywhere, the end, leases."""

import asyncio
import datetime
import ipaddress
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgpack  # type: ignore[import-untyped]
import pytest
from asgiref.sync import async_to_sync
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from consumers import AsyncWebsocketConsumer, ChannelFull, channel_layers
from consumers.layers.codec import CHANNELS_KEY
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer, popper
from consumers.layers.redis.hosts import decode_hosts, shard_of
from consumers.layers.redis.layer import RedisLayer
from consumers.types import Message

from ..redis_server import RedisServer, free_port, running_redis
from ..wire import Wire, start

pytestmark = pytest.mark.anyio

PATIENCE = 5  # seconds
LAYERS = {"pubsub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}

Make = Callable[..., Any]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=LAYERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def make(redis_server: RedisServer, anyio_backend: str) -> AsyncIterator[Make]:
    """Make layers of a kind that are closed after the test; then nothing of them is left in Redis."""
    made: list[Any] = []

    def make(kind: str, **arguments: Any) -> Any:
        made.append(LAYERS[kind](**{"hosts": [redis_server.url], **arguments}))
        return made[-1]

    yield make
    for layer in made:
        await layer.close()
    with redis_server.client() as client:
        client.flushall()
    await until(lambda: redis_server.connections() == [])


@pytest.fixture
def layer(make: Make, kind: str) -> RedisLayer:
    layer = make(kind)
    assert isinstance(layer, RedisLayer)
    return layer


async def until(condition: Callable[[], Any]) -> None:
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.sleep(0.005)


class Mailbox(list[Message]):
    def deliver(self, message: Message) -> int:
        self.append(message)
        return 1

    async def holds(self, count: int) -> list[Message]:
        await until(lambda: len(self) >= count)
        return self


# One of everything


async def test_a_thousand_members_need_two_connections_and_one_subscription(
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
        assert len(redis_server.connections()) == 3  # and this test's
        assert client.pubsub_numpat() + len(client.pubsub_channels()) in (0, 2)
        assert client.zcard("asgi:group:room") in (0, 1)
    calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert sum(calls[name] for name in calls if name not in ("cmdstat_info", "cmdstat_client|list")) < 15


async def test_a_message_is_decoded_once_for_a_thousand_members(
    layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = layer._codec.decode

    def noted(data: bytes) -> dict[str, Any]:
        decoded.append(data)
        return decode(data)

    monkeypatch.setattr(layer._codec, "decode", noted)
    mailboxes = [Mailbox() for _ in range(1000)]
    for mailbox in mailboxes:
        await layer.group_add("room", layer.attach(mailbox.deliver))
    await layer.group_send("room", {"type": "test"})
    for mailbox in mailboxes:
        await mailbox.holds(1)
    assert len(decoded) == 1


# Senders anywhere


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
import asyncio, sys
from asgiref.sync import async_to_sync
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from consumers.layers import channel_layers, group_send_sync, send_sync
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer

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
        while not done.is_set():
            await asyncio.sleep(0.01)

    await layer.group_add("room", layer.attach(here.deliver))
    thread = threading.Thread(target=lambda: asyncio.run(other_loop()))
    thread.start()
    try:
        await until(ready.is_set)
        await layer.group_send("room", {"type": "test"})
        await here.holds(1)
        await there.holds(1)
        assert len(redis_server.connections()) == 2
    finally:
        done.set()
        thread.join()


async def test_another_loop_takes_over_when_the_first_one_ends(layer: RedisLayer) -> None:
    ready, done = threading.Event(), threading.Event()

    async def first_loop() -> None:
        await layer.group_add("room", layer.attach(lambda message: 1))
        ready.set()
        while not done.is_set():
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(first_loop()))
    thread.start()
    await until(ready.is_set)
    mailbox = Mailbox()
    await layer.group_add("room", layer.attach(mailbox.deliver))
    first_home = layer._process.home
    done.set()
    thread.join()
    await until(lambda: layer._process.home not in (None, first_home))
    assert layer._process.home is not None
    await layer._process.home.until_ready()

    async def arrives() -> None:
        while not mailbox:
            await layer.group_send("room", {"type": "test"})
            await anyio.sleep(0.02)

    with anyio.fail_after(PATIENCE):
        await arrives()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
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


# The end


def nothing_remains(client: Any) -> bool:
    return bool(client.keys() == client.pubsub_channels() == [])


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


async def test_every_key_expires(make: Make, redis_server: RedisServer) -> None:
    layer = make("queue", lease=2, group_expiry=100, expiry=30)
    await layer.group_add("room", layer.attach(Mailbox().deliver))
    await layer.group_add("workers", "worker")
    await layer.group_send("workers", {"type": "test"})
    await layer.send("nobody!here", {"type": "test"})
    with redis_server.client() as client:
        ttls = {key: client.ttl(key) for key in client.keys("*")}
    assert ttls.keys() == {"asgi:group:room", "asgi:group:workers", "asgiworker", "asginobody!"}
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


@pytest.mark.parametrize("payload", [b"", b"garbage", msgpack.packb(["list"]), msgpack.packb({"type": "x"})[:-1]])
async def test_foreign_payloads_are_dropped_with_one_line_and_do_not_stop_the_reader(
    make: Make, kind: str, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, payload: bytes
) -> None:
    layer, mailbox = make(kind), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    with redis_server.client() as client:
        if kind == "pubsub":
            client.publish(name, payload)
            client.publish("asgi__group__room", payload)
        else:
            client.zadd("asgi" + layer.non_local_name(name), {bytes(12) + payload: time.time()})
    await layer.group_send("room", {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]
    assert len([record for record in caplog.records if "dropped" in record.message]) == 1


async def test_a_message_nested_too_deeply_to_be_copied_does_not_stop_the_reader(
    make: Make, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    layer, mailbox = make(kind, serializer_format="json"), Mailbox()
    await layer.group_add("room", layer.attach(mailbox.deliver))
    nested: list[Any] = []
    for _ in range(800):
        nested = [nested]
    await layer.group_send("room", {"type": "deep", "text": nested})
    await layer.group_send("room", {"type": "test"})
    await until(lambda: any(message["type"] == "test" for message in mailbox))
    assert not [message for message in mailbox if message["type"] == "layer.gap"]
    assert not [record for record in caplog.records if record.exc_info]


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


async def test_a_member_that_another_process_added_too_gets_a_message_once(make: Make) -> None:
    layer, other, mailbox = make("queue"), make("queue"), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    await other.group_add("room", name)
    await other.group_send("room", {"type": "one"})
    await other.group_send("room", {"type": "two"})
    assert await mailbox.holds(2) == [{"type": "one"}, {"type": "two"}]
    await layer.group_discard("room", name)
    await other.group_send("room", {"type": "not for it"})
    await other.send(name, {"type": "three"})
    assert await mailbox.holds(3) == [{"type": "one"}, {"type": "two"}, {"type": "three"}]


async def test_a_consumer_that_another_process_added_outlives_the_lease_and_leaves_when_it_ends(
    make: Make, redis_server: RedisServer
) -> None:
    layer, other, mailbox = make("queue", lease=0.6), make("queue", lease=0.6), Mailbox()
    name = layer.attach(mailbox.deliver)
    await other.group_add("room", name)
    await other.group_send("room", {"type": "at once"})
    with redis_server.client() as client:
        await until(
            lambda: name not in client.zrange("asgi:group:room", "(" + str(time.time() - 86400), "+inf", byscore=True)
        )
        await other.group_send("room", {"type": "later"})
        assert await mailbox.holds(2) == [{"type": "at once"}, {"type": "later"}]
        layer.detach(name)
        await until(lambda: not client.exists("asgi:group:room"))


async def test_another_process_can_take_a_consumer_out_of_a_group(make: Make, redis_server: RedisServer) -> None:
    layer, other, mailbox = make("queue"), make("queue"), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    await other.group_discard("room", name)
    await other.group_send("room", {"type": "not for it"})
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


async def test_a_prefix_may_be_anything(make: Make, kind: str) -> None:
    layer, other, mailbox = make(kind, prefix="a*[b]:?\\ü"), make(kind, prefix="a*[b]:?\\ü"), Mailbox()
    name = layer.attach(mailbox.deliver)
    await layer.group_add("room", name)
    await other.group_send("room", {"type": "one"})
    await other.send(name, {"type": "two"})
    assert await mailbox.holds(2) == [{"type": "one"}, {"type": "two"}]


# Arguments


@pytest.mark.parametrize(
    ("hosts", "label"),
    [
        (None, "localhost:6379"),
        (["redis://user:secret@example:7000/1"], "example:7000"),
        (["rediss://example"], "example:6379"),
        (["unix:///tmp/redis.sock"], "/tmp/redis.sock"),
        ([("example", 7000)], "example:7000"),
        ([["example", 7000]], "example:7000"),
        ([{"host": "example", "password": "secret"}], "example:6379"),
        ([{"address": "redis://example:1", "db": 2}], "example:1"),
        ([{"master_name": "main", "sentinels": [("a", 1)]}], "master 'main'"),
    ],
)
def test_hosts_have_many_forms(hosts: Any, label: str) -> None:
    assert [str(host) for host in decode_hosts(hosts)] == [label]


@pytest.mark.parametrize(
    ("hosts", "error"),
    [
        ("redis://localhost", "hosts must be a list"),
        (5, "hosts must be a list"),
        ([5], "not 5"),
        ([{}], "not dict of length 0"),
        (["http://localhost"], "scheme"),
        ([{"master_name": "main"}], "no 'sentinels'"),
    ],
)
def test_wrong_hosts_are_refused(hosts: Any, error: str, kind: str) -> None:
    with pytest.raises(ValueError, match=error):
        LAYERS[kind](hosts)


@pytest.mark.parametrize(
    "hosts",
    [
        "redis://:secret@localhost",
        [("localhost", 6379, "secret")],
        [b"redis://:secret@localhost"],
        ["redis://:secret/x@localhost"],
        ["http://:secret@localhost"],
    ],
)
def test_what_is_said_of_wrong_hosts_has_no_password_in_it(hosts: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=r"host|URL") as refusal:
        LAYERS[kind](hosts)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize("arguments", [{"timeout": 0}, {"group_expiry": -1}, {"expiry": 0}, {"capacity": 0}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any], kind: str) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        LAYERS[kind](**arguments)


def test_names_belong_to_shards_as_channels_redis_reckons() -> None:
    assert [shard_of(name, 5) for name in ("room", "asgi__group__room", "é", "")] == [0, 3, 4, 0]
    assert {shard_of(str(number), 3) for number in range(100)} == {0, 1, 2}


@pytest.mark.parametrize("form", ["pair", "dict", "unix", "db", "protocol"])
async def test_every_form_of_host_connects(make: Make, kind: str, form: str, tmp_path: Any) -> None:
    path = tmp_path / "redis.sock"
    with running_redis(f"unixsocket {path}", "requirepass secret") as server:
        # Sentinel's and the replicas' log-ins are redis-py's own affair.
        host: Any = {
            "pair": {"host": "127.0.0.1", "port": server.port, "password": "secret"},
            "dict": {"address": server.url, "password": "secret"},
            "unix": f"unix://{path}?password=secret",
            "db": f"redis://:secret@127.0.0.1:{server.port}/3",
            "protocol": f"redis://:secret@127.0.0.1:{server.port}?protocol=3&decode_responses=True&socket_timeout=0.05",
        }[form]
        layer, mailbox = LAYERS[kind]([host]), Mailbox()
        async with layer:
            await layer.group_add("room", layer.attach(mailbox.deliver))
            await anyio.sleep(0.1)  # longer than the one's socket_timeout
            await layer.group_send("room", {"type": "test"})
            await anyio.to_thread.run_sync(layer.group_send_sync, "room", {"type": "sync"})
            assert await mailbox.holds(2) == [{"type": "test"}, {"type": "sync"}]


def make_certificate(folder: Path) -> None:
    """Write cert.pem, for 127.0.0.1, and key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)


@pytest.mark.parametrize("form", ["url", "dict"])
async def test_tls(kind: str, form: str, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    port, certificate = free_port(), tmp_path / "cert.pem"
    options = [
        f"tls-port {port}",
        f"tls-cert-file {certificate}",
        f"tls-key-file {tmp_path / 'key.pem'}",
        f"tls-ca-cert-file {certificate}",
        "tls-auth-clients no",
    ]
    host: Any = {
        "url": f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}",
        "dict": {"host": "127.0.0.1", "port": port, "ssl": True, "ssl_ca_certs": str(certificate)},
    }[form]
    with running_redis(*options):
        async with LAYERS[kind]([host]) as layer:
            mailbox = Mailbox()
            await layer.group_add("room", layer.attach(mailbox.deliver))
            await layer.group_send("room", {"type": "test"})
            await anyio.to_thread.run_sync(layer.group_send_sync, "room", {"type": "sync"})
            assert await mailbox.holds(2) == [{"type": "test"}, {"type": "sync"}]


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


def test_a_group_whose_loop_stopped_is_joined_anew(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(popper, "BLOCK", 1)
    layer, mailbox = RedisChannelLayer([redis_server.url], lease=0.5), Mailbox()

    async def join(deliver: Callable[[Message], int]) -> None:
        await layer.group_add("room", layer.attach(deliver))

    async def rejoin() -> None:
        await join(mailbox.deliver)
        await RedisChannelLayer([redis_server.url]).group_send("room", {"type": "test"})
        await mailbox.holds(1)
        await layer.close()

    stopped = asyncio.new_event_loop()
    stopped.run_until_complete(join(Mailbox().deliver))
    with redis_server.client() as client:
        while client.exists("asgi:group:room") or client.info("clients")["blocked_clients"]:
            time.sleep(0.01)
    asyncio.run(rejoin())

    async def end() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    stopped.run_until_complete(end())
    stopped.close()
