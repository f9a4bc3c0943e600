"""Presence in ported projects: configured as Channels' layers are, and used by ported consumers."""

from typing import Any

import pytest

import compat
from compat import conf
from compat.channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from compat.channels.layers import get_channel_layer
from compat.channels.testing import WebsocketCommunicator
from consumers import InvalidChannelLayerError

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class Member(AsyncJsonWebsocketConsumer):
    groups = ["room"]

    async def connect(self) -> None:
        await self.accept()
        await self.group_track("room", key="ann", meta={"name": "Ann"})

    async def presence_diff(self, event: Any) -> None:
        await self.send_json(event["joins"])


class SyncMember(JsonWebsocketConsumer):
    groups = ["room"]

    def connect(self) -> None:
        self.accept()
        self.group_track("room", key="ann", meta={"name": "Ann"})

    def presence_diff(self, event: Any) -> None:
        self.send_json(event["joins"])


def configure(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf, "_configured", {})
    compat.configure(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": config}})


@only_asyncio
@pytest.mark.parametrize("member", [Member, SyncMember])
async def test_a_ported_consumer_is_seen_and_sees(member: Any, monkeypatch: pytest.MonkeyPatch, no_layer: None) -> None:
    configure({"expiry": 30, "presence": {"grace": 0}}, monkeypatch)
    communicator = WebsocketCommunicator(member.as_asgi(), "/")
    await communicator.connect()
    assert await communicator.receive_json_from() == {"ann": [{"name": "Ann"}]}
    layer: Any = get_channel_layer()
    assert await layer.presence_count("room") == await layer.group_count("room") == 1
    await communicator.disconnect()
    assert await layer.presence("room") == {}


async def test_a_wrong_option_is_named(monkeypatch: pytest.MonkeyPatch, no_layer: None) -> None:
    configure({"presence": {"graze": 0}}, monkeypatch)
    with pytest.raises(InvalidChannelLayerError, match="presence has no option 'graze': there are grace, lease"):
        get_channel_layer()
