"""Users of Redis with the least rights that each layer needs, as docs/reference/redis.md lists them."""

import logging
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from redis.exceptions import ConnectionError, NoPermissionError, ResponseError

from consumers import AsyncWebsocketConsumer, channel_layers
from consumers.layers.redis import RedisChannelLayer
from consumers.layers.redis.layer import RedisLayer
from consumers.types import Message

from ...support.pages import ROOT
from ...support.proxy import proxying
from ...support.redis_layers import LAYERS, Mailbox, Member, heard, lines, send, until
from ...support.redis_server import RedisServer, running_redis
from ...support.wire import Wire, start

pytestmark = pytest.mark.anyio

PAGE = ROOT / "docs/reference/redis.md"
_RIGHTS = re.findall(r"^ACL SETUSER (pubsub|queue) (.+)$", PAGE.read_text(), re.MULTILINE)
USERS = {name: rights for name, rights in _RIGHTS if rights.startswith("on ")}
FOR_PRESENCE = {name: rights for name, rights in _RIGHTS if rights != USERS[name]}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server with the users of that page, who are named as the layers' kinds, and with nobody else's rights."""
    with running_redis(*(f"user {name} {rights}" for name, rights in USERS.items())) as server:
        yield server


def user(server: RedisServer, name: str) -> str:
    return server.url.replace("//", f"//{name}:secret@")


@pytest.fixture
async def layer(kind: str, server: RedisServer, anyio_backend: str) -> AsyncIterator[RedisLayer]:
    async with LAYERS[kind]([user(server, kind)]) as layer:
        yield layer


@pytest.fixture
async def pubsub(server: RedisServer, anyio_backend: str) -> AsyncIterator[Any]:
    async with LAYERS["pubsub"]([user(server, "pubsub")]) as layer:
        yield layer


def names_of(server: RedisServer) -> set[str]:
    with server.client() as client:
        assert client.pubsub_numpat() == 0
        return set(heard(client))


async def use(layer: RedisLayer, other: RedisLayer) -> None:
    """Do all that a layer can do, with one of another process."""
    member, neighbour = await Member().join(layer), await Member().join(other)
    await other.group_send("room", {"type": "test", "number": 1})
    await other.send(member.name, {"type": "test", "number": 2})
    await until(lambda: member.numbers == [1, 2] and neighbour.numbers == [1])
    own = await layer.new_channel()
    await layer.group_add("room", own)
    await other.send(own, {"type": "one"})
    await other.group_send("room", {"type": "two"})
    with anyio.fail_after(10):
        assert [(await layer.receive(own))["type"] for _ in range(2)] == ["one", "two"]
    await anyio.to_thread.run_sync(layer.group_send_sync, "room", {"type": "test", "number": 3})
    await until(lambda: member.numbers[-1] == neighbour.numbers[-1] == 3)
    closed: list[int] = []
    name = layer.attach(Mailbox().deliver, lambda code, reason: closed.append(code))
    await layer.group_add("banned", name)
    await other.close_group("banned", 4001)
    await until(lambda: closed == [4001])
    await layer.group_discard("room", member.name)
    if isinstance(layer, RedisChannelLayer):  # the other cannot do that
        await layer.group_add("foreign", neighbour.name)
        await layer.group_discard("foreign", neighbour.name)
    await layer.flush()
    await Member().join(layer, "later")


DONE_WITHOUT = {"psubscribe", "client|setinfo"}


def refused(server: RedisServer, name: str) -> set[str]:
    """Return what a user was not allowed to do."""
    with server.client() as client:
        return {entry["object"] for entry in client.acl_log() if entry["username"] == name}


async def test_the_documented_rights_are_enough(
    kind: str, layer: RedisLayer, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with LAYERS[kind]([user(server, kind)]) as other:
        await use(layer, other)
    assert refused(server, kind) <= {*DONE_WITHOUT, "info", "eval" if kind == "pubsub" else "subscribe"}  # for presence
    assert not lines(caplog)


async def test_every_documented_right_is_used(kind: str, server: RedisServer) -> None:
    """Or the list is longer than it has to be."""
    documented = {right[1:] for right in USERS[kind].split() if right.startswith("+")}
    with server.client() as client:

        def used() -> set[str]:
            return {name.removeprefix("cmdstat_") for name in client.info("commandstats")}

        async with LAYERS[kind]([user(server, kind)]) as one, LAYERS[kind]([user(server, kind)]) as other:
            await use(one, other)
            member = await Member().join(one)
            for connection in server.connections():  # where messages come; the other is then asked whether it lives
                if connection["cmd"] in ("bzpopmin", "psubscribe", "subscribe"):
                    client.client_kill_filter(_id=connection["id"])
            await until(lambda: member.gaps == 1)
            await until(lambda: documented <= used())


async def know_who(layer: RedisLayer, other: RedisLayer) -> None:
    """Do all that a layer can do to know who is there, with one of another process."""
    member, neighbour = await Member().join(layer), await Member().join(other)
    await layer.presence_track("room", member.name, key="ann")
    await other.presence_track("room", neighbour.name, key="bob")
    await layer.presence_update("room", member.name, meta={"idle": True})
    expected = {"ann": [{"idle": True}], "bob": [{}]}
    assert await layer.presence("room") == await anyio.to_thread.run_sync(other.presence_sync, "room") == expected
    assert await layer.presence_count("room") == await anyio.to_thread.run_sync(other.presence_count_sync, "room") == 2
    assert await layer.group_count("room") == await anyio.to_thread.run_sync(other.group_count_sync, "room") == 2
    names = frozenset({member.name, neighbour.name})
    assert await layer.group_channels("room") == names
    assert await anyio.to_thread.run_sync(other.group_channels_sync, "room") == names
    await layer.presence_untrack("room", member.name)
    with anyio.fail_after(10):
        while list(await layer.presence("room")) != ["bob"]:
            await anyio.sleep(0.01)


async def test_presence_and_counts_need_the_rights_that_are_documented_for_them(
    kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of them, and no other: without presence, all else works, as other tests show."""
    documented = {right[1:] for right in FOR_PRESENCE[kind].split() if right.startswith("+")}
    options: Any = {"presence": {"grace": 0.1, "lease": 1}}
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", kind, *FOR_PRESENCE[kind].split())
        url = user(server, kind)
        async with LAYERS[kind]([url], **options) as one, LAYERS[kind]([url], **options) as other:
            await know_who(one, other)
            for connection in server.connections():  # then versions are compared
                if connection["cmd"] == "subscribe" and not int(connection["psub"]):
                    client.client_kill_filter(_id=connection["id"])
            await until(lambda: client.info("commandstats").get("cmdstat_mget"))
            dead = await Member().join(one, "left")
            await one.presence_track("left", dead.name, key="cid")
            await one.close()
            with anyio.fail_after(10):
                while await other.presence_count("left"):
                    await anyio.sleep(0.01)
            await other.flush()
            used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert refused(server, kind) <= DONE_WITHOUT
    assert documented <= used
    assert all("connect" in line for line in lines(caplog))


