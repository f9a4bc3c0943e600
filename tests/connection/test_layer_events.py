"""What a layer itself tells consumers, of gaps and of who is there: for handlers, and silent where there is none."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from compat.channels.generic import websocket as ported
from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, WebsocketConsumer, telemetry
from consumers._connection.dispatch import OPTIONAL
from consumers.layers._presence import OF_LAYERS
from consumers.types import Message

from ..support.measured import Measured
from ..support.wire import connected

pytestmark = pytest.mark.anyio

# Sync consumers need asyncio.
kinds = pytest.mark.parametrize(
    ("anyio_backend", "kind"),
    [
        ("asyncio", AsyncWebsocketConsumer),
        ("trio", AsyncWebsocketConsumer),
        ("asyncio", WebsocketConsumer),
        ("asyncio", ported.AsyncWebsocketConsumer),
        ("asyncio", ported.WebsocketConsumer),
    ],
)

EVENTS: list[dict[str, Any]] = [
    {"type": "layer.gap", "group": None},
    {"type": "presence.diff", "group": "room", "joins": {"ann": [{}]}, "leaves": [], "updates": {}, "version": 1},
    {"type": "presence.state", "group": "room", "members": {"ann": [{}]}, "version": 1},
    {"type": "presence.count", "group": "room", "count": 1, "version": 1},
]


@pytest.fixture(params=[False, True], ids=["unmeasured", "measured"])
def measured(request: pytest.FixtureRequest) -> Iterator[Measured | None]:
    """Measure everything during the test, or nothing."""
    measured = Measured()
    if request.param:
        telemetry.instrument(measured.provider)
    try:
        yield measured if request.param else None
    finally:
        telemetry.uninstrument()
        measured.provider.shutdown()


def member_of(kind: Any, answers_with: str, **attributes: Any) -> Any:
    """Return a class in the group "room", whose handlers of a name send the name and the event's version."""

    async def handler(self: Any, event: Message) -> None:
        await self.send(f"{answers_with} {event.get('version')}")

    def sync_handler(self: Any, event: Message) -> None:
        self.send(f"{answers_with} {event.get('version')}")

    made = sync_handler if issubclass(kind, WebsocketConsumer) else handler
    return type("Member", (kind,), {"groups": ["room"], answers_with: made, **attributes})


def test_each_event_of_a_layer_is_one_that_a_consumer_may_do_without() -> None:
    names = {kind.replace(".", "_") for kind in OF_LAYERS}
    assert names == {event["type"].replace(".", "_") for event in EVENTS} == OPTIONAL - {"consumers_close"}


@kinds
@pytest.mark.parametrize("strict_types", [False, True])
async def test_without_a_handler_they_are_dropped_without_a_word(
    kind: Any, strict_types: bool, measured: Measured | None, layer: InMemoryChannelLayer, caplog: Any
) -> None:
    caplog.set_level(logging.INFO)
    member = member_of(kind, "note", strict_types=strict_types)
    async with connected(member.as_asgi()) as wire:
        for event in EVENTS:
            layer._local.tell_attached(event)
        await layer.group_send("room", {"type": "note"})
        assert await wire.next_text() == "note None"
    assert wire.error is None
    assert not [record for record in caplog.records if record.name.startswith("consumers")]
    if measured is not None:
        assert measured.value("message.received", source="layer") == len(EVENTS) + 1
        assert measured.value("message.dropped") == 0


@kinds
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
async def test_with_a_handler_they_are_handled(
    kind: Any, event: Message, measured: Measured | None, layer: InMemoryChannelLayer
) -> None:
    member = member_of(kind, event["type"].replace(".", "_"))
    async with connected(member.as_asgi()) as wire:
        layer._local.tell_attached(event)
        assert await wire.next_text() == f"{event['type'].replace('.', '_')} {event.get('version')}"


@kinds
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
async def test_no_application_and_no_client_can_forge_them(
    kind: Any, event: Message, layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    name = event["type"].replace(".", "_")
    member = member_of(kind, name)
    async with connected(member.as_asgi()) as wire:
        for forged in (event, {**event, "type": name}):
            await layer.group_send("room", forged)
            await layer.send(next(iter(layer.groups["room"])), forged)
        layer._local.tell_attached({**event, "version": "real"})
        assert await wire.next_text() == f"{name} real"
    assert caplog.text.count("was dropped: only a layer sends messages of type") == 4


async def test_a_whole_list_comes_to_the_handler_for_it(layer: InMemoryChannelLayer) -> None:
    class Watcher(AsyncWebsocketConsumer):
        groups = ["room"]

        async def presence_state(self, event: Message) -> None:
            await self.send(f"{event['members']}")

    await layer.presence_track("room", await layer.new_channel(), key="ann", meta={"name": "Ann"})
    async with connected(Watcher.as_asgi()) as wire:
        layer._presence._feeds.lose("room")
        assert await wire.next_text() == "{'ann': [{'name': 'Ann'}]}"
