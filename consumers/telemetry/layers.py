"""Channel layers that are measured: their methods are put in front of themselves, timed, on the layer objects."""

import logging
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from . import table
from .counters import Value
from .durations import Durations, is_timed

logger = logging.getLogger("consumers.telemetry")


class ObservedLayers:
    """Measures layers, whatever their classes are; they stay the objects that they were.

    Args:
        durations: what the operations' times are recorded with.
    """

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self._lock = threading.Lock()
        self._layers: list[weakref.ref[Any]] = []

    def observe(self, layer: Any) -> None:
        """Measure a layer; once more does nothing."""
        with self._lock:
            self._layers = [known for known in self._layers if known() is not None]
            if any(known() is layer for known in self._layers):
                return
            try:
                self._layers.append(weakref.ref(layer))
                for method, operation in table.OPERATIONS.items():
                    if callable(getattr(layer, method, None)):
                        setattr(layer, method, self._timed(layer, method, operation))
            except (AttributeError, TypeError) as error:
                logger.warning("A layer of class %s cannot be measured: %s", type(layer).__name__, error)

    def release(self) -> None:
        """Measure them no more."""
        with self._lock:
            layers, self._layers = self._layers, []
        for known in layers:
            attributes = getattr(known(), "__dict__", {})
            for method in table.OPERATIONS:
                if is_timed(attributes.get(method)):
                    del attributes[method]

    def readers(self) -> dict[str, Callable[[], list[Value]]]:
        """Return what reads each instrument, by its name."""
        return {
            "consumers.layer.dropped": lambda: self._sums("dropped"),
            "consumers.layer.stored": lambda: self._sums("stored"),
        }

    def _timed(self, layer: Any, method: str, operation: str) -> Callable[..., Any]:
        attributes = {table.LAYER: type(layer).__name__, table.OPERATION: operation}
        make = self._durations.timed_sync if method.endswith("_sync") else self._durations.timed
        return make(layer, method, attributes)

    def _sums(self, attribute: str) -> list[Value]:
        sums: Counter[str] = Counter()
        for known in self._layers:
            layer = known()
            value = getattr(layer, attribute, None)
            if isinstance(value, int):  # foreign layers may count nothing
                sums[type(layer).__name__] += value
        return [(value, {table.LAYER: name}) for name, value in sums.items()]
