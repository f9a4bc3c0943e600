"""Turns measuring on and off: makes the instruments, and the observer that adds to them."""

from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from .. import _observing
from ..layers.registry import channel_layers
from ..types import ConnectionObserver, Scope
from . import semconv
from .connection import ConnectionMeter
from .counters import Counters, Value
from .durations import Durations
from .layers import Layers

CREATE = {
    "Counter": "create_observable_counter",
    "UpDownCounter": "create_observable_up_down_counter",
    "Gauge": "create_observable_gauge",
}


class Instruments:
    """A meter's instruments, and what adds to them: an `Observer`.

    Args:
        meter_provider: whose meter it is; None: the global one's.

    Attributes:
        counters: the numbers that connections add to.
        handlers: the times of handlers.
        layers: the layers that are measured.
    """

    def __init__(self, meter_provider: MeterProvider | None) -> None:
        meter = get_meter(semconv.METER_NAME, _version(), meter_provider)
        durations = {
            name: Durations(
                meter.create_histogram(
                    name, each.unit, each.description, explicit_bucket_boundaries_advisory=semconv.SECONDS
                )
            )
            for name, each in semconv.INSTRUMENTS.items()
            if each.kind == "Histogram"
        }
        self.counters = Counters()
        self.handlers = durations["consumers.handler.duration"]
        self.layers = Layers(durations["consumers.layer.operation.duration"])
        for name, reader in {**self.counters.readers(), **self.layers.readers()}.items():
            each = semconv.INSTRUMENTS[name]
            getattr(meter, CREATE[each.kind])(name, [_callback(reader)], each.unit, each.description)

    def connection(self, owner: type, scope: Scope) -> ConnectionObserver:
        return ConnectionMeter(owner, scope, self.counters, self.handlers)

    def layer(self, layer: Any) -> None:
        self.layers.add(layer)


class Instrumentor:
    """What `instrument()` was called with.

    Args:
        meter_provider: see `instrument()`.
        close_codes: see `instrument()`.
    """

    def __init__(self, meter_provider: MeterProvider | None, close_codes: Iterable[int]) -> None:
        self._provider = meter_provider
        self._codes = semconv.checked_codes(close_codes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instrumentor) and self._provider is other._provider and self._codes == other._codes

    def turn_on(self) -> None:
        """Measure what comes from now on, and the layers that are there."""
        instruments = _instruments_of(self._provider)
        instruments.counters.told_apart = self._codes
        _observing.observe(instruments)
        for layer in list(channel_layers.backends.values()):
            instruments.layer(layer)

    def turn_off(self) -> None:
        """Measure nothing new."""
        _observing.observe(None)
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
