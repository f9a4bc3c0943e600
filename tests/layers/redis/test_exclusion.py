"""Channels that a message to a group leaves out, in this process and in others."""

import asyncio
import logging
import time
from typing import Any

import anyio.to_thread
import pytest
from websockets.asyncio.client import connect

from compat.channels_redis import core
from consumers import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer, channel_layers
from consumers.layers._history import EXCLUDE
from consumers.layers.codec import CHANNELS_KEY
from consumers.layers.redis import RedisChannelLayer
from consumers.layers.redis.layer import RedisLayer

from ...support.redis_layers import PATIENCE, Make, Member, lines, until
from ...support.redis_server import RedisServer
from ...support.serving import serving

pytestmark = pytest.mark.anyio

TEST = {"type": "test", "number": 1}
END = {"type": "end"}

CODECS: list[dict[str, Any]] = [
    {"serializer_format": "msgpack"},
    {"serializer_format": "json"},
    {"serializer_format": "msgpack", "symmetric_encryption_keys": ["new", "old"]},
    {"serializer_format": "json", "symmetric_encryption_keys": ["new"]},
]


def payloads(layer: Any, redis_server: RedisServer, queue: str) -> list[dict[str, Any]]:
    """Return the messages that wait in a queue in Redis."""
    with redis_server.client(decode_responses=False) as client:
        return [layer._codec.decode(payload) for payload in client.zrange(f"asgi{queue}", 0, -1)]


def enter(redis_server: RedisServer, *names: str) -> None:
    """Make channels of other programs members of the group "room"."""
    with redis_server.client() as client:
        client.zadd("asgi:group:room", dict.fromkeys(names, time.time()))


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: "-".join(map(str, codec.values())))
async def test_channels_of_other_processes_are_excluded_too(kind: str, make: Make, codec: dict[str, Any]) -> None:
    one, other = make(kind, **codec), make(kind, **codec)
    here, there = [await Member().join(one) for _ in range(3)], [await Member().join(other) for _ in range(3)]
    for message, exclude in ((TEST, [here[0].name, there[0].name]), (TEST, there[1].name), (END, ())):
        await one.group_send("room", message, exclude=exclude)
    assert [await member.holds(count) for member, count in zip(here, (2, 3, 3), strict=True)] == [
        [TEST, END],
        [TEST, TEST, END],
        [TEST, TEST, END],
    ]
    assert [await member.holds(count) for member, count in zip(there, (2, 2, 3), strict=True)] == [
        [TEST, END],
        [TEST, END],
        [TEST, TEST, END],
    ]


async def test_a_channel_of_a_queue_of_its_own_is_excluded_in_whichever_process(make: Make) -> None:
    one, other = make("queue"), make("queue")
    channels = [await layer.new_channel("mine") for layer in (one, other)]
    for layer, channel in zip((one, other), channels, strict=True):
        await layer.group_add("room", channel)
    await one.group_send("room", TEST, exclude=channels)
    await one.group_send("room", END)
    assert [await layer.receive(channel) for layer, channel in zip((one, other), channels, strict=True)] == [END, END]


async def test_a_member_by_another_process_doing_is_excluded(make: Make) -> None:
    one, other = make("queue"), make("queue")
    member = Member()
    member.name = one.attach(member.deliver)
    await other.group_add("room", member.name)
    await until(lambda: one.groups_of(member.name))
    await other.group_send("room", TEST, exclude=member.name)
    await other.group_send("room", END)
    assert await member.holds(1) == [END]


async def test_only_the_process_of_an_excluded_channel_is_told_of_it(make: Make, redis_server: RedisServer) -> None:
    layer, id_ = make("queue"), "a" * 32
    head, foreign = f"specific.{id_}!", f"specific.{'b' * 32}!x"
    enter(redis_server, f"{head}group.room", foreign, "jobs")
    await layer.group_send("room", TEST, exclude=[f"{head}c.1", "specific.other!c.2"])
    assert payloads(layer, redis_server, head) == [
        {**TEST, EXCLUDE: [f"{head}c.1"], CHANNELS_KEY: [f"{head}group.room"]}
    ]
    assert payloads(layer, redis_server, foreign[:-1]) == [{**TEST, CHANNELS_KEY: [foreign]}]
    assert payloads(layer, redis_server, "jobs") == [{**TEST, CHANNELS_KEY: ["jobs"]}]


