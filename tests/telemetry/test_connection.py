"""What is measured of connections, from their handshake to their end, on asyncio and trio."""

import logging
from typing import Any, cast

import anyio
import pytest

from consumers import (
    AsyncHttpConsumer,
    AsyncWebsocketConsumer,
    ChannelFull,
    InMemoryChannelLayer,
    WebsocketConsumer,
    _observing,
    channel_layers,
    relay,
)
from consumers.consumer import AsyncConsumer
from consumers.telemetry import semconv
from consumers.telemetry.instrumentor import Instruments
from consumers.testing import HttpCommunicator
from consumers.worker import Worker

from ..support.measured import Echo, Endpoint, Measured
from ..support.shared import sharing
from ..support.wire import connected, connecting, eventually

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("offers", [False, True])
async def test_a_groups_messages_are_counted_alike_where_the_server_writes_shared_frames(
    measured: Measured, layer: InMemoryChannelLayer, offers: bool
) -> None:
    class Member(Echo):
        groups = ["room"]
        raw_frames = True
        chat_message = relay("text")

    async with sharing(Member.as_asgi(), offers=offers) as (wire,):
        for message in ({"type": "chat.message", "text": "one"}, {"type": "websocket.send", "text": "two"}):
            await layer.group_send("room", message)
            await wire.next_content()
        assert wire.written == []
    assert measured.value("message.received", consumer="Member", source="layer") == 2
    assert measured.value("message.sent", consumer="Member") == 2


async def test_a_life_is_counted(measured: Measured) -> None:
    async with connected(Echo.as_asgi()) as wire:
        wire.text("hello")
        assert await wire.next_text() == "hello"
        assert measured.value("connection.active") == 1
    for name, value in {"active": 0, "opened": 1, "closed": 1}.items():
        assert measured.value(f"connection.{name}", consumer="Echo", protocol="websocket") == value
    assert measured.values_of("connection.closed", "code") == {"1000"}
    assert measured.value("message.received", consumer="Echo", source="client") == 1
    assert measured.value("message.received", source="layer") == 0
    assert measured.value("message.sent", consumer="Echo", protocol="websocket") == 1
    assert measured.value("message.dropped") == 0
    for handler in ("websocket_connect", "websocket_receive", "websocket_disconnect"):
        [point] = measured.points("handler.duration", consumer="Echo", handler=handler)
        assert point.count == 1 and 0 < point.sum < 60 and point.explicit_bounds == semconv.SECONDS
        assert semconv.ERROR_TYPE not in point.attributes


async def test_every_instrument_is_seen_with_the_kind_and_unit_of_the_table(
    measured: Measured, layer: InMemoryChannelLayer
) -> None:
    channel_layers.set("default", layer)
    await layer.group_send("nobody", {"type": "news"})
    async with connected(Echo.as_asgi()):
        pass
    metrics = measured.metrics()
    assert metrics.keys() == semconv.INSTRUMENTS.keys()
    for name, metric in metrics.items():
        instrument = semconv.INSTRUMENTS[name]
        assert (metric.unit, metric.description) == (instrument.unit, instrument.description)
        data = metric.data
        kind = type(data).__name__
        if kind == "Sum":
            kind = "Counter" if data.is_monotonic else "UpDownCounter"  # type: ignore[union-attr]
        assert kind == instrument.kind, name
        for point in data.data_points:
            assert set(point.attributes or {}) <= set(instrument.attributes), name


async def test_a_layers_messages_count_as_received_and_their_handlers_are_named(
    measured: Measured, layer: InMemoryChannelLayer
) -> None:
    class Member(Echo):
        groups = ["g"]

    async with connected(Member.as_asgi()) as wire:
        await layer.group_send("g", {"type": "news", "text": "1"})
        await layer.group_send("g", {"type": "unknown"})
        layer._local.tell_attached({"type": "layer.gap", "group": None})  # who has no handler for it misses nothing
        await layer.group_send("g", {"type": "news", "text": "2"})
        assert [await wire.next_text(), await wire.next_text()] == ["1", "2"]
    assert measured.value("message.received", source="layer") == 4
    assert measured.value("handler.duration", handler="news") == 2
    assert measured.value("message.dropped") == measured.value("message.dropped", reason="no_handler") == 1


async def test_raw_frames_count_as_sent_without_a_handler(measured: Measured, layer: InMemoryChannelLayer) -> None:
    class Raw(Echo):
        groups = ["g"]
        raw_frames = True

    async with connected(Raw.as_asgi()) as wire:
        for text in ("one", "two"):
            await layer.group_send("g", {"type": "websocket.send", "text": text})
            assert await wire.next_text() == text
        await layer.group_send("g", {"type": "websocket.send", "text": None})
        await layer.group_send("g", {"type": "news", "text": "three"})
        assert await wire.next_text() == "three"
    assert measured.value("message.received", source="layer") == 4
    assert measured.value("message.sent") == 3
    assert measured.value("message.dropped") == measured.value("message.dropped", reason="no_handler") == 1
    assert measured.value("handler.duration", handler="websocket_send") == 0


