"""Channel layers' measurements."""

import logging
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from ..layers import _observed
from ..types import Ends
from . import semconv
from .counters import Value
from .durations import Attributes, Durations

logger = logging.getLogger("consumers.telemetry")


class LayerMeter:
    """Times the operations on one layer: a `CallObserver`.

    Args:
        layer_class: the name of its class.
        durations: what the times are recorded with.
    """

    def __init__(self, layer_class: str, durations: Durations) -> None:
        self._durations = durations
        self._attributes: dict[str | None, Attributes] = {
            name: {semconv.LAYER: layer_class, semconv.OPERATION: name} for name in _observed.OPERATIONS.values()
        }

    def begins(self, name: str | None) -> Ends:
        return partial(self._durations.record, self._attributes[name], perf_counter())


class Layers:
    """Measures layers, whatever their classes are; they stay the objects that they were.

    Args:
        durations: what the operations' times are recorded with.
    """

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self._lock = threading.Lock()
        self._layers: list[weakref.ref[Any]] = []

    def add(self, layer: Any) -> None:
        """Measure a layer; once more does nothing."""
        with self._lock:
            self._layers = [known for known in self._layers if known() is not None]
            if any(known() is layer for known in self._layers):
                return
            name = type(layer).__name__
            try:
                self._layers.append(weakref.ref(layer))
                _observed.observe(layer, LayerMeter(name, self._durations))
            except (AttributeError, TypeError) as error:
                logger.warning("A layer of class %s cannot be measured: %s", name, error)

    def release(self) -> None:
        """Measure them no more."""
        with self._lock:
            layers, self._layers = self._layers, []
        for known in layers:
            _observed.release(known())

    def readers(self) -> dict[str, Callable[[], list[Value]]]:
        """Return what reads each instrument, by its name."""
        return {
            "consumers.layer.dropped": lambda: self._sums("dropped"),
            "consumers.layer.stored": lambda: self._sums("stored"),
        }

    def _sums(self, attribute: str) -> list[Value]:
        sums: Counter[str] = Counter()
        for known in self._layers:
            layer = known()
            value = getattr(layer, attribute, None)
            if isinstance(value, int):  # foreign layers may count nothing
                sums[type(layer).__name__] += value
        return [(value, {semconv.LAYER: name}) for name, value in sums.items()]
