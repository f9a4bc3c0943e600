"""`group_send_json()` in groups with history: clients are told where they are in it, and it is encoded once."""

import json
import logging
import tracemalloc
from typing import Any

import anyio
import pytest

from consumers import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    JsonWebsocketConsumer,
    channel_layers,
)
from consumers._connection.positions import shared_with_member
from consumers.types import Message

from ..support.shared import encoded, sharing
from ..support.wire import Wire, connected

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def layer(monkeypatch: pytest.MonkeyPatch) -> InMemoryChannelLayer:
    layer = InMemoryChannelLayer(history={"kept*": {"size": 10, "ttl": 60}})
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    return layer


@pytest.fixture(params=[True, False], ids=["shared", "usual"])
def offers(request: pytest.FixtureRequest) -> bool:
    """Whether the server shares frames: the client sees no difference."""
    return bool(request.param)


class Board(AsyncJsonWebsocketConsumer):
    """Joins since the position in its client's query, and sends to its group what its client sends."""

    group = "kept"
    options: dict[str, Any] = {}
    raw_frames = True

    async def connect(self) -> None:
        await self.accept()
        await self.group_join(self.group, since=self.query_params.get("since"))

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.group_send_json(self.group, content, **self.options)


class PlainBoard(JsonWebsocketConsumer):
    group = "kept"
    raw_frames = True

    def connect(self) -> None:
        self.accept()
        self.group_join(self.group)

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.group_send_json(self.group, content)


