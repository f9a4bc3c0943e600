"""What must not reach a layer's connections, or disturb those that share them."""

import time
from typing import Any

import pytest
from redis.exceptions import ConnectionError

from ...support.redis_layers import Make, Member, send, until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["\ud800", None, 5, b"room"])
async def test_a_name_without_bytes_is_refused_and_harms_nobody(make: Make, kind: str, name: Any) -> None:
    layer = make(kind, validate_names=False)
    member = await Member().join(layer)
    for call in (
        layer.send(name, {"type": "test"}),
        layer.group_send(name, {"type": "test"}),
        layer.group_add(name, member.name),
        layer.group_discard(name, member.name),
        layer.receive(name),
    ):
        with pytest.raises(TypeError, match="name must be a string that UTF-8 has bytes for"):
            await call
    assert layer.groups == {"room": {member.name}}
    assert await send(layer, 1, 2) == [1, 2]
    await until(lambda: member.numbers == [1, 2])


async def test_a_command_without_bytes_leaves_the_replies_of_others_in_their_order(make: Make, kind: str) -> None:
    layer = make(kind)
    await Member().join(layer)
    commands = layer._process.owners.current.commands[0]
    with pytest.raises(UnicodeEncodeError):
        await commands.run([("ECHO", "\ud800")])
    assert await commands.run([("ECHO", "a")]) == [b"a"]


async def test_a_group_named_after_a_channel_gets_each_message_once(make: Make) -> None:
    layer = make("pubsub", validate_names=False)
    member = await Member().join(layer)
    group = f"of_{member.name}"
    await layer.group_add(group, member.name)
    await layer.group_send(group, {"type": "test", "number": 1})
    await layer.group_send("room", {"type": "test", "number": 2})
    await until(lambda: 2 in member.numbers)
    assert member.numbers == [1, 2]
    assert layer._process.local.channels() == {member.name: 0}


async def test_a_closed_layer_opens_no_connection_for_what_runs_late(
    make: Make, kind: str, redis_server: RedisServer
) -> None:
    layer = make(kind)
    await Member().join(layer)
    owner = layer._process.owners.current
    await layer.close()
    with pytest.raises(ConnectionError, match="the layer was closed"):
        await owner.run(0, [("PING",)], time.monotonic() + 5)
    assert redis_server.connections() == []
