"""Measuring is off, and costs nothing, until it is turned on; and it can be turned off again."""

import subprocess
import sys
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from consumers import _observing, channel_layers, lifespan, telemetry

from ..support.measured import Echo, Endpoint, Measured
from ..support.serving import serving
from ..support.wire import connected, eventually

LIFE = """
import anyio
from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers
from consumers.testing import WebsocketCommunicator

class Echo(AsyncWebsocketConsumer):
    groups = ["g"]

    async def receive(self, text_data):
        await self.send(text_data)

async def live():
    channel_layers.configure({"default": InMemoryChannelLayer()})
    client = WebsocketCommunicator(Echo.as_asgi(), "/")
    await client.connect()
    await client.send_to("hello")
    assert await client.receive_from() == "hello"
    await client.disconnect()

anyio.run(live)
"""

BLOCKED = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_nothing_of_opentelemetry_is_imported_until_it_is_turned_on() -> None:
    report = "import sys; print([name for name in sys.modules if 'telemetry' in name])"
    assert run(LIFE + report) == "[]\n"
    imported = run("import consumers.telemetry\n" + report)
    assert imported == "['consumers.telemetry']\n"


@pytest.mark.slow
def test_without_the_package_all_works_but_turning_it_on_which_says_what_to_install() -> None:
    attempt = """
from consumers import telemetry
telemetry.uninstrument()
try:
    telemetry.instrument()
except ImportError as error:
    print(error)
"""
    said = run(BLOCKED + LIFE + attempt + LIFE)
    assert said == (
        "consumers.telemetry needs opentelemetry-api (No module named 'opentelemetry'): "
        "pip install 'starlette-consumers[opentelemetry]'\n"
    )


def test_a_mistake_of_another_kind_is_not_taken_for_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "consumers.telemetry.instrumentor", None)
    with pytest.raises(ImportError) as caught:
        telemetry.instrument()
    assert "pip install" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("app", [Echo.as_asgi(), Endpoint])
async def test_a_connection_that_was_open_before_is_not_measured(app: Any) -> None:
    measured = Measured()
    assert _observing.observer is None
    async with connected(app) as wire:
        telemetry.instrument(measured.provider)
        wire.text("hello")
        assert await wire.next_text() == "hello"
    telemetry.uninstrument()
    assert not {name for name in measured.metrics() if "layer" not in name and measured.value(name[10:])}


@pytest.mark.anyio
@pytest.mark.parametrize("app", [Echo.as_asgi(), Endpoint])
async def test_turned_off_it_measures_nothing_new_and_open_connections_to_their_end(app: Any) -> None:
    measured = Measured()
    telemetry.instrument(measured.provider)
    async with connected(app) as before:
        telemetry.uninstrument()
        assert _observing.observer is None
        async with connected(app) as wire:
            wire.text("not counted")
            await wire.next_text()
        assert measured.value("connection.active") == measured.value("connection.opened") == 1
        assert measured.value("message.received") == 0
        before.text("counted")
        await before.next_text()
    assert measured.value("connection.active") == 0
    assert measured.value("message.received") == measured.value("message.sent") == 1
    telemetry.uninstrument()


@pytest.mark.anyio
async def test_turned_on_again_it_goes_on_counting(caplog: pytest.LogCaptureFixture) -> None:
    measured = Measured()
    for lives in (1, 2):
        telemetry.instrument(measured.provider)
        async with connected(Echo.as_asgi()):
            pass
        telemetry.uninstrument()
        assert measured.value("connection.closed") == lives
    assert caplog.records == []  # the SDK warns of a second instrument of the same name


def test_turning_it_on_twice_is_harmless_but_not_with_something_else(measured: Measured) -> None:
    observer = _observing.observer
    telemetry.instrument(measured.provider)
    assert _observing.observer is observer is not None
    others: list[dict[str, Any]] = [
        {"meter_provider": None},
        {"meter_provider": measured.provider, "close_codes": [4001]},
    ]
    for arguments in others:
        with pytest.raises(RuntimeError, match=r"call uninstrument\(\) first"):
            telemetry.instrument(**arguments)
    assert _observing.observer is observer


@pytest.mark.slow
def test_the_global_meter_provider_may_be_set_afterwards() -> None:
    code = f"""
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from consumers import telemetry
telemetry.instrument()
reader = InMemoryMetricReader()
{LIFE}
metrics.set_meter_provider(MeterProvider([reader]))
{LIFE}
for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
    if metric.name == "consumers.connection.closed":
        print(sum(point.value for point in metric.data.data_points))
    if metric.name == "consumers.handler.duration":
        print(sum(point.count for point in metric.data.data_points))
"""
    assert sorted(run(code).split()) == ["2", "3"]  # a histogram has what came since, counters all


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_under_a_real_server(measured: Measured, no_layer: None) -> None:
    channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})

    class Room(Echo):
        groups = ["room"]

    routes: list[Any] = [WebSocketRoute("/echo", Room.as_asgi()), WebSocketRoute("/endpoint", Endpoint)]
    async with serving(Starlette(routes=routes, lifespan=lifespan)) as server:
        url = f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        async with connect(f"{url}/echo") as ann, connect(f"{url}/echo") as bob, connect(f"{url}/endpoint") as eve:
            for client in (ann, eve):
                await client.send("hello")
                assert await client.recv() == "hello"
            await channel_layers["default"].group_send("room", {"type": "news", "text": "hello all"})
            assert [await ann.recv(), await bob.recv()] == ["hello all", "hello all"]
            assert measured.value("connection.active", consumer="Room") == 2
            assert measured.value("connection.active", consumer="Endpoint") == 1
            await ann.send("close")
            with pytest.raises(ConnectionClosed):
                await ann.recv()
            await bob.close(1001)
        await eventually(lambda: measured.value("connection.active") == 0)
    assert measured.value("connection.closed", consumer="Room", code="4xxx") == 1
    assert measured.value("connection.closed", consumer="Room", code="1001") == 1
    assert measured.value("connection.closed", consumer="Endpoint", code="1000") == 1
    assert measured.value("message.sent", consumer="Room") == 3
    assert measured.value("handler.duration", consumer="Room", handler="news") == 2
    assert measured.value("layer.operation.duration", operation="group_send") == 1
