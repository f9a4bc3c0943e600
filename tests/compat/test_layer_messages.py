"""What a layer's message reaches in `compat`: a WebSocket's events, as in Channels; nothing else of the framework."""

from typing import Any

import pytest

import compat
from compat import conf
from compat.channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from compat.channels.layers import get_channel_layer
from compat.channels.testing import WebsocketCommunicator

CALLS: list[str] = []

CLOSED = [
    "connect",
    "receive",
    "receive.json",
    "disconnect",
    "accept",
    "close",
    "deny",
    "send",
    "dispatch",
    "as.asgi",
    "on.error",
    "base.send",
    "start.background.task",
    "http.request",
    "http.disconnect",
]


class AsyncMember(AsyncJsonWebsocketConsumer):
    groups = ["room"]

    async def receive(self, text_data: Any = None, bytes_data: Any = None, **kwargs: Any) -> None:
        CALLS.append(f"receive {text_data}")

    async def disconnect(self, code: int) -> None:
        CALLS.append(f"disconnect {code}")

    async def note(self, event: Any) -> None:
        await self.send_json("still there")


class SyncMember(JsonWebsocketConsumer):
    groups = ["room"]

    def receive(self, text_data: Any = None, bytes_data: Any = None, **kwargs: Any) -> None:
        CALLS.append(f"receive {text_data}")

    def disconnect(self, code: int) -> None:
        CALLS.append(f"disconnect {code}")

    def note(self, event: Any) -> None:
        self.send_json("still there")


@pytest.fixture(params=[AsyncMember, SyncMember])
async def member(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, no_layer: None) -> Any:
    monkeypatch.setattr(conf, "_configured", {})
    compat.configure(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})
    CALLS.clear()
    communicator = WebsocketCommunicator(request.param.as_asgi(), "/")
    await communicator.connect()
    return communicator


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", CLOSED)
async def test_a_layer_message_reaches_no_other_method_of_the_framework(member: Any, kind: str) -> None:
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_send("room", {"type": kind, "text": "x", "code": 4001})
    await layer.group_send("room", {"type": "note"})
    assert await member.receive_json_from() == "still there"
    await member.disconnect()
    assert CALLS == ["disconnect 1000"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_disconnect_from_the_layer_without_a_code_runs_disconnect_once(member: Any) -> None:
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_send("room", {"type": "websocket.disconnect"})
    await member.wait()
    assert CALLS == ["disconnect 1005"]
