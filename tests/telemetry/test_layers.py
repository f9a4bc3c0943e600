"""What is measured of channel layers, which stay the objects that they were."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any, cast

import anyio
import pytest

from consumers import (
    AsyncWebsocketConsumer,
    BaseChannelLayer,
    ChannelFull,
    InMemoryChannelLayer,
    channel_layers,
    close_group,
    get_channel_layer,
    telemetry,
)
from consumers.layers import group_send_sync, send_sync
from consumers.layers.redis import RedisChannelLayer
from consumers.telemetry import semconv

from ..layers.conftest import redis_server as redis_server
from ..support.kinds import KINDS, Kind
from ..support.measured import Measured
from ..support.redis_server import RedisServer
from ..support.wire import connected

pytestmark = pytest.mark.anyio

OURS = [kind for kind in KINDS if "ours" in kind.traits]


@pytest.fixture(autouse=True)
def _layers_as_before(no_layer: None) -> Iterator[None]:
    return (yield)


class Foreign:
    """A layer as others write them."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, channel: str, message: Any) -> None:
        raise ConnectionRefusedError(channel)

    async def group_send(self, group: str, message: Any) -> None:
        self.sent.append(message)


class Closed(Foreign):
    """A layer whose objects take no attributes."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        if name != "sent":
            raise AttributeError(f"cannot set {name}")
        super().__setattr__(name, value)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_operations_errors_and_what_waits_are_measured_on_every_layer(
    measured: Measured, kind: Any, redis_server: RedisServer
) -> None:
    arguments = {"hosts": [redis_server.url], "prefix": "telemetry"} if kind.needs_redis else {}
    layer = kind.make(capacity=1, **arguments)
    name = type(layer).__name__
    channel_layers.configure({"default": layer})
    async with layer:
        channel = await layer.new_channel()
        await layer.group_add("g", channel)
        await layer.group_send("g", {"type": "first"})
        stored = 0 if isinstance(layer, RedisChannelLayer) else 1  # which leaves it in Redis until somebody receives
        with anyio.fail_after(5):
            while measured.value("layer.stored", layer=name) < stored:
                await asyncio.sleep(0.01)
        await layer.group_send("g", {"type": "second"})
        with anyio.fail_after(5):
            while not measured.value("layer.dropped", layer=name):
                await asyncio.sleep(0.01)
        assert measured.value("layer.stored", layer=name) == stored
        assert measured.value("layer.dropped", layer=name) == 1
        assert (await layer.receive(channel))["type"] == "first"
        assert measured.value("layer.stored") == 0
        await layer.group_discard("g", channel)
        await layer.close_group("g", 4001, "bye")
        await layer.send(channel, {"type": "third"})
        with pytest.raises(TypeError):
            await layer.send("no name at all", {"type": "third"})
        await layer.flush()
    values = {"group_add": 1, "group_send": 2, "group_discard": 1, "close_group": 1, "send": 2}
    for operation, count in values.items():
        assert measured.value("layer.operation.duration", layer=name, operation=operation) == count, operation
    assert measured.value("layer.operation.duration", error="TypeError") == 1
    assert measured.values_of("layer.operation.duration", "error") == {None, "TypeError"}


@pytest.mark.parametrize("kind", OURS[1:], ids=lambda kind: kind.name)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_redis_that_cannot_be_reached_is_an_error_of_the_operation(measured: Measured, kind: Any) -> None:
    layer = kind.make(hosts=["redis://127.0.0.1:1"], timeout=1)
    channel_layers.configure({"default": layer})
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it is, it has to be named
        await layer.group_send("g", {"type": "lost"})
    await layer.close()
    assert measured.values_of("layer.operation.duration", "error") == {type(caught.value).__name__}


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: str(kind.name))
def test_the_blocking_calls_are_measured(kind: Kind, measured: Measured, redis_server: RedisServer) -> None:
    arguments = {"hosts": [redis_server.url], "prefix": "telemetry"} if kind.needs_redis else {}
    channel_layers.configure({"default": kind.make(**arguments)})
    group_send_sync("g", {"type": "x"})
    send_sync("c", {"type": "x"})
    name = type(get_channel_layer()).__name__
    assert measured.value("layer.operation.duration", layer=name, operation="group_send") == 1
    assert measured.value("layer.operation.duration", layer=name, operation="send") == 1


async def test_a_layer_stays_the_object_that_it_was(measured: Measured) -> None:
    layer = InMemoryChannelLayer()
    channel_layers.configure({"default": layer, "other": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})
    assert get_channel_layer() is layer and type(layer) is InMemoryChannelLayer
    other = get_channel_layer("other")
    assert isinstance(other, InMemoryChannelLayer)
    await other.group_send("g", {"type": "x"})
    assert measured.value("layer.operation.duration", operation="group_send") == 1


async def test_a_layer_that_was_there_before_is_measured_and_then_as_before() -> None:
    layer, measured = InMemoryChannelLayer(), Measured()
    channel_layers.configure({"default": layer})
    before = dict(vars(layer))
    telemetry.instrument(measured.provider)
    await layer.group_send("g", {"type": "x"})
    telemetry.uninstrument()
    assert vars(layer) == before
    await layer.group_send("g", {"type": "x"})
    assert measured.value("layer.operation.duration") == 1


async def test_setting_a_layer_twice_measures_it_once(measured: Measured) -> None:
    layer, foreign = InMemoryChannelLayer(), Foreign()
    for _ in range(2):
        channel_layers.set("default", layer)
        channel_layers.set("foreign", cast(Any, foreign))
    await layer.send("c", {"type": "x"})
    await foreign.group_send("g", {"type": "x"})
    assert measured.value("layer.operation.duration", layer="InMemoryChannelLayer") == 1
    assert measured.value("layer.operation.duration", layer="Foreign") == 1
    assert measured.value("layer.stored") == 1


async def test_closing_a_group_is_one_operation(measured: Measured) -> None:
    channel_layers.configure({"default": InMemoryChannelLayer()})

    class Member(AsyncWebsocketConsumer):
        groups = ["g"]

    async with connected(Member.as_asgi()) as wire:
        await close_group("g", 4001)
        await wire.end()
    operations = measured.values_of("layer.operation.duration", "operation")
    assert operations == {"group_add", "group_discard", "close_group"}
    assert measured.values_of("connection.closed", "code") == {"4xxx"}


async def test_a_cancelled_operation_is_told_from_a_failed_one(measured: Measured) -> None:
    class Slow(BaseChannelLayer):
        async def group_send(self, group: str, message: Any) -> None:
            await anyio.sleep_forever()

    layer = Slow()
    channel_layers.configure({"default": layer})
    with anyio.move_on_after(0.01):
        await layer.group_send("g", {"type": "x"})
    assert measured.values_of("layer.operation.duration", "error") == {semconv.CANCELLED}


async def test_a_full_channel_is_an_error_of_the_send(measured: Measured) -> None:
    layer = InMemoryChannelLayer(capacity=1)
    channel_layers.configure({"default": layer})
    await layer.send("c", {"type": "x"})
    with pytest.raises(ChannelFull):
        await layer.send("c", {"type": "x"})
    assert measured.value("layer.operation.duration", operation="send", error="ChannelFull") == 1
    assert measured.value("layer.stored") == 1


async def test_a_foreign_layer_is_measured_as_far_as_it_goes(
    measured: Measured, caplog: pytest.LogCaptureFixture
) -> None:
    layer: Any = Foreign()
    closed: Any = Closed()
    channel_layers.configure({"default": layer, "closed": closed})
    await layer.group_send("g", {"type": "x"})
    with pytest.raises(ConnectionRefusedError):
        await layer.send("c", {"type": "x"})
    await closed.group_send("g", {"type": "x"})
    assert measured.value("layer.operation.duration", layer="Foreign", operation="group_send") == 1
    assert measured.value("layer.operation.duration", layer="Foreign", error="ConnectionRefusedError") == 1
    assert measured.value("layer.operation.duration", layer="Closed") == 0
    assert not hasattr(layer, "close_group")
    assert [record.getMessage() for record in caplog.records] == [
        "A layer of class Closed cannot be measured: cannot set send"
    ]


def test_a_layer_that_is_gone_is_forgotten(measured: Measured) -> None:
    channel_layers.set("default", InMemoryChannelLayer())
    layer = weakref.ref(channel_layers["default"])
    assert measured.points("layer.dropped")
    channel_layers.set("default", None)
    gc.collect()
    assert layer() is None
    assert not measured.points("layer.dropped")
