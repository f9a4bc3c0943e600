"""JSON bombs.

If one of these fails: one frame stops the process for seconds, ends connections of others, or fills the log with
tracebacks.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from consumers import AsyncJsonWebsocketConsumer, BaseWSEndpoint, InMemoryChannelLayer, JsonWebsocketConsumer
from consumers.server import WebSocketProtocol

from ..support.servers import uvicorn_server
from ..support.slow import left_to_ci
from ..support.wire import connected

pytestmark = pytest.mark.anyio


class Echo(AsyncJsonWebsocketConsumer):
    groups = ["room"]

    async def receive_json(self, content: Any) -> None:
        await self.channel_layer.group_send("room", {"type": "note", "content": content})

    async def note(self, event: Any) -> None:
        await self.send_json(event["content"])


class PlainEcho(JsonWebsocketConsumer):
    def receive_json(self, content: Any) -> None:
        self.send_json(content)


class Endpoint(BaseWSEndpoint):
    encoding = "json"

    async def _background_handler(self, task_id: Any, websocket: Any, data: Any) -> None:
        await websocket.send_json(data)


BOMBS = {
    "deep lists": "[" * 500_000,
    "deep lists that are closed": "[" * 500_000 + "]" * 500_000,
    "deep dicts": '{"a":' * 200_000 + "1" + "}" * 200_000,
    "a huge int": "1" * 10_000_000,
    "a huge int inside": '{"a": [-' + "9" * 1_000_000 + "]}",
    "no end": '["' + "a" * 1_000_000,
    "backslashes": '"' + "\\" * 1_000_001 + '"',
    "white space": " " * 5_000_000,
    "commas": "[" + "," * 1_000_000 + "]",
    "a byte order mark": "\ufeff{}",
    "nothing": "",
    "control characters": '"\n\0"',
    "single quotes": "{'a': 1}",
}
HARMLESS = {
    "a huge string": '"' + "a" * 5_000_000 + '"',
    "many keys": "{" + ",".join(f'"{number}":0' for number in range(100_000)) + "}",
    "one key many times": "{" + ",".join('"a":0' for _ in range(100_000)) + "}",
    "a long float": "0." + "1" * 1_000_000,
    "a huge exponent": "1e999999999",
    "NaN": "NaN",
    "Infinity": "[-Infinity, Infinity]",
    "a lone surrogate": '"\\ud800"',
    "names of Python's": '{"__class__": "x", "__proto__": 1, "constructor": null}',
    "4,300 digits": "1" * 4300,
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("app", [Echo, Endpoint], ids=lambda app: app.__name__)
async def test_what_is_no_json_closes_with_1007_and_others_live_on(
    app: Any, bomb: str, layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    application = app.as_asgi() if hasattr(app, "as_asgi") else app
    async with connected(Echo.as_asgi()) as other:
        async with connected(application) as wire:
            started = time.perf_counter()
            wire.text(BOMBS[bomb])
            event = await wire.next()
            assert (event["type"], event["code"]) == ("websocket.close", 1007)
            assert time.perf_counter() - started < 2
        assert wire.error is None
        other.text('"hello"')
        assert await other.next_text() == '"hello"'
    assert all(record.exc_info is None and len(record.message) < 500 for record in caplog.records)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("bomb", BOMBS)
async def test_so_it_is_in_a_sync_consumer(bomb: str) -> None:
    async with connected(PlainEcho.as_asgi()) as wire:
        wire.text(BOMBS[bomb])
        assert (await wire.next())["code"] == 1007
    assert wire.error is None


@pytest.mark.parametrize("text", HARMLESS)
async def test_what_python_takes_for_json_reaches_every_member_of_the_group(
    text: str, layer: InMemoryChannelLayer
) -> None:
    async with connected(Echo.as_asgi()) as wire, connected(Echo.as_asgi()) as other:
        wire.text(HARMLESS[text])
        assert await wire.next_text() == await other.next_text()
        wire.text('"still here"')
        assert await wire.next_text() == await other.next_text() == '"still here"'
    assert (wire.error, other.error) == (None, None)


async def test_nesting_that_can_be_read_but_not_copied_ends_its_sender_alone(layer: InMemoryChannelLayer) -> None:
    for depth in (200, 300, 400, 500, 600, 700, 800, 900, 950, 980):
        async with connected(Echo.as_asgi()) as other, connected(Echo.as_asgi()) as wire:
            wire.text("[" * depth + "]" * depth)
            await wire.next()
            if not other.close_code and len(other.sent) > 1:  # it has come that far
                assert (await other.next())["type"] == "websocket.send"
            other.text('"hello"')
            assert await other.next_text() == '"hello"'


class Texts(AsyncJsonWebsocketConsumer):
    """Passes a client's text on, in a frame of its own and as the reason of a close."""

    groups = ["texts"]

    async def receive_json(self, content: Any) -> None:
        await self.channel_layer.group_send("texts", {"type": "note", **content})

    async def note(self, event: Any) -> None:
        await self.send(event["text"])
        if event.get("close"):
            await self.close(4000, event["text"])


class RawTexts(Texts):
    raw_frames = True

    async def receive_json(self, content: Any) -> None:
        await self.channel_layer.group_send("texts", {"type": "websocket.send", **content})


@pytest.fixture(
    params=[
        "websockets-sansio",
        *left_to_ci(WebSocketProtocol),
        "wsproto",
        pytest.param("websockets", marks=pytest.mark.filterwarnings("ignore")),  # deprecated, and in use
    ]
)
async def url(request: pytest.FixtureRequest, layer: InMemoryChannelLayer) -> AsyncIterator[str]:
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    app = Starlette(routes=[WebSocketRoute("/texts", Texts.as_asgi()), WebSocketRoute("/raw", RawTexts.as_asgi())])
    with uvicorn_server(app, ws=request.param) as server:
        yield f"ws://{server.host}"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("path", ["texts", "raw"])
async def test_half_a_character_in_a_text_ends_nobody(url: str, path: str) -> None:
    """Else: half an emoji, sent to a group, closes every member's connection with 1011."""
    async with connect(f"{url}/{path}") as attacker, connect(f"{url}/{path}") as member:
        await attacker.send('{"text": "a\\ud83d\\u00fc\\udc00\\ud83d\\ude00"}')
        assert await member.recv() == await attacker.recv() == "a\ufffd\u00fc\ufffd\U0001f600"
        await attacker.send('{"text": "still here"}')
        assert await member.recv() == "still here"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_half_a_character_in_a_reason_is_replaced(url: str) -> None:
    async with connect(f"{url}/texts") as attacker:
        await attacker.send('{"text": "\\ud83d!", "close": true}')
        await attacker.recv()
        with pytest.raises(ConnectionClosed) as caught:
            await attacker.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "?!")