@pytest.mark.slow
async def test_who_lacks_the_rights_for_presence_is_told_what_redis_says(
    kind: str, layer: RedisLayer, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "consumers.layers")
    started = time.monotonic()
    member = await Member().join(layer)
    assert await send(layer, 1) == [1]
    await until(lambda: member.numbers == [1])
    for call in (
        partial(layer.presence_track, "room", member.name, key="ann"),
        partial(layer.presence, "room"),
        partial(layer.presence_count, "room"),
        partial(layer.group_count, "room"),
        partial(layer.group_channels, "room"),
        partial(anyio.to_thread.run_sync, layer.group_count_sync, "room"),
        partial(anyio.to_thread.run_sync, layer.presence_sync, "room"),
    ):
        with pytest.raises(ResponseError, match=r"permission|ACL|can't run"):
            await call()
    assert time.monotonic() - started < 1  # nobody waits for what will not be
    [line] = lines(caplog)
    assert "presence and counts do not work" in line


@pytest.mark.slow
async def test_rights_for_presence_that_come_later_are_used_then(
    kind: str, layer: RedisLayer, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.layers.redis.lease.REFUSED_RETRY", 0.1)
    member = await Member().join(layer)
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", kind, *FOR_PRESENCE[kind].split())
    with anyio.fail_after(10):
        while True:
            try:
                await layer.presence_track("room", member.name, key="ann")
                break
            except ResponseError:
                await anyio.sleep(0.05)
    assert await layer.presence("room") == {"ann": [{}]}


async def test_the_queue_layer_works_without_rights_on_client(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("consumers.layers.redis.queue_reader.BLOCK", 1)  # so much later messages may come
    with server.client() as client:
        rights = [f"-client|{name}" for name in ("id", "info", "kill", "unblock")]
        client.execute_command("ACL", "SETUSER", "queue", *rights)
    async with LAYERS["queue"]([user(server, "queue")]) as layer, LAYERS["queue"]([user(server, "queue")]) as other:
        await use(layer, other)
    assert not lines(caplog)


@pytest.mark.slow
async def test_a_lost_connection_is_made_again_with_the_documented_rights(
    kind: str, layer: RedisLayer, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    member = await Member().join(layer)
    with server.client() as client:
        client.client_kill_filter(_type="pubsub" if kind == "pubsub" else "normal", skipme=True)
    await until(lambda: member.gaps == 1)
    assert await send(layer, 1) == [1]
    await layer.send(member.name, {"type": "test", "number": 2})
    await until(lambda: member.numbers == [1, 2])
    assert len(lines(caplog)) == 2


async def test_consumers_live_by_names_where_the_pattern_is_refused(
    pubsub: RedisLayer, server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Chat(AsyncWebsocketConsumer):
        groups = ["room"]

        async def receive(self, text_data: str) -> None:
            await self.channel_layer.send(self.channel_name, {"type": "note", "text": text_data})
            await self.channel_layer.group_send("room", {"type": "note", "text": text_data.upper()})

        async def note(self, event: Message) -> None:
            await self.send(event["text"])

    monkeypatch.setitem(channel_layers.backends, "default", pubsub)
    async with anyio.create_task_group() as tasks:
        one, other = Wire(), Wire()
        for wire in (one, other):
            start(tasks, wire, Chat.as_asgi())
            await wire.accepted()
        one.text("a")
        assert [await one.next_text(), await one.next_text(), await other.next_text()] == ["a", "A", "A"]
        assert len(names_of(server)) == 4  # two channels, a group, orders
        for wire in (one, other):
            wire.disconnect()
    await until(lambda: names_of(server) == set())
    assert not lines(caplog)


async def test_a_channel_hears_from_the_moment_it_is_attached(pubsub: RedisLayer) -> None:
    for number in range(50):
        member = Member()
        name = pubsub.attach(member.deliver)
        await pubsub.send(name, {"type": "test", "number": number})  # on another connection than the subscription
        await pubsub.send(name, {"type": "test", "number": -number})
        await until(lambda member=member: len(member) == 2)  # type: ignore[misc]
        await anyio.sleep(0.002)
        assert member.numbers == [number, -number]  # once, and in order
        pubsub.detach(name)


async def test_a_channel_hears_its_own_process_while_its_subscription_is_on_its_way(server: RedisServer) -> None:
    async with proxying(server.port) as proxy:
        url = user(server, "pubsub").replace(str(server.port), str(proxy.port))
        async with LAYERS["pubsub"]([url]) as layer:
            pipelined = layer._process.owners.ensure().receivers[0].connection.pipelined
            assert pipelined is not None
            proxy.abandon(pipelined._connection._writer.get_extra_info("sockname")[1])
            member = Member()
            await layer.send(layer.attach(member.deliver), {"type": "test", "number": 1})
            assert member.numbers == [1]


async def test_a_channel_of_another_loop_hears_from_the_moment_it_is_attached(pubsub: RedisLayer) -> None:
    def elsewhere() -> list[int]:
        async def main() -> list[int]:
            member = Member()
            name = pubsub.attach(member.deliver)
            await pubsub.send(name, {"type": "test", "number": 1})
            await until(lambda: member)
            pubsub.detach(name)
            return member.numbers

        return anyio.run(main)

    for _ in range(10):
        assert await anyio.to_thread.run_sync(elsewhere) == [1]


async def test_a_new_channel_that_nobody_receives_from_is_left_after_the_expiry(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.layers.redis.pubsub_exchange.INTERVAL", 0.1)
    async with LAYERS["pubsub"]([user(server, "pubsub")], expiry=0.5) as layer:
        name = await layer.new_channel()
        assert names_of(server) == {name}
        await until(lambda: names_of(server) == set())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(layer.receive, name)
            await until(lambda: names_of(server) == {name})
            await anyio.sleep(1)
            assert names_of(server) == {name}  # as long as somebody waits
            await layer.send(name, {"type": "test"})
        await until(lambda: names_of(server) == set())


async def test_a_named_channel_that_is_refused_is_an_error_there_and_harms_nobody_else(
    pubsub: RedisLayer, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    member = await Member().join(pubsub)
    with pytest.raises(NoPermissionError, match=rf"Redis at 127.0.0.1:{server.port} refuses channel 'worker'"):
        await pubsub.receive("worker")
    with pytest.raises(NoPermissionError):
        await pubsub.send("worker", {"type": "test"})
    assert await send(pubsub, 1) == [1]
    await until(lambda: member.numbers == [1])
    assert not lines(caplog) and not member.gaps


async def test_a_named_channel_that_is_refused_at_the_start_harms_nobody_else(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer: Any = LAYERS["pubsub"]([user(server, "pubsub")])
    try:
        names = [layer.attach(Mailbox().deliver) for _ in range(3)]
        async with anyio.create_task_group() as tasks:

            async def receive() -> None:
                with pytest.raises(NoPermissionError):
                    await layer.receive("worker")

            tasks.start_soon(receive)
            for name in names:
                tasks.start_soon(layer.group_add, "room", name)
        assert set(names) < names_of(server)
        assert not lines(caplog)
    finally:
        await layer.close()


async def test_a_refusal_that_nobody_waits_for_any_more_is_a_line_in_the_log(
    pubsub: RedisLayer, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    member = await Member().join(pubsub)
    server.send_signal(signal.SIGSTOP)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pubsub.receive, "worker")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    finally:
        server.send_signal(signal.SIGCONT)
    await until(lambda: lines(caplog))
    assert await send(pubsub, 1) == [1]
    await until(lambda: member.numbers == [1])
    assert "refuses channel 'worker'" in lines(caplog)[0] and len(lines(caplog)) == 1
    assert not member.gaps


async def test_a_prefix_that_is_not_allowed_is_told_and_does_not_hang(
    kind: str, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = LAYERS[kind]([user(server, kind)], prefix="other", timeout=1)
    try:
        name = layer.attach(Mailbox().deliver)
        with pytest.raises((NoPermissionError, ConnectionError), match="no permissions"):
            await layer.group_add("room", name)
        await until(lambda: lines(caplog))  # the receiver's own refusal may come a moment later
        assert "no permissions" in lines(caplog)[0]
    finally:
        await layer.close()


async def test_rights_that_change_are_followed_in_both_directions(pubsub: RedisLayer, server: RedisServer) -> None:
    member = await Member().join(pubsub)
    with server.client() as client:
        for count, rights in enumerate((["allchannels", "+psubscribe"], ["resetchannels", "&asgi*"]), 1):
            client.execute_command("ACL", "SETUSER", "pubsub", *rights)
            client.client_kill_filter(_type="pubsub", skipme=True)
            await until(partial(_has_gaps, member, count))
            assert client.pubsub_numpat() == (count == 1)
            del member[:]
            member.extend([{"type": "layer.gap", "group": None}] * count)
            await pubsub.send(member.name, {"type": "test", "number": count})
            await send(pubsub, -count)
            await until(partial(_has_numbers, member, [count, -count]))


def _has_gaps(member: Member, count: int) -> bool:
    return member.gaps == count


def _has_numbers(member: Member, numbers: list[int]) -> bool:
    return member.numbers == numbers
