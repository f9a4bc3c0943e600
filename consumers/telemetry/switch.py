"""Turns measuring on and off: makes the instruments, and tells those who make connections and layers."""

from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from .._connection.client import ClientWebSocket
from .._connection.connection import Connection
from ..consumer import AsyncConsumer
from ..endpoint import BaseWSEndpoint
from ..layers.registry import channel_layers
from . import table
from .connection import ObservedConnection
from .counters import Counters, Value
from .durations import Durations
from .endpoint import ObservedClient
from .layers import ObservedLayers

CREATE = {
    "Counter": "create_observable_counter",
    "UpDownCounter": "create_observable_up_down_counter",
    "Gauge": "create_observable_gauge",
}


class Instruments:
    """A meter's instruments, and all that adds to them.

    Args:
        meter_provider: whose meter it is; None: the global one's.
    """

    def __init__(self, meter_provider: MeterProvider | None) -> None:
        meter = get_meter(table.METER_NAME, _version(), meter_provider)
        durations = {
            name: Durations(
                meter.create_histogram(
                    name, each.unit, each.description, explicit_bucket_boundaries_advisory=table.SECONDS
                )
            )
            for name, each in table.INSTRUMENTS.items()
            if each.kind == "Histogram"
        }
        self.counters = Counters()
        self.layers = ObservedLayers(durations["consumers.layer.operation.duration"])
        members = {"counters": self.counters, "durations": durations["consumers.handler.duration"]}
        self.connection_class = type("ObservedConnection", (ObservedConnection,), members)
        self.client_class = type("ObservedClient", (ObservedClient,), members)
        for name, reader in {**self.counters.readers(), **self.layers.readers()}.items():
            each = table.INSTRUMENTS[name]
            getattr(meter, CREATE[each.kind])(name, [_callback(reader)], each.unit, each.description)


class Switch:
    """What `instrument()` was called with.

    Args:
        meter_provider: see `instrument()`.
        close_codes: see `instrument()`.
    """

    def __init__(self, meter_provider: MeterProvider | None, close_codes: Iterable[int]) -> None:
        self._provider = meter_provider
        self._codes = table.checked_codes(close_codes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Switch) and self._provider is other._provider and self._codes == other._codes

    def turn_on(self) -> None:
        """Measure what comes from now on, and the layers that are there."""
        instruments = _instruments_of(self._provider)
        instruments.counters.told_apart = self._codes
        AsyncConsumer._connection_class = instruments.connection_class
        BaseWSEndpoint._client_class = instruments.client_class
        channel_layers.on_layer = instruments.layers.observe
        for layer in list(channel_layers.backends.values()):
            instruments.layers.observe(layer)

    def turn_off(self) -> None:
        """Measure nothing new."""
        AsyncConsumer._connection_class = Connection
        BaseWSEndpoint._client_class = ClientWebSocket
        channel_layers.on_layer = None
        _instruments_of(self._provider).layers.release()


_known: list[tuple[MeterProvider | None, Instruments]] = []
"""A meter cannot give an instrument back: who turns measuring off and on goes on with the same ones."""


def _instruments_of(provider: MeterProvider | None) -> Instruments:
    for known, instruments in _known:
        if known is provider:
            return instruments
    instruments = Instruments(provider)
    _known.append((provider, instruments))
    return instruments


def _callback(reader: Callable[[], list[Value]]) -> Callable[[CallbackOptions], list[Observation]]:
    def observe(options: CallbackOptions) -> list[Observation]:
        return [Observation(value, attributes) for value, attributes in reader()]

    return observe


def _version() -> str:
    try:
        return version("starlette-consumers")
    except PackageNotFoundError:  # the source alone is there
        return ""
