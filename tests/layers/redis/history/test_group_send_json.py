"""`group_send_json()` over Redis, in a group with history: clients of all processes are told where they are in it."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from consumers import AsyncJsonWebsocketConsumer, channel_layers, relay_json
from consumers.server import WebSocketProtocol
from consumers.typed import TypedConsumer

from ....support.redis_layers import PATIENCE, Make, until
from ....support.serving import serving

pytestmark = pytest.mark.anyio

HISTORY = {"chat.*": {"size": 10, "ttl": 60}}

CODECS: list[dict[str, Any]] = [
    {"serializer_format": "msgpack"},
    {"serializer_format": "json"},
    {"serializer_format": "msgpack", "symmetric_encryption_keys": ["secret"]},
]


class Board(AsyncJsonWebsocketConsumer):
    channel_layer_alias = "one"
    raw_frames = True

    async def connect(self) -> None:
        await self.accept()
        await self.group_join("chat.1", since=self.query_params.get("since"))
        await self.send_json("joined")

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.group_send_json("chat.1", content)


class Other(Board):
    channel_layer_alias = "other"


class Labelled(TypedConsumer):
    channel_layer_alias = "other"
    raw_frames = True
    tick = relay_json()

    async def connect(self) -> None:
        await self.accept()
        await self.join("chat.1", "room")


async def heard(client: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(client.recv(), PATIENCE))


@pytest.mark.parametrize("protocol", [WebSocketProtocol, "websockets-sansio"], ids=["shared", "usual"])
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: "-".join(map(str, codec.values())))
async def test_clients_of_every_process_get_positions_and_so_do_those_who_come_back(
    make: Make, no_layer: None, codec: dict[str, Any], protocol: Any
) -> None:
    layers = [make("pubsub", history=HISTORY, **codec) for _ in range(2)]
    for alias, layer in zip(("one", "other"), layers, strict=True):
        channel_layers.set(alias, layer)
    async with (
        serving(Board.as_asgi(), protocol) as one,
        serving(Other.as_asgi(), protocol) as other,
        serving(Labelled.as_asgi(), protocol) as labelled,
        connect(one.url("/")) as sender,
    ):
        assert await heard(sender) == "joined"
        async with connect(other.url("/")) as reader, connect(labelled.url("/")) as typed:
            assert await heard(reader) == "joined"
            assert (await heard(typed))["type"] == "joined"
            await sender.send('{"number": 1}')
            first = await heard(sender)
            assert first == await heard(reader) == {"number": 1, "position": first["position"]}
            assert await heard(typed) == {"number": 1, "at": ["room", first["position"]]}
        await until(lambda: not layers[1].groups)
        await sender.send('{"number": 2}')
        second = await heard(sender)
        position = await layers[0].group_send("chat.1", {"type": "tick", "number": 3})
        async with (
            connect(other.url(f"/?since={first['position']}")) as reader,
            connect(labelled.url(f"/?since=room:{first['position']}")) as typed,
        ):
            assert [await heard(reader) for _ in range(2)] in (["joined", second], [second, "joined"])
            assert (await heard(typed))["missed"] == 2
            assert [await heard(typed) for _ in range(2)] == [
                {"number": 2, "at": ["room", second["position"]]},
                {"number": 3, "at": ["room", position]},
            ]