@pytest.mark.parametrize("max_tasks", [1, 3])
async def test_a_handlers_error_has_its_type_and_the_connection_its_code(measured: Measured, max_tasks: int) -> None:
    class Fragile(Echo):
        pass

    Fragile.max_tasks = max_tasks
    async with connecting(Fragile.as_asgi()) as wire:
        await wire.accepted()
        wire.text("fail")
        await wire.end()
    assert isinstance(wire.error, KeyError)
    assert measured.value("handler.duration", handler="websocket_receive", error="KeyError") == 1
    assert measured.value("handler.duration") == 3
    assert measured.values_of("connection.closed", "code") == {"1011"}
    assert measured.value("connection.active") == 0


@pytest.mark.parametrize("max_tasks", [1, 3])
async def test_a_cancelled_handler_and_what_waits_behind_it_are_counted(measured: Measured, max_tasks: int) -> None:
    class Slow(Echo):
        disconnect_timeout = 0.05

    Slow.max_tasks = max_tasks
    async with connected(Slow.as_asgi()) as wire:
        for _ in range(max_tasks + 2):
            wire.text("hang")
        await eventually(lambda: measured.value("mailbox.messages") == 2)
        assert measured.value("mailbox.depth") == 2
    assert measured.value("handler.duration", handler="websocket_receive", error="cancelled") == max_tasks
    assert measured.value("message.dropped", reason="handler_cancelled") == max_tasks
    assert measured.value("message.dropped", reason="ending") == 2
    assert measured.value("mailbox.messages") == measured.value("mailbox.depth") == 0


async def test_what_comes_after_the_end_began_is_dropped_for_that_reason(
    measured: Measured, layer: InMemoryChannelLayer
) -> None:
    class Member(Echo):
        groups = ["g"]
        disconnect_timeout = 0.05

    async with connected(Member.as_asgi()) as wire:
        wire.text("hang")
        await eventually(lambda: wire.everything_is_read and not measured.value("mailbox.messages"))
        wire.disconnect()
        await eventually(lambda: wire.everything_is_read)
        await layer.group_send("g", {"type": "news", "text": "too late"})
        await wire.end()
    assert measured.value("message.received", source="layer") == 1
    assert measured.value("message.dropped", reason="ending") == 1


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (lambda wire: wire.disconnect(1001), "1001"),
        (lambda wire: wire.disconnect(4001), "4xxx"),
        (lambda wire: wire.disconnect(3999), "3xxx"),
        (lambda wire: wire.disconnect(7), "_OTHER"),
        (lambda wire: wire.client("disconnect"), "1005"),
        (lambda wire: wire.text("close"), "4xxx"),
        (lambda wire: wire.scope.cancel(), "1012"),
    ],
)
async def test_the_code_of_whoever_closes_first_is_counted(measured: Measured, ends: Any, code: str) -> None:
    async with connected(Echo.as_asgi()) as wire:
        ends(wire)
        await eventually(lambda: wire.finished.is_set() or wire.close_code == 4001)
    assert measured.values_of("connection.closed", "code") == {code}
    assert measured.value("connection.closed") == 1