class Outside(AsyncJsonWebsocketConsumer):
    """Sends to the group, and is not in it."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json(await self.group_send_json("kept", content))


def changed(base: Any = Board, **attributes: Any) -> Any:
    return type(base.__name__, (base,), {"__module__": __name__, **attributes})


async def sent(wire: Wire, *texts: str) -> list[str]:
    """Have `Outside` send objects; return their positions."""
    positions = []
    for text in texts:
        wire.text(text)
        positions.append(json.loads(await wire.next_text()))
    return positions


async def test_every_member_gets_the_position_with_the_object(offers: bool) -> None:
    async with connected(Outside.as_asgi()) as outside, sharing(*[Board.as_asgi()] * 3, offers=offers) as wires:
        positions = await sent(outside, '{"text": "one"}', '{"text": "two"}')
        assert len({*positions, None}) == 3
        for wire in wires:
            for text, position in zip(("one", "two"), positions, strict=True):
                assert await wire.next_content() == f'{{"text": "{text}","position":"{position}"}}'
        assert len(encoded) == (2 if offers else 0)


async def test_what_was_missed_has_its_position_too(offers: bool) -> None:
    async with connected(Outside.as_asgi()) as outside:
        positions = await sent(outside, *(f'{{"number": {number}}}' for number in range(3)))
        query = f"since={positions[0]}".encode()
        async with sharing(Board.as_asgi(), offers=offers, query_string=query) as (wire,):
            positions += await sent(outside, '{"number": 3}')
            heard = [json.loads(await wire.next_content()) for _ in range(3)]
    assert heard == [{"number": number, "position": positions[number]} for number in (1, 2, 3)]


async def test_it_counts_as_the_position_to_come_back_to(offers: bool) -> None:
    async with connected(Outside.as_asgi()) as outside:
        async with sharing(Board.as_asgi(), offers=offers) as (wire,):
            await sent(outside, '{"number": 1}')
            seen = json.loads(await wire.next_content())["position"]
        await sent(outside, '{"number": 2}')
        async with sharing(Board.as_asgi(), offers=offers, query_string=f"since={seen}".encode()) as (wire,):
            assert json.loads(await wire.next_content())["number"] == 2


async def test_sync_consumers_do_the_same(anyio_backend: str) -> None:
    if anyio_backend == "trio":  # sync consumers need asyncio
        return
    async with connected(PlainBoard.as_asgi()) as wire:
        wire.text('{"a": 1}')
        heard = json.loads(await wire.next_text())
        assert heard == {"a": 1, "position": heard["position"]}


async def test_what_is_not_kept_has_no_position(offers: bool) -> None:
    async with sharing(changed(options={"keep": False}).as_asgi(), offers=offers) as (wire,):
        wire.text('{"typing": true}')
        assert await wire.next_content() == '{"typing": true}'


@pytest.mark.parametrize("content", ['{"at": 1, "position": 2}', "[1]", "5"])
async def test_without_history_anything_may_be_sent(content: str, offers: bool) -> None:
    async with sharing(changed(group="forgotten").as_asgi(), offers=offers) as (wire,):
        wire.text(content)
        assert await wire.next_content() == content


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("[1]", "needs a dict, .* not list"),
        ("5", "needs a dict, .* not int"),
        ('{"at": 1}', "adds 'at' .* call yours otherwise"),
        ('{"position": [3, 4]}', "adds 'position' .* call yours otherwise"),
    ],
)
async def test_what_leaves_no_place_for_the_position_is_refused_at_the_sender(
    layer: InMemoryChannelLayer, content: str, advice: str, keep: bool
) -> None:
    async with connected(changed(options={"keep": keep}).as_asgi()) as wire:
        wire.text(content)
        await wire.end()
        with pytest.raises(ValueError, match=advice):
            raise wire.error or AssertionError("nothing was raised")
    assert (await layer.history("kept")).messages == []


@pytest.mark.parametrize("made", ["", "[1]", "signed:{}", '{"a": 1'])
async def test_an_encoder_that_makes_no_object_is_refused(layer: InMemoryChannelLayer, made: str) -> None:
    async def encode_json(cls: Any, content: Any) -> str:
        return made

    async with connected(changed(encode_json=classmethod(encode_json)).as_asgi()) as wire:
        wire.text("{}")
        await wire.end()
        with pytest.raises(ValueError, match=r"what Board\.encode_json\(\) has made is .* no JSON object"):
            raise wire.error or AssertionError("nothing was raised")
    assert (await layer.history("kept")).messages == []


@pytest.mark.parametrize("made", ["{}", "{ }", '\n{\n "a": "}"\n}\n', '{"a": {}}', '{"a":1}'])
async def test_whatever_an_object_looks_like_it_is_one_afterwards(made: str, offers: bool) -> None:
    async def encode_json(cls: Any, content: Any) -> str:
        return made

    async with sharing(changed(encode_json=classmethod(encode_json)).as_asgi(), offers=offers) as (wire,):
        wire.text("{}")
        heard = json.loads(await wire.next_content())
        assert heard == {**json.loads(made), "position": heard["position"]}


async def test_one_id_is_one_message(offers: bool) -> None:
    async with connected(Outside.as_asgi()) as outside:
        async with sharing(changed(options={"id": "a"}).as_asgi(), offers=offers) as (wire,):
            for _ in range(2):
                wire.text('{"a": 1}')
                await anyio.wait_all_tasks_blocked()
            [position] = await sent(outside, '{"a": 2}')
            heard = [json.loads(await wire.next_content()) for _ in range(2)]
    assert [each["a"] for each in heard] == [1, 2]
    assert heard[1]["position"] == position


async def test_from_outside_a_frame_may_ask_for_its_position(layer: InMemoryChannelLayer, offers: bool) -> None:
    frame = {"type": "websocket.send", "text": '{"a": 1}'}
    async with sharing(Board.as_asgi(), offers=offers) as (wire,):
        position = await layer.group_send("kept", {**frame, "takes_position": True})
        assert json.loads(await wire.next_content()) == {"a": 1, "position": position}
        for other in (frame, {**frame, "takes_position": False}):
            await layer.group_send("kept", other)
            assert await wire.next_content() == '{"a": 1}'


async def test_a_frame_that_is_no_object_is_sent_as_it_is_and_logged_once(
    layer: InMemoryChannelLayer, offers: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    contents = ["[1]", "", "{", b"{}"]
    async with sharing(changed().as_asgi(), offers=offers) as (wire,):
        for content in contents:
            key = "text" if isinstance(content, str) else "bytes"
            await layer.group_send("kept", {"type": "websocket.send", key: content, "takes_position": True})
        assert [await wire.next_content() for _ in contents] == contents
    assert [record.getMessage().count("no JSON object") for record in caplog.records] == [1]


@pytest.mark.parametrize("history", [None, 5, {}, {"position": "forged"}, {"group": "kept", "position": "forged"}])
async def test_a_position_that_no_layer_has_given_is_not_told(
    layer: InMemoryChannelLayer, history: Any, offers: bool
) -> None:
    forged = {"type": "websocket.send", "text": "{}", "takes_position": True, "history": history}
    async with sharing(changed(group="forgotten").as_asgi(), offers=offers) as (wire,):
        await layer.group_send("forgotten", forged)
        assert await wire.next_content() == "{}"


async def test_the_server_sees_nothing_that_is_not_asgis(layer: InMemoryChannelLayer) -> None:
    async with sharing(Board.as_asgi(), offers=False) as (wire,):
        frame = {"type": "websocket.send", "text": "{}", "takes_position": True}
        [channel] = layer.groups["kept"]
        await layer.group_add("forgotten", channel)
        for group in ("kept", "forgotten"):
            await layer.group_send(group, frame)
            assert sorted(await wire.next()) == ["text", "type"]


async def test_a_handler_of_its_own_gets_the_frame_with_its_history(layer: InMemoryChannelLayer) -> None:
    class Handling(AsyncWebsocketConsumer):
        groups = ["kept"]
        raw_frames = True

        async def websocket_send(self, event: Message) -> None:
            await self.send(event["history"]["position"])

    async with connected(Outside.as_asgi()) as outside, sharing(Handling.as_asgi()) as (wire,):
        assert await sent(outside, "{}") == [await wire.next_content()]


def test_large_objects_do_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(40):
            text = f'{{"number":{number},"text":"{"x" * 10**6}"}}'
            made = shared_with_member(text, "position", "p")
            assert made.endswith(',"position":"p"}')
            assert shared_with_member(text, "position", "p") is made  # made once for all members
            del text, made
        assert tracemalloc.get_traced_memory()[0] < 4 * 10**6
    finally:
        tracemalloc.stop()