async def test_members_by_their_own_names_are_left_out_by_the_sender(make: Make, redis_server: RedisServer) -> None:
    layer, head = make("queue"), f"specific.{'b' * 32}!"
    enter(redis_server, f"{head}x", f"{head}y", "jobs", "others")
    await layer.group_send("room", TEST, exclude=[f"{head}x", "jobs"])
    assert payloads(layer, redis_server, head) == [{**TEST, CHANNELS_KEY: [f"{head}y"]}]
    assert payloads(layer, redis_server, "jobs") == []
    assert payloads(layer, redis_server, "others") == [{**TEST, CHANNELS_KEY: ["others"]}]


async def test_a_message_that_excludes_everybody_is_not_one_that_found_nobody(
    make: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "consumers.layers")
    layer = make("queue")
    enter(redis_server, "jobs")
    assert await layer.group_send("room", TEST, exclude="jobs") is None
    assert not [line for line in lines(caplog) if "reached nobody" in line]
    assert payloads(layer, redis_server, "jobs") == []


@pytest.mark.parametrize("value", [None, 5, "name", b"name", {"name": 1}, [5], [["name"], None], [b"name"]], ids=repr)
async def test_what_is_no_list_of_names_excludes_nobody_and_is_not_handed_over(make: Make, value: Any) -> None:
    layer = make("queue")
    member = await Member().join(layer)
    value = member.name if value == "name" else value
    head = layer._process.head
    for queue, to in ((head, [f"{head}group.room"]), (head, member.name)):
        payload = layer._codec.encode({**TEST, EXCLUDE: value, CHANNELS_KEY: to})
        layer._process.exchange.on_entry(0, (f"asgi{queue}".encode(), payload, time.time()))
    assert member == [TEST, TEST]


@pytest.mark.parametrize("method", ["send_sync", "group_send_sync"])
async def test_sending_without_a_loop_takes_the_options_and_checks_them(kind: str, make: Make, method: str) -> None:
    layer = make(kind)
    member, other = await Member().join(layer), await Member().join(layer)

    def send(to: str, message: Any, **options: Any) -> object:
        result: object = getattr(layer, method)(to, message, **options)
        return result

    def in_thread() -> None:
        to = "room" if method == "group_send_sync" else other.name
        with pytest.raises(ValueError, match=r"must not have a key 'consumers\.exclude'"):
            send(to, {**TEST, EXCLUDE: [member.name]})
        if method == "group_send_sync":
            with pytest.raises(TypeError, match="exclude must be a channel's name, or several in a list, not 5"):
                send(to, TEST, exclude=5)
            with pytest.raises(ValueError, match="id needs a group with history"):
                send(to, TEST, id="a")
            assert send(to, TEST, keep=False, exclude=member.name) is None
        else:
            send(to, TEST)

    await anyio.to_thread.run_sync(in_thread)
    await layer.group_send("room", END)
    assert await other.holds(2) == [TEST, END]
    assert await member.holds(1) == [END]


@pytest.mark.parametrize("kind", [RedisChannelLayer, core.RedisChannelLayer], ids=["consumers", "compat"])
@pytest.mark.parametrize("history", [{}, {"chat.*": {"size": 10, "ttl": 60}}, "chat.*"], ids=repr)
def test_the_queue_layer_has_no_groups_with_history_and_names_the_layer_that_has(kind: Any, history: Any) -> None:
    with pytest.raises(
        TypeError, match=r"RedisChannelLayer has no groups with history: .*redis\.RedisPubSubChannelLayer"
    ):
        kind(history=history)
    assert isinstance(kind(history=None), RedisLayer)


class Board(AsyncJsonWebsocketConsumer):
    groups = ["room"]
    raw_frames = True

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.group_send_json("room", content, exclude=self.channel_name)
        await self.send_json("sent")


class PlainBoard(JsonWebsocketConsumer):
    groups = ["room"]
    raw_frames = True

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.group_send_json("room", content, exclude=self.channel_name)
        self.send_json("sent")


@pytest.mark.parametrize("board", [Board, PlainBoard])
async def test_clients_of_a_server_get_json_that_another_has_sent(
    layer: RedisLayer, board: Any, no_layer: None, ws: Any
) -> None:
    channel_layers.set("default", layer)
    async with (
        serving(board.as_asgi(), ws) as server,
        connect(server.url("/")) as one,
        connect(server.url("/")) as other,
    ):
        await until(lambda: len(layer.groups.get("room", ())) == 2)
        for index, (sender, receiver) in enumerate([(one, other), (other, one)] * 2):
            await sender.send(str(index))
            assert await asyncio.wait_for(receiver.recv(), PATIENCE) == str(index)
            assert await asyncio.wait_for(sender.recv(), PATIENCE) == '"sent"'