async def test_a_rejected_handshake_is_counted_as_that(measured: Measured) -> None:
    class Closed(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.close()

    async with connecting(Closed.as_asgi()) as wire:
        await wire.next()
    assert measured.values_of("connection.closed", "code") == {"rejected"}


async def test_a_client_that_leaves_its_handshake_is_not_rejected(measured: Measured) -> None:
    class Pending(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            pass

    async with connecting(Pending.as_asgi()) as wire:
        wire.disconnect(1006)
        await wire.end()
    assert measured.values_of("connection.closed", "code") == {"1006"}


async def test_what_goes_beyond_a_limit_is_dropped_for_that_reason(measured: Measured) -> None:
    class Limited(Echo):
        max_message_size = 3

    async with connected(Limited.as_asgi()) as wire:
        wire.text("four")
        await wire.end()
    assert measured.value("message.received") == measured.value("message.dropped", reason="limit") == 1
    assert measured.value("message.dropped") == 1
    assert measured.values_of("connection.closed", "code") == {"1009"}


async def test_a_full_mailbox_drops_and_tells_the_class(measured: Measured) -> None:
    class Slow(Echo):
        groups = ["g"]
        disconnect_timeout = 0.05

    layer = InMemoryChannelLayer(capacity=2)
    old = channel_layers.set("default", layer)
    try:
        async with connected(Slow.as_asgi()) as wire:
            wire.text("hang")
            await eventually(lambda: wire.everything_is_read and measured.value("mailbox.messages") == 0)
            for _ in range(5):
                await layer.group_send("g", {"type": "news", "text": "x"})
            with pytest.raises(ChannelFull):
                [name] = layer.groups["g"]
                await layer.send(name, {"type": "news", "text": "x"})
            assert measured.value("mailbox.depth", consumer="Slow") == 2
    finally:
        channel_layers.set("default", old)
    assert measured.value("message.dropped", reason="mailbox_full", consumer="Slow") == 4
    assert measured.value("layer.dropped", layer="InMemoryChannelLayer") == 3
    assert measured.value("layer.operation.duration", operation="send", error="ChannelFull") == 1


async def test_an_http_consumer_has_no_close_code(measured: Measured) -> None:
    class Page(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, body)

    await HttpCommunicator(Page.as_asgi(), "POST", "/", b"body").get_response()
    await eventually(lambda: measured.value("connection.closed"))
    [point] = measured.points("connection.closed", consumer="Page", protocol="http")
    assert semconv.CLOSE_CODE not in point.attributes
    assert measured.value("message.received", source="client") == measured.value("message.sent") == 1


async def test_a_worker_receives_from_the_layer(measured: Measured, layer: InMemoryChannelLayer) -> None:
    class Task(AsyncConsumer):
        async def job(self, event: dict[str, Any]) -> None:
            worker.stop()

    worker = Worker(Task.as_asgi(), ["jobs"], layer)
    await layer.send("jobs", {"type": "job"})
    await worker.run()
    assert measured.value("message.received", protocol="channel", source="layer") == 1
    assert measured.value("handler.duration", consumer="Task", handler="job") == 1
    assert measured.value("connection.active") == 0


async def test_an_endpoint_is_measured_too(measured: Measured) -> None:
    async with connected(Endpoint) as wire:
        wire.text("hello")
        assert await wire.next_text() == "hello"
        assert measured.value("connection.active", consumer="Endpoint") == 1
    assert measured.value("connection.active") == 0
    assert measured.value("message.received", source="client") == measured.value("message.sent") == 1
    assert measured.value("connection.closed", code="1000") == 1
    for handler in ("on_connect", "_background_handler", "on_disconnect"):
        assert measured.value("handler.duration", consumer="Endpoint", handler=handler) == 1


async def test_an_endpoints_error_and_limit_are_measured(measured: Measured) -> None:
    class Limited(Endpoint):
        max_message_size = 4

    for text in ("fail", "too long"):
        async with connecting(Limited) as wire:
            await wire.accepted()
            wire.text(text)
            await wire.end()
    assert measured.value("handler.duration", handler="_background_handler", error="KeyError") == 1
    assert measured.value("message.dropped", reason="limit") == measured.value("message.dropped") == 1
    assert measured.value("connection.closed", code="1011") == measured.value("connection.closed", code="1009") == 1


async def test_a_failing_meter_breaks_no_connection(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("the meter is broken")

    monkeypatch.setattr(cast(Instruments, _observing.observer).handlers, "_record", fail)
    with caplog.at_level(logging.ERROR, "consumers"):
        async with connected(Echo.as_asgi()) as wire:
            for text in ("one", "two"):
                wire.text(text)
                assert await wire.next_text() == text
    assert wire.error is None
    assert [record.name for record in caplog.records] == ["consumers.telemetry"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_consumer_is_measured_too(measured: Measured) -> None:
    class Plain(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            if text_data == "fail":
                raise KeyError(text_data)
            self.send(text_data)

    async with connecting(Plain.as_asgi()) as wire:
        await wire.accepted()
        wire.text("hello")
        assert await wire.next_text() == "hello"
        wire.text("fail")
        await wire.end()
    assert isinstance(wire.error, KeyError)
    assert measured.value("handler.duration", consumer="Plain", handler="websocket_receive", error="KeyError") == 1
    assert measured.value("handler.duration", consumer="Plain", handler="websocket_receive") == 2
    assert measured.value("message.sent", consumer="Plain") == 1


async def test_threads_with_event_loops_of_their_own_add_up(measured: Measured, anyio_backend_name: str) -> None:
    async def live() -> None:
        async with connected(Echo.as_asgi()) as wire:
            wire.text("hello")
            await wire.next_text()

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(live, backend=anyio_backend_name))
    assert [point.value for point in measured.points("message.sent", consumer="Echo")] == [3]
    assert [point.value for point in measured.points("connection.active", consumer="Echo")] == [0]
